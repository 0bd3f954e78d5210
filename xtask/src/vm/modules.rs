//! Which module files the guest loads, and in which order. The modules themselves say what they
//! need, so no `depmod` is wanted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// What the guest needs before it can see the host's files, and what tests make networks of: a
/// kernel can load no module of its own once the host's file system is its root.
const WANTED: [&str; 9] = [
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "overlay",
    "veth",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
];

/// A module's name and its uncompressed bytes.
pub type Module = (String, Vec<u8>);

/// The modules wanted and all that they need, each after its needs. What is built into the
/// kernel is left out.
pub fn in_load_order(modules: &Path) -> Result<Vec<Module>> {
    let mut files = HashMap::new();
    collect(&modules.join("kernel"), &mut files)?;
    let mut ordered = Vec::new();
    for name in WANTED {
        visit(name, &files, &mut ordered)?;
    }
    Ok(ordered)
}

fn visit(name: &str, files: &HashMap<String, PathBuf>, ordered: &mut Vec<Module>) -> Result<()> {
    if ordered.iter().any(|(there, _)| there == name) {
        return Ok(());
    }
    let Some(file) = files.get(name) else {
        return Ok(());
    };
    let bytes = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for need in needs(&bytes) {
        visit(&need, files, ordered)?;
    }
    ordered.push((name.to_owned(), bytes));
    Ok(())
}

/// Finds `<name>.ko`, compressed or not, under its name as the kernel knows it.
fn collect(directory: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some((name, _)) = name.split_once(".ko")
        {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").arg("-dc").arg(file).output()?;
        anyhow::ensure!(output.status.success(), "xz failed");
        return Ok(output.stdout);
    }
    Ok(std::fs::read(file)?)
}

/// Names after `depends=` in the section `.modinfo`, which holds NUL-terminated `key=value`.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let list = &module[start + KEY.len()..];
    let list = list.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(list)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_read_from_the_module_itself() {
        let module = b"\x7fELF\0license=GPL\0depends=9pnet,fs-cache\0name=9p\0";
        assert_eq!(needs(module), ["9pnet", "fs_cache"]);
        assert!(needs(b"\0depends=\0").is_empty());
        assert!(needs(b"no such key").is_empty());
    }
}
