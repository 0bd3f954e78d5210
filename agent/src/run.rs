//! A run from start to drain: what is started in which order, and ended in which. The work is done
//! elsewhere.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{EventfdFlags, eventfd};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::capture::Capture;
use crate::config::Config;
use crate::discover::tls::Libraries;
use crate::discover::{ProcRoot, Watcher};
use crate::export::own_metrics::OwnMetrics;
use crate::export::{ExportConfig, Exporters, SpanQueue};
use crate::health::Health;
use crate::inspect::Sight;
use crate::live::Live;
use crate::memory::Ledger;
use crate::pipeline::{Pipeline, PipelineConfig};
use crate::recording::{self, Reader, Recorded, Recorder, Writer};
use crate::report;

/// Threads of the async edge: encoding is the only work there.
const EXPORT_THREADS: usize = 2;
/// How long to wait for TLS to be read in the processes that are there already before the daemon
/// calls itself ready.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Traces until SIGTERM or SIGINT; writes the records to `recording` if it is given, up to so many
/// bytes.
///
/// # Errors
/// What keeps the run from starting, in one line.
pub fn trace(config: Config, recording: Option<(&Path, Option<u64>)>) -> anyhow::Result<()> {
    let began = Instant::now();
    let health = Arc::new(Health::default());
    let recording = recording
        .map(|(file, bytes_max)| {
            Recorder::create(file, bytes_max, Arc::clone(&health))
                .with_context(|| format!("can't create {}", file.display()))
        })
        .transpose()?;
    let runtime = start_runtime()?;
    let memory = Ledger::new(config.memory_limit);
    let (queue, exporters) = start_exporters(&runtime, &config, &memory, &health)?;
    let metrics = config.metrics.as_ref();
    // Half of the interval, so that what is sent is younger than what was sent before.
    let measure_every = metrics.map(|metrics| metrics.interval / 2);
    let metrics = metrics
        .map(|metrics| OwnMetrics::start(metrics, &health, runtime.handle()))
        .transpose()?;
    let capture = Capture::start(&config.capture, &config.targets)?;
    let strategy = capture.strategy;
    let watcher = Watcher::new(
        ProcRoot::host(),
        config.targets.clone(),
        config.service.clone(),
    )
    .within(memory.clone());
    let pipeline_config = PipelineConfig {
        ignore_health_checks: config.ignore_health_checks,
        memory,
        redaction: config.redaction.clone(),
        ..PipelineConfig::default()
    };
    let pipeline = Pipeline::new(pipeline_config, Arc::clone(&health));
    let mut live = Live::new(
        capture,
        watcher,
        libraries(&health),
        pipeline,
        recording,
        queue,
        Arc::clone(&health),
    )
    .context("can't start a thread")?
    .measuring(measure_every);
    let (watched, settled) = live.begin();

    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let stopped = stop.try_clone()?;
    let shard = std::thread::Builder::new()
        .name("shard".into())
        .spawn(move || live.run(&stopped))
        .context("can't start a thread")?;
    // It never sends: the other end is dropped, whatever happens to it.
    let _ = settled.recv_timeout(SETTLE_MAX);
    log::info!(
        "ready in {} ms: {watched} processes watched, capture by {strategy}",
        began.elapsed().as_millis()
    );
    if watched == 0 {
        let sight = Sight::of(&ProcRoot::host());
        log::info!("waiting for a process that matches: {sight}");
    }

    let asked = runtime.block_on(asked_to_stop(&shard))?;
    log::info!("{asked}: stopping");
    let deadline = Instant::now() + config.shutdown_timeout;
    wake(&stop)?;
    let finished = shard
        .join()
        .map_err(|_| anyhow::anyhow!("the capture thread panicked"))?;
    runtime.block_on(exporters.drain(deadline.saturating_duration_since(Instant::now())));
    if let Some(metrics) = metrics {
        metrics.finish(deadline.saturating_duration_since(Instant::now()));
    }
    runtime.shutdown_timeout(Duration::ZERO);
    eprintln!(
        "wirespan: {}",
        report::summary(&health, &finished, began.elapsed())
    );
    let recorded = finished.recorded.as_ref();
    anyhow::ensure!(
        recorded.is_none_or(Recorded::is_complete),
        "the recording is not complete"
    );
    Ok(())
}

