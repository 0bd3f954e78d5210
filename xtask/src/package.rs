//! What users install, below `target/package`: a static binary, an image with nothing but it,
//! packages of systems, what it is made of, and checksums. The same commit gives the same bytes,
//! in whichever folder. Nothing is published from here.

pub mod again;
mod binary;
mod certificates;
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

/// This machine's; the other one for which both sides are written is [`cross::ARM`].
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// What to make.
#[derive(clap::Args)]
pub struct Args {
    /// The target of Rust's that it is made for
    #[arg(long, default_value = TARGET)]
    target: String,
    /// The binary and the image, and no packages
    #[arg(long)]
    image: bool,
}

/// `cargo xtask package`
pub fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build, Purpose::Image])?;
    if args.target == cross::ARM {
        setup::ensure(&[Purpose::Arm])?;
    }
    let made = if args.image {
        image(&args.target)?
    } else {
        setup::ensure(&[Purpose::Package])?;
        all(&args.target)?
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
pub fn all(target: &str) -> Result<Vec<PathBuf>> {
    let release = Release::of(target)?;
    let mut made = binary_and_image(&release)?;
    made.extend(system::write(&release, &directory())?);
    made.push(materials::write(&release, &directory())?);
    with_checksums(made)
}

/// Makes the binary and the image anew; returns the files.
pub fn image(target: &str) -> Result<Vec<PathBuf>> {
    with_checksums(binary_and_image(&Release::of(target)?)?)
}

fn binary_and_image(release: &Release) -> Result<Vec<PathBuf>> {
    let directory = directory();
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    let binary = binary::build(release, &directory)?;
    let archive = image::write(release, &binary, &directory)?;
    Ok(vec![binary, archive])
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
