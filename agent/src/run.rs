//! A run from start to drain: what is started in which order, and ended in which. The work is done
//! elsewhere.

mod cluster;
mod daemon;
mod explain;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::capture;
use crate::config::Config;
use crate::discover::ProcRoot;
use crate::ending::{Ending, Event};
use crate::export::printer::Output;
use crate::health::Health;
use crate::inspect::Sight;
use crate::live::Watched;
use crate::logging;
use crate::memory::Ledger;
use crate::pipeline::{PipelineConfig, Pipelines};
use crate::recording::{self, Reader, Recorded, Recorder, Writer};
use crate::report::{self, Finished};
use crate::sandbox;
use crate::visible::Visible;
pub use daemon::{Daemon, Reconfigured};
use daemon::{left, start_exporters, start_runtime};
pub use explain::explain;

/// How long to wait for what is there already to be looked at, and TLS to be read in it, before the
/// daemon calls itself ready.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// Ports below take `CAP_NET_BIND_SERVICE` (ip(7)).
const LOW_PORTS: u16 = 1024;
/// How often the shards are looked at while nothing happens.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Traces until a signal asks for the end; writes the records to `recording` if it is given, up to
/// so many bytes.
///
/// # Errors
/// What keeps the run from starting, in one line.
pub fn trace(
    config: Config,
    recording: Option<(&Path, Option<u64>)>,
    ending: &Ending,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let health = Arc::new(Health::default());
    ending.reconfigure(&config.ending);
    let of_words = Arc::clone(&health);
    ending.last_words(move || last_words(&of_words, began));
    ProcRoot::host().check_pids()?;
    let recording = recording
        .map(|(file, bytes_max)| {
            Recorder::create(file, bytes_max, Arc::clone(&health))
                .with_context(|| format!("can't create {}", Visible(file.display())))
        })
        .transpose()?;
    let rights = give_up_rights(&config);
    let pods = config.discover.targets.pods.variables();
    let daemon = Daemon::start(config, recording, ending, Arc::clone(&health))?;
    rights.tell();

    let asked = match ending.wait(SETTLE_MAX) {
        Some(Event::Asked(signal)) => signal,
        Some(Event::Settled) | None => {
            daemon.settled();
            tell_ready(daemon.watched(), &pods, began, daemon.strategy);
            let is_recorded = daemon.is_recorded();
            let is_deserted = || !is_recorded && health.is_deserted();
            wait_for_end(ending, &daemon, is_deserted)
        }
    };
    log::info!("{asked}: stopping");
    ending.begin();
    let (finished, detached) = daemon.end(ending)?;
    ending.has_spoken();
    let summary = report::summary(&health, &finished, began.elapsed());
    logging::say(&format!("wirespan: {summary}"));
    // Nothing is sent: the other end is dropped.
    let _ = detached.recv_timeout(left(ending));
    let recorded = finished.recorded.as_ref();
    anyhow::ensure!(
        recorded.is_none_or(Recorded::is_complete),
        "the recording is not complete"
    );
    Ok(())
}

/// A line for the log about what was given up; of a run that can't start nobody wants to know it.
struct RightsLeft {
    level: log::Level,
    line: String,
}

impl RightsLeft {
    fn tell(&self) {
        log::log!(self.level, "{}", Visible(&self.line));
    }
}

/// Gives up what the run does without. It is no reason not to run where that can't be done.
fn give_up_rights(config: &Config) -> RightsLeft {
    let told = |level, line| RightsLeft { level, line };
    if config.sandbox.keep_all {
        let line = "gives up no right, as WIRESPAN_KEEP_PRIVILEGES asks";
        return told(log::Level::Info, line.to_owned());
    }
    capture::raise_limits();
    let addresses = [
        config.health_check.address,
        config.asking.as_ref().and_then(|it| it.listen),
    ];
    let needs = sandbox::Needs {
        admin: capture::privileges::takes_admin(&config.capture),
        net_admin: config.capture.carriers.is_on(),
        low_port: addresses
            .into_iter()
            .flatten()
            .any(|it| it.port() < LOW_PORTS),
    };
    match sandbox::enter(needs) {
        Ok(left) => told(log::Level::Info, left.to_string()),
        Err(error) => told(
            log::Level::Warn,
            format!("can't give up rights that it has no use for: {error}"),
        ),
    }
}