/// Looks for TLS libraries, and counts the files that were given up.
fn libraries(health: &Arc<Health>) -> Libraries {
    let health = Arc::clone(health);
    Libraries::new(ProcRoot::host()).counting(move |reason| health.lose(reason.into(), 1))
}

/// Makes the spans of a recording again.
///
/// # Errors
/// What keeps the file from being read, or where it ends early.
pub fn replay(config: Config, file: &Path, seed: Option<u64>) -> anyhow::Result<()> {
    let health = Arc::new(Health::default());
    let input = File::open(file).with_context(|| format!("can't open {}", file.display()))?;
    let mut reader =
        Reader::new(BufReader::new(input)).with_context(|| format!("{}", file.display()))?;
    let runtime = start_runtime()?;
    let memory = Ledger::new(config.memory_limit);
    let (queue, exporters) = start_exporters(&runtime, &config, &memory, &health)?;
    let pipeline_config = PipelineConfig {
        seed,
        ignore_health_checks: config.ignore_health_checks,
        memory,
        redaction: config.redaction.clone(),
        ..PipelineConfig::default()
    };
    let mut pipeline = Pipeline::new(pipeline_config, Arc::clone(&health));
    let began = Instant::now();
    let replayed = recording::replay(&mut reader, &mut pipeline, |spans| {
        queue.push_waiting(std::mem::take(spans));
    });
    let took = began.elapsed();
    runtime.block_on(exporters.drain(config.shutdown_timeout));
    runtime.shutdown_timeout(Duration::ZERO);
    let replayed = replayed.with_context(|| format!("{}", file.display()))?;
    log::info!(
        "{} records replayed in {:.3} s, {} spans, {} records not understood",
        replayed.records,
        took.as_secs_f64(),
        replayed.spans,
        replayed.unknown + replayed.undecodable
    );
    report::log_losses(&health);
    Ok(())
}

/// Makes a copy of a recording without what is secret in it.
///
/// # Errors
/// What keeps the file from being read, or where it ends early, or what keeps the copy from being
/// written.
pub fn redact(config: &Config, file: &Path, copy: &Path) -> anyhow::Result<()> {
    let input = File::open(file).with_context(|| format!("can't open {}", file.display()))?;
    let mut reader =
        Reader::new(BufReader::new(input)).with_context(|| format!("{}", file.display()))?;
    let created = recording::create(copy);
    let created = created.with_context(|| format!("can't create {}", copy.display()))?;
    let mut writer = Writer::new(created)?;
    let redacted = recording::redact(&mut reader, &mut writer, &config.redaction);
    writer.finish()?.sync_all()?;
    let redacted = redacted.with_context(|| format!("{}", file.display()))?;
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

fn start_runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(EXPORT_THREADS)
        .thread_name("export")
        .enable_all()
        .build()
        .context("can't start the exporters' runtime")
}

fn start_exporters(
    runtime: &Runtime,
    config: &Config,
    memory: &Ledger,
    health: &Arc<Health>,
) -> anyhow::Result<(SpanQueue, Exporters)> {
    let _entered = runtime.enter();
    let export = ExportConfig {
        colours: config.colours,
        queue_spans_cap: config.queue_spans_max,
        memory: memory.clone(),
        ..ExportConfig::new(config.otlp.clone(), config.printer)
    };
    Ok(Exporters::start(export, health)?)
}

/// Waits for a signal that ends the run; the name of what ended it. A second one ends the process
/// at once, by the signal's own default.
async fn asked_to_stop<T>(shard: &std::thread::JoinHandle<T>) -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut check = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("SIGTERM"),
            _ = interrupt.recv() => return Ok("SIGINT"),
            // A panic there must not leave a daemon that looks alive.
            _ = check.tick() => if shard.is_finished() { return Ok("the capture thread ended") },
        }
    }
}

fn wake(stop: &OwnedFd) -> anyhow::Result<()> {
    rustix::io::write(stop, &1u64.to_ne_bytes())?;
    Ok(())
}
