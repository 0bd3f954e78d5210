//! What watching costs, as ratios: runs with and without the daemon take turns, so that whatever
//! else the machine does falls on both. A table, not a test: nothing fails on a slow machine.

mod asking;
mod carriers;
mod cost;
mod cpu;
mod daemon;
mod hpack;
mod http2;
mod links;
mod load;
mod pods;
mod shards;
mod table;
mod tls;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::demo::{Nginx, free_port};
use crate::process;
use crate::setup::{self, Purpose};
use crate::vm;
use crate::workspace;
use daemon::{Daemon, Sink};
use table::{Row, Table, Target};

/// What to measure, and how thoroughly.
#[derive(clap::Args)]
pub struct Args {
    /// Ways into socket calls
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "socket_tracepoints,syscall_tracepoints"
    )]
    strategies: Vec<String>,
    /// Seconds for each run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Pairs of runs, without and with the daemon, for each figure
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    parts: Vec<Part>,
    /// Of the programs that are measured, those whose name contains this
    #[arg(long, default_value = "")]
    programs: String,
    /// Take set-up and programs as they are: in a virtual machine there is nothing to build with
    #[arg(long)]
    built: bool,
    /// Measure on Debian's kernel of this series instead, in a virtual machine
    #[arg(long, value_name = "KERNEL")]
    vm: Option<String>,
}

/// Rows that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Processor time of programs for each request, watched and beside
    Cost,
    /// nginx under wrk
    Http1,
    /// nginx under h2load, tonic under tonic
    Http2,
    /// nginx under wrk over TLS, attaching to node
    Tls,
    /// Decoding of header blocks, beside other crates
    Hpack,
    /// The pipeline alone
    Replay,
    /// Two shards beside one
    Shards,
    /// Programs that call another one for each request, with and without linking
    Links,
    /// 250 pods of an API server
    Pods,
    /// Agents that ask each other
    Asking,
    /// nginx in front of nginx, with header fields inserted
    Carriers,
}

impl Part {
    const ALL: [Self; 11] = [
        Self::Cost,
        Self::Http1,
        Self::Http2,
        Self::Tls,
        Self::Hpack,
        Self::Replay,
        Self::Shards,
        Self::Links,
        Self::Pods,
        Self::Asking,
        Self::Carriers,
    ];
}

/// `cargo xtask bench`
pub fn run(args: &Args) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("the benchmark loads programs into the kernel; run it as root");
    }
    if !args.built {
        build()?;
        if [Part::Cost, Part::Links, Part::Pods]
            .iter()
            .any(|it| args.parts.contains(it))
        {
            // Programs on Go's TLS, those that call others, and the API server are the tests' own.
            setup::ensure(&[Purpose::Test])?;
        }
    }
    if let Some(kernel) = &args.vm {
        return in_machine(kernel);
    }
    // Nobody is behind nginx here; `/hello` is its own answer.
    let watched = Nginx::start(free_port()?, 1)?;
    let other = Nginx::start(free_port()?, 1)?;
    let mut http2 = http2::Servers::start()?;
    let mut table = Table::default();
    let wants = |part| args.parts.contains(&part);
    for strategy in &args.strategies {
        println!("bench: {strategy}");
        if wants(Part::Cost) {
            let figures = cost::measure(args, strategy);
            table.extend(figures.with_context(|| format!("with {strategy}"))?);
        }
        if wants(Part::Http1) {
            let figures = measure(args, strategy, &watched, &other)
                .with_context(|| format!("with {strategy}"))?;
            table.extend(figures);
        }
        if wants(Part::Http2) {
            table.extend(http2.measure(args, strategy)?);
        }
    }
    if wants(Part::Tls) {
        println!("bench: TLS");
        table.extend(tls::measure(args.pairs, args.seconds).context("over TLS")?);
    }
    if wants(Part::Hpack) {
        println!("bench: header decoding");
        table.extend(hpack::measure()?);
    }
    if wants(Part::Replay) {
        println!("bench: replay");
        table.extend([replay(args, &watched)?, http2.replay(args)?]);
    }
    if wants(Part::Shards) {
        println!("bench: shards");
        table.extend(shards::measure()?);
    }
    programs(args, &mut table)?;
    print!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// What takes other programs than nginx alone.
fn programs(args: &Args, table: &mut Table) -> Result<()> {
    let wants = |part| args.parts.contains(&part);
    if wants(Part::Links) {
        println!("bench: links");
        table.extend(links::measure(args)?);
    }
    if wants(Part::Pods) {
        println!("bench: pods");
        table.extend(pods::measure(args)?);
    }
    if wants(Part::Asking) {
        println!("bench: asking");
        table.extend(asking::measure()?);
    }
    if wants(Part::Carriers) {
        println!("bench: carriers");
        table.extend(carriers::measure(args)?);
    }
    Ok(())
}

