//! Packages of Debian and of those with RPM, with the unit of systemd, around the binary that was
//! built before. What is in them stands in the daemon's `Cargo.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Release;
use super::binary::built;
use crate::{process, workspace};

/// `wirespan_<version>-1_<architecture>.deb` and `wirespan-<version>-1.<architecture>.rpm`.
pub fn write(release: &Release, directory: &Path) -> Result<[PathBuf; 2]> {
    let Release {
        version, target, ..
    } = release;
    let debian = match release.processor() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let deb = directory.join(format!("wirespan_{version}-1_{debian}.deb"));
    let mut cargo = command(release, "deb");
    cargo.args([
        "--quiet",
        "--package",
        "wirespan",
        "--no-build",
        "--no-strip",
    ]);
    process::capture(cargo.arg("--output").arg(&deb)).context("cargo-deb")?;
    let rpm = directory.join(format!("wirespan-{version}-1.{}.rpm", release.processor()));
    let staged = workspace::target().join("package-rpm");
    let mut cargo = command(release, "generate-rpm");
    cargo.args(["--package", "agent", "--set-metadata"]);
    cargo.arg(format!("assets = [{}]", staged_assets(release, &staged)?));
    process::capture(cargo.arg("--output").arg(&rpm))
        .with_context(|| format!("cargo-generate-rpm for {target}"))?;
    std::fs::remove_dir_all(&staged)?;
    Ok([deb, rpm])
}

/// The files of the `.rpm`, copied to where they get the time of the release: the command takes
/// theirs where it is earlier. As TOML, in which texts are written as in JSON.
fn staged_assets(release: &Release, staged: &Path) -> Result<String> {
    let mut metadata = workspace::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let daemon = packages
        .iter()
        .find(|package| package["name"] == "wirespan");
    let assets = &daemon.context("the daemon")?["metadata"]["generate-rpm"]["assets"];
    std::fs::create_dir_all(staged)?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(release.time);
    let mut tables = Vec::new();
    for asset in assets.as_array().context("assets")? {
        let mut asset = asset.as_object().context("an asset")?.clone();
        let source = asset["source"].as_str().context("a source")?.to_owned();
        let from = match source.strip_prefix("target/release/") {
            Some(program) => built(release).join(program),
            None => workspace::root().join(&source),
        };
        let copy = staged.join(tables.len().to_string());
        std::fs::copy(&from, &copy).with_context(|| from.display().to_string())?;
        std::fs::File::options()
            .write(true)
            .open(&copy)?
            .set_modified(time)?;
        asset.insert("source".to_owned(), copy.display().to_string().into());
        let fields = asset
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        tables.push(format!("{{ {} }}", fields.collect::<Vec<_>>().join(", ")));
    }
    Ok(tables.join(", "))
}

/// One of cargo's commands that pack what was built.
fn command(release: &Release, name: &str) -> Command {
    let mut cargo = workspace::cargo(&[name]);
    cargo
        .args(["--target", &release.target, "--profile", "dist"])
        .env("SOURCE_DATE_EPOCH", release.time.to_string());
    cargo
}
