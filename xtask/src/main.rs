//! All that is not plain cargo: set-up, demo, tests, packages, virtual machines, benchmarks,
//! fuzzing, tidy.
//! The command line only; each task is a module of its own.
#![forbid(unsafe_code)]

mod bench;
mod cross;
mod daemon;
mod demo;
mod fuzz;
mod instructions;
mod lint;
mod package;
mod process;
mod setup;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, build, demo, tests, virtual machines, benchmarks, fuzzing, tidiness.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing
    Setup(setup::Args),
    /// Show wirespan on a small system that nobody instrumented
    Demo(demo::Args),
    /// Run every test: lints, units, fuzzing for a moment, end to end here and in a machine
    Test(test::Args),
    /// Run a command on another kernel, in QEMU, with this machine's files
    Vm(vm::Args),
    /// Measure what watching costs, as a table of ratios
    Bench(bench::Args),
    /// Count instructions of replays, and compare with what is known
    Instructions,
    /// Fuzz the inputs with libFuzzer
    Fuzz(fuzz::Args),
    /// rustfmt, clippy on both sides, cargo-deny
    Lint(lint::Args),
    /// Make what users install: a static binary and an image
    Package(package::Args),
    /// Check the rules between rooms
    Tidy,
}

fn main() -> ExitCode {
    let outcome = process::notice_interrupts().and_then(|()| match CommandLine::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Instructions => instructions::run(),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Lint(args) => lint::run(&args),
        Task::Package(args) => package::run(&args),
        Task::Tidy => tidy::run(),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