fn tell_ready(watched: &Watched, pods: &str, began: Instant, strategy: impl std::fmt::Display) {
    let watched = watched.count();
    let plural = if watched == 1 { "" } else { "es" };
    log::info!(
        "ready in {} ms: {watched} process{plural} watched, capture by {strategy}",
        began.elapsed().as_millis()
    );
    if watched == 0 {
        let sight = Sight::of(&ProcRoot::host());
        let within = if pods.is_empty() {
            ""
        } else {
            ", in a pod that meets "
        };
        log::info!("waiting for a process that matches{within}{pods}: {sight}");
    }
}

/// What ended the run. A panic of a shard must not leave a daemon that looks alive.
fn wait_for_end(ending: &Ending, daemon: &Daemon, is_deserted: impl Fn() -> bool) -> &'static str {
    loop {
        match ending.wait(CHECK_EVERY) {
            Some(Event::Asked(signal)) => return signal,
            _ if daemon.has_failed() => return "the capture thread ended",
            _ if is_deserted() => return "nobody reads standard output any longer",
            Some(Event::Settled) | None => {}
        }
    }
}

/// The summary of a run that did not come to its end.
fn last_words(health: &Health, began: Instant) -> String {
    let finished = Finished {
        coverage: health.coverage(),
        recorded: None,
    };
    let summary = report::summary(health, &finished, began.elapsed());
    format!("wirespan: {summary}")
}

/// Makes the spans of a recording again.
///
/// # Errors
/// What keeps the file from being read, or where it ends early; or that spans were lost on their
/// way to where they go.
pub fn replay(config: Config, file: &Path, seed: Option<u64>) -> anyhow::Result<()> {
    let health = Arc::new(Health::default());
    let input =
        File::open(file).with_context(|| format!("can't open {}", Visible(file.display())))?;
    let mut reader =
        Reader::new(BufReader::new(input)).with_context(|| Visible(file.display()).to_string())?;
    let runtime = start_runtime()?;
    let memory = Ledger::new(config.memory.limit);
    let output = Output::stdout(config.traces.colours);
    let (queue, exporters) = start_exporters(&runtime, &config, &memory, &health, output)?;
    let pipeline_config = PipelineConfig {
        seed,
        memory,
        // What was set here wins over what the recording tells of its run.
        spans: config.spans.clone(),
        ..PipelineConfig::default()
    };
    let mut pipelines = Pipelines::new(pipeline_config, Arc::clone(&health));
    let began = Instant::now();
    let replayed = recording::replay_while(&mut reader, &mut pipelines, |spans| {
        queue.push_waiting(std::mem::take(spans));
        !health.is_deserted()
    });
    let took = began.elapsed();
    runtime.block_on(exporters.drain(config.ending.timeout));
    runtime.shutdown_timeout(Duration::ZERO);
    let replayed = replayed.with_context(|| Visible(file.display()).to_string())?;
    log::info!(
        "{} records replayed in {:.3} s, {} spans{}, {} records not understood",
        replayed.records,
        took.as_secs_f64(),
        replayed.spans,
        report::left_out(&health),
        replayed.unknown + replayed.undecodable
    );
    report::log_links(&health);
    report::log_losses(&health);
    // Who closed the pipe has seen enough.
    let lost = if health.is_deserted() {
        0
    } else {
        report::spans_lost(&health)
    };
    anyhow::ensure!(lost == 0, "{lost} spans got to nobody");
    Ok(())
}

/// Makes a copy of a recording without what is secret in it.
///
/// # Errors
/// What keeps the file from being read, or where it ends early, or what keeps the copy from being
/// written.
pub fn redact(config: &Config, file: &Path, copy: &Path) -> anyhow::Result<()> {
    let input =
        File::open(file).with_context(|| format!("can't open {}", Visible(file.display())))?;
    let mut reader =
        Reader::new(BufReader::new(input)).with_context(|| Visible(file.display()).to_string())?;
    let created = recording::create(copy);
    let created = created.with_context(|| format!("can't create {}", Visible(copy.display())))?;
    let mut writer = Writer::new(created)?;
    let redacted = recording::redact(&mut reader, &mut writer, &config.spans);
    writer.finish()?.sync_all()?;
    let redacted = redacted.with_context(|| Visible(file.display()).to_string())?;
    log::info!("{} records copied", redacted.records);
    if redacted.http2_connections > 0 {
        log::warn!(
            "{} connections of HTTP/2 were hidden wholly: no spans can be made of them again",
            redacted.http2_connections
        );
    }
    if redacted.left_out > 0 {
        log::warn!(
            "{} records were not understood, and left out",
            redacted.left_out
        );
    }
    Ok(())
}
