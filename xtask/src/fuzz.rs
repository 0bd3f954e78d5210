//! libFuzzer on the inputs that strangers write: records, streams, protocols. The targets are in
//! `tests/fuzz`, a workspace of its own, because their instrumentation must not reach this one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::setup::{self, Purpose};
use crate::workspace;

/// What to fuzz, and how long.
#[derive(clap::Args)]
pub struct Args {
    /// All targets, one after the other, if none is named
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

/// `cargo xtask fuzz`
pub fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build, Purpose::Fuzz])?;
    let fuzzer = Fuzzer::build()?;
    let targets = match &args.target {
        Some(name) => {
            let known = fuzzer.targets.iter().find(|target| *target == name);
            let list = fuzzer.targets.join(", ");
            vec![known.with_context(|| format!("no target `{name}`; there are {list}"))?]
        }
        None => fuzzer.targets.iter().collect(),
    };
    let mut failed = Vec::new();
    for target in targets {
        println!("fuzz: {target} for {} s", args.seconds);
        if !fuzzer.fuzz(target, Duration::from_secs(args.seconds))? {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        println!("fuzz: nothing found");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("found something: {}", failed.join(", "))
}

/// The targets, built.
pub struct Fuzzer {
    directory: PathBuf,
    /// Names of the targets.
    pub targets: Vec<String>,
}

/// Parsers answer within milliseconds; an input that takes a thousand times as long is a finding,
/// however slow the machine is.
const INPUT_SECONDS_MAX: &str = "60";

/// A parser holds what one connection may hold; more is a finding.
const MEMORY_MIB_MAX: &str = "1024";

impl Fuzzer {
    /// Builds the targets with the coverage that libFuzzer wants.
    pub fn build() -> Result<Self> {
        let directory = workspace::root().join("tests/fuzz");
        let targets = targets_in(&directory)?;
        println!("fuzz: building {}", targets.join(", "));
        let flags = [
            "-Cpasses=sancov-module",
            "-Cllvm-args=-sanitizer-coverage-level=4",
            "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
            "-Cllvm-args=-sanitizer-coverage-pc-table",
            "-Cllvm-args=-sanitizer-coverage-trace-compares",
            "--cfg=fuzzing",
            "-Cdebug-assertions",
            "-Coverflow-checks",
            "-Ccodegen-units=1",
            // Without a sanitizer's hooks libFuzzer cannot see what memory is compared with.
            "-Zsanitizer=address",
        ];
        process::run(
            workspace::cargo(&["build", "--quiet", "--release", "--locked", "--bins"])
                // With a target named, build scripts and macros stay free of the flags.
                .args(["--target", TARGET, "--target-dir"])
                .arg(directory.join("target"))
                .current_dir(&directory)
                .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
                .env("RUSTC_BOOTSTRAP", "1"),
        )?;
        Ok(Self { directory, targets })
    }

    /// Runs one target; `false` if it found something, which libFuzzer describes.
    pub fn fuzz(&self, target: &str, time: Duration) -> Result<bool> {
        let corpus = self.directory.join("target/corpus").join(target);
        let artifacts = self.directory.join("artifacts").join(target);
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut command = process::tied(
            self.directory
                .join("target")
                .join(TARGET)
                .join("release")
                .join(target),
        );
        command
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus)
            .args(self.seeds(target))
            .current_dir(&self.directory);
        // It says nothing until its time is over.
        let watched = process::run_watched(&mut command, "fuzz: ", time + GRACE);
        Ok(watched.status?.success())
    }

    /// Inputs that are kept with the sources.
    fn seeds(&self, target: &str) -> Option<PathBuf> {
        let seeds = self.directory.join("corpus").join(target);
        seeds.is_dir().then_some(seeds)
    }
}

/// The binaries of the fuzzing workspace.
fn targets_in(directory: &Path) -> Result<Vec<String>> {
    let metadata = process::capture(
        workspace::cargo(&["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(directory),
    )
    .context("there are no fuzz targets")?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    Ok(targets
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| Some(target["name"].as_str()?.to_owned()))
        .collect())
}

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// For reading the corpus, of which each input may take its time, and for the statistics. It guards
/// against what hangs.
const GRACE: Duration = Duration::from_secs(20 * 60);
