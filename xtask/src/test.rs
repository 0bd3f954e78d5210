//! Every test, stage after stage, cheapest first: a later stage runs even if an earlier one
//! failed. The last line counts them all.

mod counts;
mod end_to_end;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fuzz::Fuzzer;
use crate::process;
use crate::setup::{self, Purpose};
use crate::{lint, vm, workspace};
use counts::Counts;

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Leave out fuzzing and virtual machines
    #[arg(long)]
    quick: bool,
}

/// Each fuzz target gets a moment; `cargo xtask fuzz` gives it more.
const FUZZ_SECONDS: u64 = 30;

/// Tests without a kernel take seconds; this is for compiling them.
const UNIT_LIMIT: Duration = Duration::from_secs(900);

/// `cargo xtask test`
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut report = Report::default();
    let mut purposes = vec![Purpose::Build, Purpose::Test];
    if !args.quick {
        purposes.extend([Purpose::Vm, Purpose::Fuzz]);
    }
    report.prepare("set-up", || {
        setup::ensure(&purposes)?;
        if !args.quick {
            vm::kernel::ensure_tested()?;
        }
        Ok(())
    })?;
    report.stage("rustfmt", || checked(lint::format()));
    report.stage("clippy", || checked(lint::clippy()));
    report.stage(
        "clippy, kernel side",
        || checked(lint::clippy_kernel_side()),
    );
    report.stage("unit, contract, golden, tidy", unit);
    if !args.quick {
        report.stage("fuzzing for a moment", fuzz);
    }
    report.stage("end to end, this kernel", || {
        build_daemon()?;
        end_to_end::here()
    });
    if !args.quick {
        report.stage("end to end, virtual machines", || {
            build_daemon()?;
            end_to_end::in_machines()
        });
    }
    Ok(report.conclude())
}

/// The daemon as users get it.
pub fn build_daemon() -> Result<()> {
    process::run(&mut workspace::cargo(&[
        "build",
        "--quiet",
        "--release",
        "--package",
        "wirespan",
    ]))
}

/// All that needs neither root nor a server.
fn unit() -> Result<Counts> {
    let (status, said) = process::run_watched(
        workspace::cargo(&["test", "--quiet", "--no-fail-fast", "--workspace"]).args([
            "--exclude",
            "wirespan-ebpf",
            "--exclude",
            "wirespan-tests",
        ]),
        UNIT_LIMIT,
    )?;
    Ok(Counts::of_run(&said, status.success()))
}

fn fuzz() -> Result<Counts> {
    let fuzzer = Fuzzer::build()?;
    let mut counts = Counts::default();
    for target in &fuzzer.targets {
        println!("fuzz: {target} for {FUZZ_SECONDS} s");
        counts.add(Counts::of_one(
            fuzzer.fuzz(target, Duration::from_secs(FUZZ_SECONDS))?,
        ));
    }
    Ok(counts)
}

/// A check that passes or fails as a whole, and has said why.
fn checked(outcome: Result<()>) -> Result<Counts> {
    outcome.map(|()| Counts::of_one(true))
}

/// What was run, how long it took, and how it ended.
#[derive(Default)]
struct Report {
    stages: Vec<(&'static str, Duration, Counts)>,
}

impl Report {
    /// A stage that tests nothing, and without which no other can run.
    fn prepare(&mut self, name: &'static str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {name}");
        let started = Instant::now();
        run()?;
        self.stages
            .push((name, started.elapsed(), Counts::default()));
        Ok(())
    }

    fn stage(&mut self, name: &'static str, run: impl FnOnce() -> Result<Counts>) {
        if process::interrupted() {
            return;
        }
        println!("\n== {name}");
        let started = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            Counts::of_one(false)
        });
        self.stages.push((name, started.elapsed(), counts));
    }

    fn conclude(self) -> ExitCode {
        println!(
            "\n{:<32}{:>8}{:>9}{:>9}",
            "stage", "seconds", "passed", "failed"
        );
        let mut all = Counts::default();
        let mut took = Duration::ZERO;
        for (name, duration, counts) in self.stages {
            let seconds = duration.as_secs();
            println!(
                "{name:<32}{seconds:>8}{:>9}{:>9}",
                counts.passed, counts.failed
            );
            took += duration;
            all.add(counts);
        }
        println!("{:<32}{:>8}", "all", took.as_secs());
        if process::interrupted() {
            println!("interrupted");
            all.failed += 1;
        }
        println!("{} passed, {} failed", all.passed, all.failed);
        if all.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
