//! The demo: a small system that nobody instrumented, and its traces. It shows what any user would
//! get, by the settings that any user has.

mod expected;
mod shop;
mod system;
mod tree;

use std::os::unix::process::CommandExt as _;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::{self, Lines, Running};
use crate::setup::{self, Purpose};
use crate::workspace;
use expected::Checklist;
use shop::OpenShop;
use system::System;
pub use system::{Folder, Nginx, free_port, get, wait_until_open};
use tree::Trees;

/// How long the demo shows what.
#[derive(clap::Args)]
pub struct Args {
    /// Check that the expected traces come, and end: exit code 0 if they did, 1 if not
    #[arg(long)]
    once: bool,
    /// The tests' shop in six languages, which takes their set-up
    #[arg(long, conflicts_with = "once")]
    shop: bool,
    /// End after so many seconds; by default Ctrl-C ends it
    #[arg(long, conflicts_with = "once")]
    seconds: Option<u64>,
}

/// What the demo shows.
pub struct Stage {
    /// Where requests go.
    pub port: u16,
    /// All ports, as `BEYLA_OPEN_PORT` takes them.
    pub ports: String,
    /// The target of each request, counted from 0.
    pub path: Box<dyn Fn(usize) -> String>,
}

/// Between two requests, slow enough to read along.
const REQUEST_EVERY: Duration = Duration::from_millis(500);

/// Traces are there within a second; this is when waiting for them is given up.
const TRACES_LIMIT: Duration = Duration::from_secs(60);

/// Start-up of the daemon takes half a second, and a minute where the kernel is emulated; this is
/// when waiting is given up.
pub const READY_LIMIT: Duration = Duration::from_secs(300);

/// What the daemon says on standard error once it sees every request.
const READY: &str = "wirespan: ready";

/// `cargo xtask demo`
pub fn run(args: &Args) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the demo loads programs into the kernel; run it as root: \
             sudo env PATH=\"$PATH\" cargo xtask demo"
        );
    }
    setup::ensure(&[Purpose::Build, Purpose::Demo])?;
    println!("demo: building the daemon");
    crate::daemon::build()?;
    if args.shop {
        setup::ensure(&[Purpose::Test])?;
        println!("demo: opening the shop");
        let shop = OpenShop::open()?;
        println!(
            "demo: nobody instrumented the shop: nginx, Python, Go, Rust, Node, Java, Ruby, Redis"
        );
        return live(&shop.stage(), args.seconds.map(Duration::from_secs));
    }
    let system = System::start()?;
    println!("demo: nobody instrumented nginx in front of orders.py, which asks stock.py");
    if args.once {
        once(&system)
    } else {
        live(&system.stage(), args.seconds.map(Duration::from_secs))
    }
}

/// Traces on the terminal, as they come.
fn live(stage: &Stage, limit: Option<Duration>) -> Result<ExitCode> {
    let mut agent = Running::start(
        "wirespan",
        agent(&stage.ports)
            .stdout(Stdio::inherit())
            .stderr(Stdio::piped()),
    )?;
    let log = Lines::of(&mut agent, |line| eprintln!("{line}"));
    wait_until_ready(&mut agent, &log)?;
    println!(
        "demo: a request every {} ms; Ctrl-C ends it",
        REQUEST_EVERY.as_millis()
    );
    let started = Instant::now();
    for number in 0.. {
        if process::pause(REQUEST_EVERY).is_err()
            || limit.is_some_and(|most| started.elapsed() > most)
        {
            break;
        }
        get(stage.port, &(stage.path)(number))?;
        if let Some(status) = agent.status()? {
            bail!("wirespan ended: {status}");
        }
    }
    agent.stop(READY_LIMIT)?;
    log.finish();
    Ok(ExitCode::SUCCESS)
}

/// One round of requests, and a check that each left its trace.
fn once(system: &System) -> Result<ExitCode> {
    let mut agent = Running::start(
        "wirespan",
        agent(&system.ports())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let (log, printed) = Lines::apart(&mut agent, |line| eprintln!("{line}"));
    wait_until_ready(&mut agent, &log)?;
    println!("demo: sending {} requests", system::PATHS.len());
    for path in system::PATHS {
        get(system.port(), path)?;
    }
    let (mut checklist, mut trees) = (Checklist::default(), Trees::default());
    let deadline = Instant::now() + TRACES_LIMIT;
    while !checklist.is_complete() && Instant::now() < deadline && agent.status()?.is_none() {
        if process::interrupted() {
            bail!("interrupted");
        }
        if let Some(line) = printed.next_within(Duration::from_millis(100)) {
            println!("{line}");
            if let Some(tree) = trees.take(&line) {
                checklist.tick(&tree);
            }
        }
    }
    let status = agent.stop(READY_LIMIT)?;
    log.finish();
    if !status.success() {
        bail!("wirespan did not end well: {status}");
    }
    for missing in checklist.missing() {
        println!("demo: missing: the trace of {missing}");
    }
    if !checklist.is_complete() {
        return Ok(ExitCode::FAILURE);
    }
    println!("demo: every expected trace came");
    Ok(ExitCode::SUCCESS)
}

/// The daemon, watching these ports, with nothing of the user's own settings.
fn agent(ports: &str) -> std::process::Command {
    let mut command = process::tied(workspace::daemon());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("BEYLA_") {
            command.env_remove(&name);
        }
    }
    command
        .env("BEYLA_OPEN_PORT", ports)
        .env("BEYLA_TRACE_PRINTER", "tree")
        .process_group(0);
    command
}

/// Waits for the daemon's word that it is ready; tells how long that took.
pub fn wait_until_ready(agent: &mut Running, log: &Lines) -> Result<Duration> {
    let started = Instant::now();
    while started.elapsed() < READY_LIMIT {
        if let Some(line) = log.next_within(Duration::from_millis(5))
            && line.contains(READY)
        {
            return Ok(started.elapsed());
        }
        if let Some(status) = agent.status()? {
            bail!("wirespan ended before it was ready: {status}");
        }
        if process::interrupted() {
            bail!("interrupted");
        }
    }
    bail!("wirespan was not ready within {} s", READY_LIMIT.as_secs())
}
