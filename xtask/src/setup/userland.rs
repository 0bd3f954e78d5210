//! Debian's programs for another processor, below `target/vm`: for virtual machines to run, and
//! never installed here. Packages come with what they depend on; nothing of them is run as they are
//! unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::mirror::{self, Package};
use crate::package::certificates;
use crate::{process, workspace};

/// The release that they are of.
const SUITE: &str = "bookworm";

/// What is run there.
const WANTED: [&str; 21] = [
    "bash",
    "busybox-static",
    "coreutils",
    "curl",
    "dash",
    "findutils",
    "gcc",
    "gnutls-bin",
    "grep",
    "libc6-dev",
    "libgnutls28-dev",
    "libssl-dev",
    "mount",
    "nginx-light",
    "nodejs",
    "openssl",
    "procps",
    "python3",
    "python3-flask",
    "sed",
    "util-linux",
];

/// What nothing of that needs in order to run, though it is depended on: what configures packages,
/// and what these are configured by.
const LEFT_OUT: [&str; 6] = [
    "adduser",
    "debconf",
    "init-system-helpers",
    "iproute2",
    "perl-base",
    "sysvinit-utils",
];

/// Names that scripts of packages would have made, and what they stand for.
const NAMES: [(&str, &str); 1] = [("usr/bin/cc", "gcc")];

/// Where it is written down what was wanted, below the root.
const MADE_OF: &str = "etc/made-of";

/// The root of the files for a processor, unpacked unless they are there.
pub fn ensure(architecture: &str) -> Result<PathBuf> {
    let name = format!("userland-{architecture}");
    let directory = workspace::target().join("vm").join(name);
    let wanted = WANTED.join("\n");
    if std::fs::read_to_string(directory.join(MADE_OF)).is_ok_and(|made_of| made_of == wanted) {
        return Ok(directory);
    }
    println!("setup: fetching Debian's programs for {architecture} for the virtual machine");
    let unfinished = directory.with_extension("part");
    for old in [&unfinished, &directory] {
        let _ = std::fs::remove_dir_all(old);
    }
    std::fs::create_dir_all(&unfinished)?;
    let index = mirror::index(SUITE, architecture, &unfinished)?;
    let packages = mirror::packages(&index);
    let file = unfinished.join("downloaded.deb");
    for package in with_dependencies(&packages, &WANTED, &LEFT_OUT) {
        mirror::fetch_package(package, &file)?;
        unpack(&file, &unfinished)?;
    }
    std::fs::remove_file(&file)?;
    for place in [
        "dev",
        "proc",
        "run",
        "sys",
        "tmp",
        "var/log/nginx",
        "var/lib/nginx",
    ] {
        std::fs::create_dir_all(unfinished.join(place))?;
    }
    for (name, target) in NAMES {
        std::os::unix::fs::symlink(target, unfinished.join(name))
            .with_context(|| format!("{name} in the files for {architecture}"))?;
    }
    // The package leaves that to a script, too.
    std::fs::write(unfinished.join(certificates::PATH), certificates::bundle())?;
    // nginx looks for the other one.
    let users = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    std::fs::write(unfinished.join("etc/passwd"), users)?;
    std::fs::write(
        unfinished.join("etc/group"),
        "root:x:0:\nnogroup:x:65534:\n",
    )?;
    std::fs::write(unfinished.join(MADE_OF), wanted)?;
    std::fs::rename(&unfinished, &directory)?;
    Ok(directory)
}

fn unpack(package: &Path, into: &Path) -> Result<()> {
    let mut command = process::tied("dpkg-deb");
    process::run(command.arg("-x").arg(package).arg(into))
}

/// Those that are wanted and what they depend on, of alternatives the first, each once, but for
/// what is left out.
pub fn with_dependencies<'a>(
    packages: &BTreeMap<&str, Package<'a>>,
    wanted: &[&str],
    left_out: &[&str],
) -> Vec<Package<'a>> {
    let mut named = BTreeSet::new();
    let mut open: Vec<&str> = wanted.to_vec();
    let mut found = Vec::new();
    while let Some(name) = open.pop() {
        // Names that packages provide besides their own are of no program.
        let Some(package) = packages.get(name) else {
            continue;
        };
        if left_out.contains(&name) || !named.insert(name.to_owned()) {
            continue;
        }
        found.push(*package);
        open.extend(package.depends().map(|needed| {
            let known = packages.get_key_value(needed);
            known.map_or("", |(name, _)| *name)
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_depended_on_comes_once_and_what_configures_not_at_all() {
        let index = "\
Package: curl\nDepends: libc6 (>= 2.34), libcurl4 (= 7), debconf | none\nFilename: c\nSHA256: 1\n\n\
Package: libcurl4\nDepends: libc6, libssl3:any, a-name\nFilename: l\nSHA256: 2\n\n\
Package: libc6\nFilename: 6\nSHA256: 3\n\n\
Package: libssl3\nPre-Depends: libc6\nFilename: s\nSHA256: 4\n\n\
Package: debconf\nFilename: d\nSHA256: 5\n\n\
Package: unasked\nFilename: u\nSHA256: 6\n";
        let packages = mirror::packages(index);
        let mut files: Vec<_> = with_dependencies(&packages, &WANTED, &LEFT_OUT)
            .iter()
            .map(|package| package.file)
            .collect();
        files.sort_unstable();
        assert_eq!(files, ["6", "c", "l", "s"]);
    }
}
