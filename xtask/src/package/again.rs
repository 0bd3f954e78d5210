//! The same commit packed in two folders, compared byte by byte. It says which files differ, and
//! not why.

use std::path::Path;

use anyhow::{Result, bail};

use super::{TARGETS, all, directory};
use crate::{process, workspace};

/// Packs here and in a clone below the target directory; fails if a file differs.
pub fn compare() -> Result<()> {
    let mut git = process::tied("git");
    git.args(["status", "--porcelain"])
        .current_dir(workspace::root());
    if !process::capture(&mut git)?.is_empty() {
        bail!("only what is committed can be packed elsewhere; there are changes");
    }
    all(&TARGETS)?;
    let here = sums(&directory())?;
    let clone = workspace::target().join("packed-again");
    remove(&clone)?;
    process::run(
        process::tied("git")
            .args(["clone", "--quiet", "--local"])
            .arg(workspace::root())
            .arg(&clone),
    )?;
    std::fs::create_dir_all(clone.join("target"))?;
    std::os::unix::fs::symlink(workspace::tools(), clone.join("target/tools"))?;
    process::run(
        workspace::cargo(&["xtask", "package"])
            .current_dir(&clone)
            .env_remove("CARGO_TARGET_DIR"),
    )?;
    let there = sums(&clone.join("target/package"))?;
    remove(&clone)?;
    let differ: Vec<_> = here.lines().filter(|line| !there.contains(line)).collect();
    if !differ.is_empty() || here.len() != there.len() {
        bail!("the same commit gives other bytes in another folder:\n{here}\n{there}");
    }
    Ok(())
}

fn sums(directory: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(directory.join("SHA256SUMS"))?)
}

fn remove(clone: &Path) -> Result<()> {
    if clone.exists() {
        std::fs::remove_dir_all(clone)?;
    }
    Ok(())
}