/// The same in a machine with that kernel, which finds all built.
fn in_machine(kernel: &str) -> Result<ExitCode> {
    let mut arguments = std::env::args();
    let mut command: Vec<String> = arguments.by_ref().take(2).collect();
    command.push("--built".to_owned());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--built" => {}
            "--vm" => drop(arguments.next()),
            other if other.starts_with("--vm=") => {}
            _ => command.push(argument),
        }
    }
    vm::run(&vm::Args::of(kernel, MACHINE_LIMIT, command))
}

/// Emulated processors take about twenty times as long.
const MACHINE_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// All that is measured, and what it is measured with.
fn build() -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Bench])?;
    println!("bench: building");
    crate::daemon::build()?;
    process::run(workspace::cargo(&["build", "--quiet", "--release"]).args([
        "--package",
        "wirespan-tests",
        "--bin",
        "otlp-sink",
        "--bin",
        http2::PROGRAMS[0],
        "--bin",
        http2::PROGRAMS[1],
    ]))
}

/// Requests per second kept that DESIGN promises, by strategy: the watched server, another.
fn targets(strategy: &str) -> (Target, Target) {
    match strategy {
        "socket_tracepoints" => (Target::AtLeast(87.0), Target::AtLeast(97.0)),
        "syscall_tracepoints" => (Target::AtLeast(81.0), Target::AtLeast(90.0)),
        _ => (Target::None, Target::None),
    }
}

fn measure(args: &Args, strategy: &str, watched: &Nginx, other: &Nginx) -> Result<Vec<Row>> {
    // Warm caches, and nginx's worker, before the first pair.
    load::run(watched.port, 1)?;
    load::run(other.port, 1)?;
    let mut kept = Vec::new();
    let mut baseline = Vec::new();
    let mut kept_other = Vec::new();
    let mut ready_ms: f64 = 0.0;
    let mut memory_mib: f64 = 0.0;
    let mut cpu_us = 0.0;
    let (mut requests, mut spans) = (0, 0);
    for _ in 0..args.pairs {
        let without = load::run(watched.port, args.seconds)?;
        let other_without = load::run(other.port, args.seconds)?;
        let sink = Sink::start()?;
        let mut daemon = Daemon::start(strategy, watched.port, &sink)?;
        // What it took to start is another row's.
        let started = daemon.cost()?.cpu;
        let with = load::run(watched.port, args.seconds)?;
        sink.wait_for(with.requests)?;
        let cost = daemon.cost()?;
        let other_with = load::run(other.port, args.seconds)?;
        ready_ms = ready_ms.max(daemon.ready_after.as_secs_f64() * 1000.0);
        daemon.stop()?;
        kept.push(100.0 * with.per_second / without.per_second);
        baseline.push(without.per_second);
        kept_other.push(100.0 * other_with.per_second / other_without.per_second);
        memory_mib = memory_mib.max(cost.memory_peak_mib);
        cpu_us += cost.cpu.saturating_sub(started).as_secs_f64() * 1e6;
        requests += with.requests;
        spans += sink.spans()?;
    }
    let (target, target_other) = targets(strategy);
    // wrk does not count what was under way when it stopped; the daemon does.
    let lost = requests.saturating_sub(spans);
    let per_span = cpu_us / spans.max(1) as f64;
    let row = |what: &str, value, unit, target| {
        Row::new(format!("{strategy}: {what}"), value, unit, target)
    };
    Ok(vec![
        // How fast the machine was at the time, for the figures that are no ratios.
        row(
            "requests/s without the daemon",
            median(baseline),
            "/s",
            Target::None,
        ),
        row("requests/s kept, watched server", median(kept), "%", target),
        row(
            "requests/s kept, other server",
            median(kept_other),
            "%",
            target_other,
        ),
        row("spans lost", lost as f64, "", Target::AtMost(0.0)),
        row(
            "daemon's CPU for a span",
            per_span,
            "µs",
            Target::AtMost(3.0),
        ),
        row(
            "daemon's memory at its peak",
            memory_mib,
            "MiB",
            Target::AtMost(40.0),
        ),
        row("time until ready", ready_ms, "ms", Target::AtMost(500.0)),
    ])
}

/// The pipeline alone, on a recording of the watched server under load.
fn replay(args: &Args, watched: &Nginx) -> Result<Row> {
    let (spans, took) = daemon::record_and_replay(watched.port, || {
        load::run(watched.port, args.seconds).map(|_| ())
    })?;
    let per_second = spans as f64 / took.as_secs_f64();
    let what = format!("replay: exchanges/s ({spans} spans)");
    Ok(Row::new(
        what,
        per_second,
        "/s",
        Target::AtLeast(1_000_000.0),
    ))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (
        values.get(values.len().saturating_sub(1) / 2),
        values.get(values.len() / 2),
    ) else {
        return 0.0;
    };
    f64::midpoint(*low, *high)
}
