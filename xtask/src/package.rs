//! What users install, below `target/package`: a static binary, an image with nothing but it,
//! packages of systems, what it is made of, and checksums. The same commit gives the same bytes,
//! in whichever folder. Nothing is published from here.

pub mod again;
mod binary;
pub mod certificates;
mod image;
mod layer;
mod materials;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::setup::{self, Purpose};
use crate::{cross, process, workspace};

/// This machine's.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// For whose processors both sides are written.
const TARGETS: [&str; 2] = [TARGET, cross::ARM];

/// What to make.
#[derive(clap::Args)]
pub struct Args {
    /// The target of Rust's that it is made for; may be given several times
    #[arg(long, default_values = TARGETS)]
    target: Vec<String>,
    /// The binary and the image, and no packages
    #[arg(long)]
    image: bool,
}

/// `cargo xtask package`
pub fn run(args: &Args) -> Result<ExitCode> {
    let targets: Vec<_> = args.target.iter().map(String::as_str).collect();
    setup::ensure(&[Purpose::Build, Purpose::Image])?;
    if targets.contains(&cross::ARM) {
        setup::ensure(&[Purpose::Cross])?;
    }
    let made = if args.image {
        images(&targets)?
    } else {
        setup::ensure(&[Purpose::Package])?;
        all(&targets)?
    };
    for path in made {
        let size = std::fs::metadata(&path)?.len();
        println!("package: {} ({})", path.display(), mebibytes(size));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it all is.
pub fn directory() -> PathBuf {
    workspace::target().join("package")
}

/// Makes all of it anew; returns the files.
pub fn all(targets: &[&str]) -> Result<Vec<PathBuf>> {
    let releases = releases(targets)?;
    let mut made = binaries_and_images(&releases)?;
    for release in &releases {
        made.extend(system::write(release, &directory())?);
        made.push(materials::write(release, &directory())?);
    }
    with_checksums(made)
}

/// Makes the binary and the image for this machine anew; returns the files.
pub fn image() -> Result<Vec<PathBuf>> {
    images(&[TARGET])
}

fn images(targets: &[&str]) -> Result<Vec<PathBuf>> {
    with_checksums(binaries_and_images(&releases(targets)?)?)
}

fn releases(targets: &[&str]) -> Result<Vec<Release>> {
    targets.iter().map(|target| Release::of(target)).collect()
}

fn binaries_and_images(releases: &[Release]) -> Result<Vec<PathBuf>> {
    let directory = directory();
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let mut made = Vec::new();
    let mut binaries = Vec::new();
    for release in releases {
        let binary = binary::build(release, &directory)?;
        let daemon = std::fs::read(&binary).with_context(|| binary.display().to_string())?;
        made.push(binary);
        made.push(image::archive(release, &daemon, &directory)?);
        binaries.push((release, daemon));
    }
    image::write(&binaries, &directory)?;
    Ok(made)
}

/// Which state of the workspace is packed.
pub struct Release {
    pub version: &'static str,
    pub target: String,
    /// The commit.
    pub revision: String,
    /// When it was made, in seconds since 1970: the time of all files.
    pub time: u64,
}

impl Release {
    fn of(target: &str) -> Result<Self> {
        let git = |format: &str| {
            let mut git = process::tied("git");
            git.args(["log", "-1", format])
                .current_dir(workspace::root());
            process::capture(&mut git)
        };
        let time = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(time) => time,
            Err(_) => git("--format=%ct").context("packages have the time of their commit")?,
        };
        Ok(Self {
            // All packages of the workspace have the same.
            version: env!("CARGO_PKG_VERSION"),
            target: target.to_owned(),
            revision: git("--format=%H")?.trim().to_owned(),
            time: time
                .trim()
                .parse()
                .context("SOURCE_DATE_EPOCH is no number")?,
        })
    }

    /// The processor, as Rust calls it.
    pub fn processor(&self) -> &str {
        self.target.split('-').next().unwrap_or_default()
    }
}

/// And `SHA256SUMS`, as sha256sum reads it.
fn with_checksums(mut files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let directory = directory();
    let mut sums = String::new();
    for file in &files {
        let name = file.strip_prefix(&directory)?.display();
        sums += &format!("{}  {name}\n", sha256(&std::fs::read(file)?));
    }
    let path = directory.join("SHA256SUMS");
    std::fs::write(&path, sums)?;
    files.push(path);
    Ok(files)
}

/// In hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
