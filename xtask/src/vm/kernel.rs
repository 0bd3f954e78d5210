//! Debian's kernels, downloaded and unpacked under `target/vm`; never installed on this machine,
//! and no suite is added to its package sources.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Processor;
use super::compiled::VARIANTS;
use crate::process;
use crate::setup::{self, Purpose, apt, mirror};
use crate::workspace;

/// What `cargo xtask vm` boots.
pub const DEFAULT: &str = "6.1";

/// The kernels that the tests boot.
pub const TESTED: [&str; 3] = ["6.1", "5.10", "6.12"];

/// Version, and the Debian suite that has it. A first number alone is the newest of its kind.
const SERIES: [(&str, &str); 4] = [
    ("5.10", "bullseye"),
    ("6.1", "bookworm"),
    ("6.12", "trixie"),
    ("7", "trixie-backports"),
];

/// Every series that Debian has.
pub fn known() -> impl Iterator<Item = &'static str> {
    SERIES.iter().map(|(name, _)| *name)
}

/// The kernel of a series that was compiled without something, if one is; with all if that is
/// nothing.
pub fn without(series: &'static str, something: &str) -> Option<&'static str> {
    if something.is_empty() {
        return Some(series);
    }
    let mut names = VARIANTS.iter().map(|variant| variant.name);
    names.find(|name| {
        let lacks = name
            .strip_prefix(series)
            .and_then(|it| it.strip_prefix('-'));
        lacks == Some(something)
    })
}

/// Those for AArch64 that capabilities are tried on.
pub const ARM: [&str; 2] = ["6.1-arm64", "6.12-arm64"];

/// An unpacked kernel package.
pub struct Kernel {
    pub(super) processor: Processor,
    /// As `uname -r` says it.
    pub release: String,
    /// What a boot loader loads.
    pub image: PathBuf,
    /// `lib/modules/<release>`.
    pub modules: PathBuf,
}

/// Downloads those that the tests boot, unless they are there.
pub fn ensure_tested() -> Result<()> {
    TESTED
        .iter()
        .try_for_each(|series| ensure(series).map(drop))
}

/// The newest kernel of a series, or a variant that is compiled; made unless it is there already.
pub fn ensure(name: &str) -> Result<Kernel> {
    let (series, processor) = Processor::of(name);
    setup::ensure(processor.purposes())?;
    let variant = VARIANTS.iter().find(|variant| variant.name == name);
    let suite = SERIES.iter().find(|(known, _)| *known == series);
    if variant.is_none() && suite.is_none() {
        let variants = VARIANTS.iter().map(|variant| variant.name);
        let known: Vec<_> = known().chain(ARM).chain(variants).collect();
        bail!(
            "kernel `{name}` is not known; there are {}",
            known.join(", ")
        );
    }
    let directory = workspace::target().join("vm/kernels").join(name);
    if !directory.is_dir() {
        let unfinished = directory.with_file_name(format!("{name}.part"));
        // What an interrupted run left; there is nothing on a clean checkout.
        let _ = std::fs::remove_dir_all(&unfinished);
        std::fs::create_dir_all(&unfinished)
            .with_context(|| format!("cannot create {}", unfinished.display()))?;
        match (variant, suite) {
            (Some(variant), _) => {
                println!("setup: compiling kernel {name} for the virtual machine");
                setup::ensure(&[Purpose::Kernels])?;
                variant.compile(&unfinished)?;
            }
            (None, Some((_, suite))) => {
                println!("setup: fetching Debian's kernel {name} for the virtual machine");
                fetch(processor, series, suite, &unfinished)?;
            }
            (None, None) => {}
        }
        std::fs::rename(&unfinished, &directory)?;
    }
    unpacked(processor, &directory).with_context(|| {
        let directory = directory.display();
        format!("{directory} holds no kernel; remove it and try again")
    })
}

/// A package of Debian's, unpacked.
fn fetch(processor: Processor, series: &str, suite: &str, into: &Path) -> Result<()> {
    // What apt knows is this machine's.
    let package = match processor {
        Processor::X86 => download_with_apt(series, into)?,
        Processor::Arm => None,
    };
    let is_it = |name: &str| is_package_of(name, series, processor);
    let package = match package {
        Some(package) => package,
        None => mirror::download_for(processor.debian(), suite, is_it, into)
            .with_context(|| format!("kernel {series}"))?,
    };
    process::run(process::tied("dpkg-deb").arg("-x").arg(&package).arg(into))?;
    std::fs::remove_file(&package).map_err(Into::into)
}

fn unpacked(processor: Processor, tree: &Path) -> Result<Kernel> {
    let mut names = std::fs::read_dir(tree.join("boot"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let release = names
        .find_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()))
        .context("there is no boot/vmlinuz-*")?;
    // Since trixie packages put everything below /usr.
    let modules = ["lib/modules", "usr/lib/modules"]
        .map(|place| tree.join(place).join(&release))
        .into_iter()
        .find(|place| place.is_dir())
        .context("there are no modules")?;
    Ok(Kernel {
        processor,
        image: tree.join("boot").join(format!("vmlinuz-{release}")),
        release,
        modules,
    })
}

/// From the machine's own package sources, if the kernel of its release is of this series.
fn download_with_apt(series: &str, into: &Path) -> Result<Option<PathBuf>> {
    let depends = ["depends", "linux-image-amd64"];
    let mut said = process::capture(Command::new("apt-cache").args(depends)).unwrap_or_default();
    if said.is_empty() && rustix::process::geteuid().is_root() {
        apt::apt_get(&["update"])?;
        said = process::capture(Command::new("apt-cache").args(depends))?;
    }
    let Some(package) = said
        .split_whitespace()
        .find(|word| is_package_of(word, series, Processor::X86))
        .map(str::to_owned)
    else {
        return Ok(None);
    };
    let downloaded = process::run(
        process::tied("apt-get")
            // apt's own user cannot write below a root's home.
            .args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"])
            .arg(&package)
            .current_dir(into),
    );
    if downloaded.is_err() && rustix::process::geteuid().is_root() {
        // The lists are older than the mirror. They will name another package now.
        apt::apt_get(&["update"])?;
        let said = process::capture(Command::new("apt-cache").args(depends))?;
        let package = said
            .split_whitespace()
            .find(|word| is_package_of(word, series, Processor::X86))
            .context("the kernel is gone from the package lists")?;
        process::run(
            process::tied("apt-get")
                .args(["--quiet=2", "-o", "APT::Sandbox::User=root", "download"])
                .arg(package)
                .current_dir(into),
        )?;
    } else {
        downloaded?;
    }
    let mut files = std::fs::read_dir(into)?.filter_map(|entry| Some(entry.ok()?.path()));
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    Ok(Some(file.context("apt-get downloaded nothing")?))
}

/// `linux-image-6.1.0-56-amd64` is of series 6.1; `linux-image-6.1.0-56-cloud-amd64` and
/// `linux-image-6.12.94+deb13-amd64` are not. The flavour is the one with 9p, which the cloud
/// images have not.
fn is_package_of(package: &str, series: &str, processor: Processor) -> bool {
    let Some(version) = package
        .strip_prefix("linux-image-")
        .and_then(|rest| rest.strip_suffix(processor.debian()))
        .and_then(|rest| rest.strip_suffix('-'))
    else {
        return false;
    };
    version
        .strip_prefix(series)
        .is_some_and(|rest| rest.starts_with('.'))
        && !["cloud", "rt", "unsigned"]
            .iter()
            .any(|flavour| version.ends_with(flavour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_not_the_beginning_of_another() {
        let is_of = |package, series| is_package_of(package, series, Processor::X86);
        assert!(is_of("linux-image-6.1.0-56-amd64", "6.1"));
        assert!(!is_of("linux-image-6.12.94+deb13-amd64", "6.1"));
        assert!(is_of("linux-image-6.12.94+deb13-amd64", "6.12"));
        assert!(is_of("linux-image-7.3.4+deb13-amd64", "7"));
        let arm = "linux-image-6.1.0-50-arm64";
        assert!(is_package_of(arm, "6.1", Processor::Arm) && !is_of(arm, "6.1"));
    }

    #[test]
    fn other_flavours_and_the_meta_package_are_refused() {
        for package in [
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-rt-amd64",
            "linux-image-amd64",
        ] {
            assert!(!is_package_of(package, "6.1", Processor::X86), "{package}");
        }
    }
}
