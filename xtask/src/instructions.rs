//! How many instructions the daemon needs for what golden recordings hold, counted by Valgrind: a
//! number that no neighbour on the machine disturbs, so that a change which costs 5 % shows in the
//! very run of the tests that brings it. Times are `cargo xtask bench`'s.
//!
//! It counts differences: a recording laid end to end many times, and a few times, so that starting
//! and ending don't count.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::daemon;
use crate::process;
use crate::workspace;

/// Instructions for one passage of a recording, with the compiler of `rust-toolchain.toml` and
/// Debian 12's C library on a processor with AVX2.
const KNOWN: [(&str, u64); 3] = [
    ("nginx_http1_socket_tracepoints", 223_000),
    ("nginx_http2", 758_000),
    ("tonic_grpc", 218_000),
];

/// What may be added or taken away before somebody has to say why, in hundredths.
const TOLERANCE: u64 = 5;

/// How often a recording is laid end to end.
const FEW: usize = 100;
const MANY: usize = 600;

/// The file header of a recording; see `agent/src/recording.rs`.
const FILE_HEADER_BYTES: usize = 16;

/// `cargo xtask instructions`
pub fn run() -> Result<ExitCode> {
    daemon::build()?;
    let (_, failed) = count_all()?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Counts, and compares with what is known; how many are as known, and how many are not.
pub fn count_all() -> Result<(usize, usize)> {
    let (mut passed, mut failed) = (0, 0);
    if !has_avx2() {
        println!("instructions: not counted, this processor has no AVX2");
        return Ok((passed, failed));
    }
    for (name, known) in KNOWN {
        let (few, many) = (count(name, FEW)?, count(name, MANY)?);
        let each = many.saturating_sub(few) / (MANY - FEW) as u64;
        let is_alike = each.abs_diff(known) * 100 <= known * TOLERANCE;
        println!("instructions: {each} for {name}, known are {known}");
        if !is_alike {
            println!(
                "instructions: that is more than {TOLERANCE} % away: find out why; if it is meant, \
                 write it into {}",
                file!()
            );
        }
        passed += usize::from(is_alike);
        failed += usize::from(!is_alike);
    }
    Ok((passed, failed))
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Instructions of a replay of the recording, `times` times.
fn count(name: &str, times: usize) -> Result<u64> {
    let recording = repeated(name, times)?;
    let mut command = workspace::system("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--log-fd=1", "--"])
        .arg(workspace::daemon())
        .arg("replay")
        .arg(&recording)
        .args(["--printer", "counter"]);
    let (status, said) = process::output_of(&mut command)?;
    if !status.success() {
        bail!("the replay of {name} failed: {said}");
    }
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse().ok());
    collected.with_context(|| format!("valgrind told no count: {said}"))
}

fn repeated(name: &str, times: usize) -> Result<PathBuf> {
    let golden = Path::new("agent/tests/golden").join(name);
    let golden = workspace::root().join(golden).with_extension("wirespan");
    let bytes = std::fs::read(&golden).with_context(|| golden.display().to_string())?;
    let (header, records) = bytes
        .split_at_checked(FILE_HEADER_BYTES)
        .context("the recording is cut")?;
    let folder = workspace::target().join("tmp");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}-{times}.wirespan"));
    std::fs::write(&path, [header, &records.repeat(times)].concat())?;
    Ok(path)
}
