//! What it takes to watch processes that do nothing: one, and 500.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::servers::nginx;
use crate::bench::cpu::cpu_of;
use crate::bench::daemon::{Daemon, Sink};
use crate::bench::table::{Row, Target};
use crate::demo::Folder;
use crate::process;

/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(5);

/// Time until the daemon is ready, its memory, and its time on a processor when nothing happens.
pub fn measure(strategy: &str) -> Result<Vec<Row>> {
    let folder = Folder::create("idle")?;
    let mut rows = Vec::new();
    for (workers, name) in [(1, "1 process"), (500, "500 processes")] {
        let server = nginx(&folder.path, "", workers)?;
        let sink = Sink::start()?;
        let mut daemon = Daemon::start(strategy, server.port, &sink)?;
        let (before, since) = (cpu_of(daemon.pid())?, Instant::now());
        process::pause(QUIET)?;
        let took = cpu_of(daemon.pid())?.saturating_sub(before);
        let of_a_core = 100.0 * took.as_secs_f64() / since.elapsed().as_secs_f64();
        let memory = daemon.cost()?.memory_peak_mib;
        let ready = daemon.ready_after.as_secs_f64() * 1000.0;
        daemon.stop()?;
        let row = |figure: &str, value, unit, target| {
            let what = format!("{strategy}: {name} watched, no requests: {figure}");
            Row::new(what, value, unit, target)
        };
        rows.extend([
            row("time until ready", ready, "ms", Target::AtMost(500.0)),
            row("memory at its peak", memory, "MiB", Target::AtMost(40.0)),
            row("of a core", of_a_core, "%", Target::None),
        ]);
    }
    Ok(rows)
}
