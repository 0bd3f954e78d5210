//! Python in versions that the machine's own Debian has not: as other releases of Debian have them,
//! each with a root of its own below `target/tools`, like a container's; nothing of it is
//! installed. For those that no release has, only what programs need is fetched: they are run where
//! the machine has them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{mirror, python, userland};
use crate::process;
use crate::workspace::{self, system};

/// A version, and the release that has it.
struct Version {
    number: &'static str,
    suite: Option<&'static str>,
    /// What is installed for it, below the workloads.
    list: &'static str,
}

/// Older than what others take.
const OLDEST_LIST: &str = "links/python/oldest.txt";
const LIST: &str = "links/python/versions.txt";

const VERSIONS: [Version; 6] = [
    version("3.9", Some("bullseye"), OLDEST_LIST),
    version("3.10", None, LIST),
    version("3.12", None, LIST),
    version("3.13", Some("trixie"), LIST),
    version("3.14", Some("sid"), LIST),
    version("3.15", Some("sid"), LIST),
];

const fn version(number: &'static str, suite: Option<&'static str>, list: &'static str) -> Version {
    Version {
        number,
        suite,
        list,
    }
}

/// What nothing of it needs in order to run, though it is depended on.
const LEFT_OUT: [&str; 6] = [
    "debconf",
    "dpkg",
    "libc-gconv-modules-extra",
    "media-types",
    "openssl-provider-legacy",
    "tzdata",
];

/// Directories that are links to those below `usr` in releases whose packages have all of it there.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// All of them, unless they are there.
pub fn ensure() -> Result<()> {
    for version in &VERSIONS {
        let place = workspace::tools().join("python").join(version.number);
        if let Some(suite) = version.suite
            && !place.join(version.program()).is_file()
        {
            version.fetch(suite, &place)?;
        }
        version.install(&place.join("libraries"))?;
    }
    Ok(())
}

impl Version {
    /// Within its root.
    fn program(&self) -> PathBuf {
        Path::new("usr/bin").join(format!("python{}", self.number))
    }

    /// Unpacks it with what it depends on. A release that moves on may have it no longer: then it
    /// is one of those that no release has.
    fn fetch(&self, suite: &str, into: &Path) -> Result<()> {
        let wanted = format!("python{}", self.number);
        println!("setup: fetching {wanted} from Debian's {suite}");
        let unfinished = into.with_extension("part");
        for old in [&unfinished, into] {
            let _ = std::fs::remove_dir_all(old);
        }
        std::fs::create_dir_all(&unfinished)
            .with_context(|| format!("cannot create {}", unfinished.display()))?;
        let index = mirror::index(suite, "amd64", &unfinished)?;
        let packages = mirror::packages(&index);
        let found = userland::with_dependencies(&packages, &[&wanted], &LEFT_OUT);
        if found.is_empty() {
            println!("setup: {suite} has no {wanted}");
        }
        let file = unfinished.join("downloaded.deb");
        for package in found {
            mirror::fetch_package(package, &file)?;
            let mut unpack = process::tied("dpkg-deb");
            process::run(unpack.arg("-x").arg(&file).arg(&unfinished))?;
            std::fs::remove_file(&file)?;
        }
        for name in MERGED {
            if !unfinished.join(name).exists() {
                std::os::unix::fs::symlink(format!("usr/{name}"), unfinished.join(name))?;
            }
        }
        std::fs::create_dir_all(unfinished.join("tmp"))?;
        std::fs::rename(&unfinished, into)
            .with_context(|| format!("cannot create {}", into.display()))
    }

    /// What programs need, as wheels for this version; pip chooses by the version that it runs on
    /// what depends on what, so the list names all.
    fn install(&self, directory: &Path) -> Result<()> {
        let list = workspace::root().join("tests/workloads").join(self.list);
        python::once(directory, &list, || {
            process::run(
                system("python3")
                    .args(["-m", "pip", "install", "--quiet", "--no-deps"])
                    .args(["--root-user-action=ignore", "--disable-pip-version-check"])
                    .args(["--only-binary", ":all:", "--python-version", self.number])
                    .arg("--target")
                    .arg(directory)
                    .arg("--requirement")
                    .arg(&list),
            )
        })
    }
}
