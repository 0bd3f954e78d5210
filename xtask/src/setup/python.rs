//! What programs in Python among the workloads need beyond Debian's packages, in the versions that
//! lists beside them name: below `target/tools`, for Debian's interpreter. Nothing is installed
//! into the system or the user's directories.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::{self, system};

/// Holds what was installed, written when all of it was.
const STAMP: &str = "installed";

/// Servers and clients whose calls are linked, and an SDK of OpenTelemetry.
pub fn ensure() -> Result<()> {
    install("links/python", "links/python/requirements.txt")?;
    install("sdk/python", "sdk/requirements.txt")
}

/// Installs what the workloads' list `list` names into `directory` below `target/tools`.
pub fn install(directory: &str, list: &str) -> Result<()> {
    let directory = workspace::tools().join(directory);
    let list = workspace::root().join("tests/workloads").join(list);
    once(&directory, &list, || {
        process::run(
            system("python3")
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--root-user-action=ignore", "--disable-pip-version-check"])
                .args(["--only-binary", ":all:"])
                .arg("--target")
                .arg(&directory)
                .arg("--requirement")
                .arg(&list),
        )
    })
}

/// Installs into an empty directory, unless what `list` names was installed there before.
pub fn once(directory: &Path, list: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = std::fs::read(list).with_context(|| list.display().to_string())?;
    let stamp = directory.join(STAMP);
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("setup: installing what {} names", list.display());
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    std::fs::create_dir_all(directory)?;
    install()?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}
