//! The daemon as one file that needs no other: linked to musl, stripped, with no path of this
//! machine in it. It says when it has grown too large.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;

use super::{Release, mebibytes};
use crate::{cross, process, workspace};

/// More than this nobody should have to fetch for an agent.
const SIZE_MAX: u64 = 12 << 20;

/// Compiles it, as `wirespan-<version>-<processor>`.
pub fn build(release: &Release, directory: &Path) -> Result<PathBuf> {
    // Panics name files, of which only these beginnings differ between machines.
    let beginnings = [
        (workspace::root().to_owned(), "."),
        (cargo_home()?, "/cargo"),
        (sysroot()?, "/rust"),
    ];
    let flags = |name: &str| {
        let flag = |(from, to): &(PathBuf, &str)| format!("{name}={}={to}", from.display());
        beginnings.iter().map(flag).collect::<Vec<_>>()
    };
    let mut rustflags = flags("--remap-path-prefix");
    // Addresses that the loader corrects are listed in a form that takes a tenth of the room.
    rustflags.extend(cross::packed_relocations(&release.target));
    let prefixes = flags("-ffile-prefix-map").join(" ");
    let mut cargo = workspace::cargo(&["build", "--quiet", "--locked", "--package", "wirespan"]);
    process::run(
        cross::prepare(&mut cargo, &release.target)
            .args(["--profile", "dist", "--target", &release.target])
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
            .env("CFLAGS", prefixes)
            .env("SOURCE_DATE_EPOCH", release.time.to_string()),
    )?;
    let built = built(release).join("wirespan");
    let size = std::fs::metadata(&built)?.len();
    if size > SIZE_MAX {
        let most = mebibytes(SIZE_MAX);
        bail!("the daemon has {}; {most} are allowed", mebibytes(size));
    }
    check_objects(&std::fs::read(&built)?, release.processor())?;
    let name = format!("wirespan-{}-{}", release.version, release.processor());
    let binary = directory.join(name);
    std::fs::copy(&built, &binary).with_context(|| built.display().to_string())?;
    Ok(binary)
}

/// Fails unless what is in the daemon for the kernel was made for this processor, and for no other:
/// lines of its source are named there, and which registers are read stands in a file for each.
fn check_objects(daemon: &[u8], processor: &str) -> Result<()> {
    const FOLDER: &[u8] = b"agent-ebpf/src/arch/";
    let own = format!("{processor}.rs");
    let mut found = false;
    for object in objects(daemon) {
        // No other file's name begins so.
        for at in memchr::memmem::find_iter(&object, FOLDER) {
            let name = &object[at + FOLDER.len()..];
            if !name.starts_with(own.as_bytes()) {
                bail!("the daemon for {processor} holds what was made for another's kernel");
            }
            found = true;
        }
    }
    anyhow::ensure!(
        found,
        "nothing in the daemon was made for {processor}'s kernel"
    );
    Ok(())
}

/// Executable files that it holds as gzip (RFC 1952, 2.3: its first bytes, and that it deflates).
fn objects(daemon: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const GZIP: &[u8] = &[0x1f, 0x8b, 8];
    const ELF: &[u8] = b"\x7fELF";
    memchr::memmem::find_iter(daemon, GZIP).filter_map(|at| {
        let mut object = Vec::new();
        let read = GzDecoder::new(&daemon[at..]).read_to_end(&mut object);
        (read.is_ok() && object.starts_with(ELF)).then_some(object)
    })
}

/// Where cargo leaves it.
pub fn built(release: &Release) -> PathBuf {
    workspace::target().join(&release.target).join("dist")
}

/// Where the toolchain is.
fn sysroot() -> Result<PathBuf> {
    let mut rustc = process::tied("rustc");
    rustc.args(["--print", "sysroot"]);
    let printed = process::capture(rustc.current_dir(workspace::root()))?;
    Ok(printed.trim_end().into())
}

/// Where cargo keeps sources of dependencies, whose paths panics name.
fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(".cargo"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn with_object(of: &str) -> Vec<u8> {
        let object = format!("\x7fELF\0./agent-ebpf/src/arch/{of}.rs\0");
        let mut packed = GzEncoder::new(b"a daemon".to_vec(), Compression::default());
        packed.write_all(object.as_bytes()).expect("memory");
        packed.finish().expect("memory")
    }

    #[test]
    fn a_daemon_with_another_processors_objects_is_refused() {
        let [x86, arm] = ["x86_64", "aarch64"].map(with_object);
        assert!(check_objects(&x86, "x86_64").is_ok());
        assert!(check_objects(&arm, "aarch64").is_ok());
        for wrong in [x86.as_slice(), &[arm.as_slice(), &x86].concat(), b"none"] {
            check_objects(wrong, "aarch64").expect_err("it is not for that");
        }
    }
}
