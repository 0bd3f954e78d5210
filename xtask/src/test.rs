//! Every test, stage after stage, cheapest first: a later stage runs even if an earlier one
//! failed. The last line counts them all.

mod aarch64;
mod counts;
mod end_to_end;
mod executables;
mod kernels;
mod links;
mod report;
mod soak;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::fuzz::Fuzzer;
use crate::process;
use crate::setup::{self, Purpose};
use crate::{daemon, instructions, lint, package, vm, workspace};
use counts::Counts;
use executables::Compiled;
use links::LinkRows;
use report::Report;

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Leave out fuzzing and virtual machines
    #[arg(long, conflicts_with = "soak")]
    quick: bool,
    /// Only what takes too long for every run; CONTRIBUTING.md names it
    #[arg(long)]
    soak: bool,
    /// Only what works on which kernel: the running one (`here`) and each that a machine can be
    /// booted with, or those that are named; hours, for all
    #[arg(long, value_name = "SERIES", num_args = 0.., conflicts_with_all = ["quick", "soak"])]
    kernels: Option<Vec<String>>,
    /// Of what is run on kernels, only rows of their table whose name contains this
    #[arg(long, requires = "kernels", value_name = "NAME")]
    rows: Option<String>,
    /// How long each soak goes on, in seconds
    #[arg(long, default_value_t = 180, requires = "soak", value_name = "SECONDS")]
    soak_seconds: u64,
    /// Which soaks: those whose name contains this; all by default
    #[arg(long, requires = "soak", value_name = "NAME")]
    only: Option<String>,
}

/// Each fuzz target gets a moment; `cargo xtask fuzz` and the soaks give it more.
const FUZZ_SECONDS: Duration = Duration::from_secs(30);

/// A guard against what hangs, and no measure of how fast a machine is: nothing that a test waits
/// for may take more than a minute, and each test says its name when it is over.
const SILENCE_MAX: Duration = Duration::from_secs(20 * 60);

/// `cargo xtask test`
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut report = Report::begin();
    let mut purposes = vec![Purpose::Build, Purpose::Test, Purpose::Image];
    if !args.quick {
        purposes.extend([Purpose::Vm, Purpose::Fuzz]);
    }
    if args.soak {
        purposes.extend([Purpose::Soak, Purpose::Package]);
    }
    report.prepare("set-up", || {
        setup::ensure(&purposes)?;
        if !args.quick {
            vm::kernel::ensure_tested()?;
        }
        Ok(())
    })?;
    if args.soak {
        let duration = Duration::from_secs(args.soak_seconds);
        soak::run(&mut report, duration, args.only.as_deref().unwrap_or(""))?;
        return Ok(report.conclude());
    }
    if let Some(only) = &args.kernels {
        let compiled = build(&mut report);
        let rows = args.rows.as_deref().unwrap_or_default();
        kernels::run(&mut report, &compiled, only, rows)?;
        return Ok(report.conclude());
    }
    report.stage("rustfmt", || checked(lint::format()));
    report.stage("clippy", || checked(lint::clippy()));
    report.stage(
        "clippy, kernel side",
        || checked(lint::clippy_kernel_side()),
    );
    report.stage("clippy, kernel side for old kernels", || {
        checked(lint::clippy_legacy_kernel_side())
    });
    // One build of all tests, with one set of features: what a part of them asks of a dependency
    // would have it compiled once more.
    let compiled = build(&mut report);
    report.stage("unit, contract, golden, tidy", || {
        let mut counts = executables::run(compiled.units(), SILENCE_MAX, |_| ());
        counts.add(documentation());
        Ok(counts)
    });
    report.stage("instructions", || {
        let (passed, failed) = instructions::count_all()?;
        Ok(Counts { passed, failed })
    });
    // Nothing runs beside these: they compare times.
    let rows = LinkRows::begin()?;
    report.stage("end to end, this kernel", || {
        end_to_end::here(&compiled, &rows)
    });
    if !args.quick {
        // Emulation keeps one processor busy; fuzzing takes what is left.
        report.side_by_side(
            ("end to end, virtual machines", || {
                end_to_end::in_machines(&compiled, &end_to_end::RUNS)
            }),
            ("fuzzing for a moment", || {
                process::step_back();
                fuzz(FUZZ_SECONDS)
            }),
        );
    }
    rows.print();
    Ok(report.conclude())
}

/// The test executables and the daemon. What fails to compile is a failure and no more: the rest is
/// run.
fn build(report: &mut Report) -> Compiled {
    let mut compiled = Compiled::default();
    report.build("compiling the tests", || {
        compiled = executables::compile()?;
        compiled.complete()
    });
    report.build("compiling the daemon", daemon::build);
    report.build("packing the image", || package::image().map(drop));
    compiled
}

/// Examples in the documentation, which only cargo can compile and run.
fn documentation() -> Counts {
    Counts::of_watched(&process::run_watched(
        workspace::cargo(&["test", "--quiet", "--doc", "--no-fail-fast", "--workspace"]).args([
            "--exclude",
            "wirespan-ebpf",
            "--exclude",
            "wirespan-tests",
        ]),
        "",
        SILENCE_MAX,
    ))
}

/// Every target for `time`.
fn fuzz(time: Duration) -> Result<Counts> {
    let fuzzer = Fuzzer::build()?;
    let mut counts = Counts::default();
    for target in &fuzzer.targets {
        println!("fuzz: {target} for {} s", time.as_secs());
        let found_nothing = fuzzer.fuzz(target, time).unwrap_or_else(|error| {
            eprintln!("fuzz: {target}: {error:#}");
            false
        });
        counts.add(Counts::of_one(found_nothing));
    }
    Ok(counts)
}

/// A check that passes or fails as a whole, and has said why.
fn checked(outcome: Result<()>) -> Result<Counts> {
    outcome.map(|()| Counts::of_one(true))
}
