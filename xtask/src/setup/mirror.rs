//! Packages of other Debian releases than the machine's: downloaded from the mirror that apt
//! uses, for
//! unpacking only. Nothing is installed, and no suite is added to the package sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// A package, as the list of a suite has it.
#[derive(Clone, Copy)]
pub struct Package<'a> {
    /// Its place on the mirror.
    pub file: &'a str,
    sha256: &'a str,
    /// To be unpacked before it can be, and to be there for it to run.
    depends: [&'a str; 2],
}

impl<'a> Package<'a> {
    /// Names of what it depends on, of alternatives the first.
    pub fn depends(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let ends_name = |character: char| " (|:".contains(character);
        let names = self.depends.into_iter().flat_map(|list| list.split(", "));
        names.filter_map(move |name| name.split(ends_name).next())
    }
}

/// The newest package of `suite` for this machine whose name is `wanted`, as a file in the
/// directory `into`. Package lists are not verified by a signature as apt's would be, so what comes
/// of this is for tests only.
pub fn download(suite: &str, wanted: impl Fn(&str) -> bool, into: &Path) -> Result<PathBuf> {
    download_for("amd64", suite, wanted, into)
}

/// The same for another processor.
pub fn download_for(
    architecture: &str,
    suite: &str,
    wanted: impl Fn(&str) -> bool,
    into: &Path,
) -> Result<PathBuf> {
    let list = index(suite, architecture, into)?;
    let package = newest(&list, wanted)
        .with_context(|| format!("there is no such package for {architecture} in {suite}"))?;
    let file = into.join("downloaded.deb");
    fetch_package(package, &file)?;
    Ok(file)
}

/// The list of all packages of a suite for a processor; `within` is a directory for it meanwhile.
pub fn index(suite: &str, architecture: &str, within: &Path) -> Result<String> {
    let file = within.join("Packages.xz");
    let main = main()?;
    fetch(
        &format!("{main}/dists/{suite}/main/binary-{architecture}/Packages.xz"),
        &file,
    )?;
    let packages = process::capture(Command::new("xz").arg("-dc").arg(&file))?;
    std::fs::remove_file(&file)?;
    Ok(packages)
}

/// Fetches a package to a file.
pub fn fetch_package(package: Package<'_>, to: &Path) -> Result<()> {
    let Package { file, sha256, .. } = package;
    fetch(&format!("{}/{file}", main()?), to)?;
    let digest = process::capture(Command::new("sha256sum").arg(to))?;
    if !digest.starts_with(sha256) {
        bail!("{file} arrived damaged: its SHA-256 is not {sha256}");
    }
    Ok(())
}

/// Packages of a list by name, of several versions the last.
pub fn packages(index: &str) -> BTreeMap<&str, Package<'_>> {
    let stanzas = index.split("\n\n");
    stanzas
        .filter_map(|stanza| Some((field(stanza, "Package")?, package(stanza)?)))
        .collect()
}

/// Debian's mirror that this machine uses.
fn main() -> Result<String> {
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
    Ok(main.to_owned())
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

/// The newest package in a list whose name is wanted.
fn newest(packages: &str, wanted: impl Fn(&str) -> bool) -> Option<Package<'_>> {
    packages
        .split("\n\n")
        .filter(|stanza| field(stanza, "Package").is_some_and(&wanted))
        .filter_map(package)
        .max_by_key(|package| numbers(package.file))
}

fn package(stanza: &str) -> Option<Package<'_>> {
    Some(Package {
        file: field(stanza, "Filename")?,
        sha256: field(stanza, "SHA256")?,
        depends: ["Pre-Depends", "Depends"].map(|name| field(stanza, name).unwrap_or_default()),
    })
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = stanza.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
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
        let found = newest(packages, |name| name.starts_with("image-5.10."));
        let found = found.map(|package| (package.file, package.sha256));
        assert_eq!(found, Some(("pool/a_5.10.0-32_amd64.deb", "bb")));
        assert!(newest(packages, |name| name == "image-6.1").is_none());
    }
}
