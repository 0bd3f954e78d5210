//! What the daemon is made of, for those who look for vulnerable parts: CycloneDX 1.5, from the
//! lock file, for this target.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Release;
use crate::{process, workspace};

/// What the tool is told to call its files, of which it leaves one in each package's folder.
const LEFT: &str = "bill-of-materials";

/// `wirespan-<version>-<processor>.cdx.json`
pub fn write(release: &Release, directory: &Path) -> Result<PathBuf> {
    let written = process::capture(
        workspace::cargo(&["cyclonedx", "--quiet", "--format", "json"])
            .args(["--manifest-path", "agent/Cargo.toml"])
            .args(["--spec-version", "1.5", "--target", &release.target])
            .args(["--override-filename", LEFT])
            .env("SOURCE_DATE_EPOCH", release.time.to_string()),
    );
    let left = workspace::root().join("agent").join(format!("{LEFT}.json"));
    let bill = std::fs::read_to_string(&left);
    remove_left()?;
    written.context("cargo-cyclonedx")?;
    let bill = bill.with_context(|| left.display().to_string())?;
    // Parts of the workspace are named by where it is.
    let bill = bill.replace(
        &format!("file://{}", workspace::root().display()),
        "file://.",
    );
    let name = format!(
        "wirespan-{}-{}.cdx.json",
        release.version,
        release.processor()
    );
    let path = directory.join(name);
    std::fs::write(&path, bill)?;
    Ok(path)
}

/// Those of all packages of the workspace.
fn remove_left() -> Result<()> {
    let metadata = workspace::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = process::capture(&mut { metadata })?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        // Not each of them has one.
        let _ = std::fs::remove_file(manifest.with_file_name(format!("{LEFT}.json")));
    }
    Ok(())
}
