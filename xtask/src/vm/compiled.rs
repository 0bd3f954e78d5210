//! Kernels that no distribution ships, without what wirespan would rather have: compiled from
//! Debian's source, by the configurations in `tests/vm/kernels`. Ten minutes each, once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::setup::mirror;
use crate::workspace;

/// A kernel that lacks something.
pub struct Variant {
    /// As `--kernel` takes it; after the dash, a file in `tests/vm/kernels`.
    pub name: &'static str,
    /// Debian's package of the source, and the suite that has it.
    source: (&'static str, &'static str),
}

/// All of them. None has type information.
pub const VARIANTS: [Variant; 2] = [
    Variant {
        name: "6.1-no-kprobes",
        source: ("linux-source-6.1", "bookworm"),
    },
    Variant {
        name: "6.1-no-uprobes",
        source: ("linux-source-6.1", "bookworm"),
    },
];

/// What all have in common.
const COMMON: &str = "common";

impl Variant {
    /// Compiles it, and leaves in `into` what a package of a kernel would: an image, and a folder
    /// for modules, of which there are none.
    pub fn compile(&self, into: &Path) -> Result<()> {
        let (package, suite) = self.source;
        let (_, lacks) = self
            .name
            .split_once('-')
            .context("a variant lacks something")?;
        let source = into.join("source");
        let build = into.join("build");
        for directory in [&source, &build] {
            fs::create_dir_all(directory)?;
        }
        unpack(package, suite, &source)?;
        let wanted = build.join("wanted.config");
        let parts = [COMMON, lacks].map(|part| {
            let file = format!("tests/vm/kernels/{part}.config");
            fs::read_to_string(workspace::root().join(&file)).context(file)
        });
        let [common, lacking] = parts;
        fs::write(&wanted, common? + &lacking?)?;
        let jobs = std::thread::available_parallelism()?;
        let make = |targets: &[&str]| {
            let mut make = process::tied("make");
            make.args(["--silent", &format!("--jobs={jobs}")])
                .arg(format!("O={}", build.display()))
                .arg(format!("KCONFIG_ALLCONFIG={}", wanted.display()))
                .args(targets)
                .current_dir(&source);
            process::run(&mut make)
        };
        make(&["allnoconfig"])?;
        make(&["bzImage"])?;
        let release = fs::read_to_string(build.join("include/config/kernel.release"))?;
        let release = release.trim();
        fs::create_dir_all(into.join("boot"))?;
        fs::create_dir_all(into.join("lib/modules").join(release).join("kernel"))?;
        let image = into.join(format!("boot/vmlinuz-{release}"));
        fs::copy(build.join("arch/x86/boot/bzImage"), image)?;
        fs::remove_dir_all(&source)?;
        fs::remove_dir_all(&build)?;
        Ok(())
    }
}

/// The source of Debian's package, without the folder that it comes in.
fn unpack(package: &str, suite: &str, into: &Path) -> Result<()> {
    let deb = mirror::download(suite, |name| name == package, into)
        .with_context(|| format!("the kernel's source, {package}"))?;
    process::run(process::tied("dpkg-deb").arg("-x").arg(&deb).arg(into))?;
    fs::remove_file(&deb)?;
    let archive = into.join(format!("usr/src/{package}.tar.xz"));
    process::run(
        process::tied("tar")
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(into),
    )?;
    fs::remove_file(&archive).map_err(Into::into)
}
