//! Packages of other Debian releases than the machine's: downloaded from the mirror that apt
//! uses, for
//! unpacking only. Nothing is installed, and no suite is added to the package sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// The newest package of `suite` whose name is `wanted`, as a file in the directory `into`. Package
/// lists are not verified by a signature as apt's would be, so what comes of this is for tests
/// only.
pub fn download(suite: &str, wanted: impl Fn(&str) -> bool, into: &Path) -> Result<PathBuf> {
    let sites = process::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(SITE)",
        "Created-By: Packages",
    ]))?;
    let main = sites
        .lines()
        .find(|site| site.trim_end_matches('/').ends_with("/debian"))
        .context("apt's sources name no Debian mirror; `apt-get update` tells more")?;
    let index = into.join("Packages.xz");
    fetch(
        &format!("{main}/dists/{suite}/main/binary-amd64/Packages.xz"),
        &index,
    )?;
    let packages = process::capture(Command::new("xz").arg("-dc").arg(&index))?;
    let (file, sha256) = newest(&packages, wanted)
        .with_context(|| format!("{main} has no such package in {suite}"))?;
    let package = into.join("downloaded.deb");
    fetch(&format!("{main}/{file}"), &package)?;
    let digest = process::capture(Command::new("sha256sum").arg(&package))?;
    if !digest.starts_with(sha256) {
        bail!("{file} arrived damaged: its SHA-256 is not {sha256}");
    }
    std::fs::remove_file(&index)?;
    Ok(package)
}

fn fetch(url: &str, into: &Path) -> Result<()> {
    let options = [
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--retry",
        "3",
    ];
    process::run(
        process::tied("curl")
            .args(options)
            .arg("--output")
            .arg(into)
            .arg(url),
    )
}

/// File and SHA-256 of the newest package in a `Packages` list whose name is wanted.
fn newest(packages: &str, wanted: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
        let mut lines = stanza.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
    packages
        .split("\n\n")
        .filter(|stanza| field(stanza, "Package").is_some_and(&wanted))
        .filter_map(|stanza| Some((field(stanza, "Filename")?, field(stanza, "SHA256")?)))
        .max_by_key(|(file, _)| numbers(file))
}

/// The numbers in a file name, which order versions well enough within one series.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_found_by_number_not_by_letter() {
        let packages = "\
Package: image-5.10.0-9\nFilename: pool/a_5.10.0-9_amd64.deb\nSHA256: aa\n\n\
Package: image-5.10.0-32\nFilename: pool/a_5.10.0-32_amd64.deb\nSHA256: bb\n\n\
Package: image-5.10.0-4\nFilename: pool/a_5.10.0-4_amd64.deb\nSHA256: cc\n";
        assert_eq!(
            newest(packages, |name| name.starts_with("image-5.10.")),
            Some(("pool/a_5.10.0-32_amd64.deb", "bb"))
        );
        assert_eq!(newest(packages, |name| name == "image-6.1"), None);
    }
}
