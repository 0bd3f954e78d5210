//! A daemon that traces: its rooms, started in order, told of another configuration while they run,
//! and ended in order. It does no room's work, and waits for no signal.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use super::cluster;
use crate::asking::{Asking, AskingError, AskingSetup, PeersDoor};
use crate::capture::Capture;
use crate::cloud::{self, CloudAttributes, CloudSetup};
use crate::config::{Config, HealthCheckConfig, Setting, Strategy};
use crate::discover::tls::Libraries;
use crate::discover::{ProcRoot, Watcher};
use crate::ending::Ending;
use crate::engine::Engines;
use crate::export::own_metrics::OwnMetrics;
use crate::export::printer::Output;
use crate::export::{ExportConfig, Exporters, SetupError, SpanQueue};
use crate::health::Health;
use crate::kubernetes::ResourceWatch;
use crate::live::{Live, Reconfiguration, Setup, Watched};
use crate::logging;
use crate::memory::Ledger;
use crate::pipeline::PipelineConfig;
use crate::recording::Recorder;
use crate::report::Finished;
use crate::sandbox;
use crate::vitals::{HealthServer, ListenError, Vitals};

/// Threads of the async edge: encoding is the only work there.
const EXPORT_THREADS: usize = 2;
/// How long own metrics that go elsewhere from now on may take for their last values.
const METRICS_MAX: Duration = Duration::from_secs(2);

/// All rooms, running.
pub struct Daemon {
    /// What they run with.
    config: Config,
    /// How transfers are seen.
    pub strategy: Strategy,
    health: Arc<Health>,
    runtime: Runtime,
    memory: Ledger,
    exporters: Exporters,
    metrics: Option<OwnMetrics>,
    /// Who asks of pods, services and nodes, if anybody does.
    cluster: Vec<ResourceWatch>,
    /// Who asks other nodes, if anybody does.
    asking: Option<Asking>,
    live: Live,
    vitals: Arc<Vitals>,
    /// Who answers for them, if anybody may ask.
    health_server: Option<HealthServer>,
    is_recorded: bool,
}

/// What the shards leave, and who tells when the kernel side is detached.
pub(super) type Ended = (Finished, Receiver<()>);

/// What came of another configuration.
#[derive(Debug, Default)]
pub struct Reconfigured {
    /// Settings that take effect with the next start.
    pub restart: Vec<Setting>,
    /// Why a room goes on as before.
    pub refused: Vec<anyhow::Error>,
}

impl Daemon {
    /// Starts all rooms; `recording` is where records are kept, if anywhere. `ending` is told once
    /// what was there already is watched.
    ///
    /// # Errors
    /// What keeps a room from starting, in one line.
    pub fn start(
        config: Config,
        recording: Option<Recorder>,
        ending: &Ending,
        health: Arc<Health>,
    ) -> anyhow::Result<Self> {
        let output = Output::stdout(config.traces.colours);
        Self::start_with(config, recording, output, ending, health)
    }

    /// The same, without a recording and with something else in the place of standard output.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub(super) fn start_to<W: Write + Send + 'static>(
        config: Config,
        to: W,
        ending: &Ending,
        health: Arc<Health>,
    ) -> anyhow::Result<Self> {
        let output = Output {
            to,
            terminal: false,
            colours: false,
        };
        Self::start_with(config, None, output, ending, health)
    }

    fn start_with<W: Write + Send + 'static>(
        config: Config,
        recording: Option<Recorder>,
        output: Output<W>,
        ending: &Ending,
        health: Arc<Health>,
    ) -> anyhow::Result<Self> {
        let is_recorded = recording.is_some();
        // Who asks hears from the first moment on that it is not ready.
        let vitals = Arc::new(Vitals::default());
        let health_server = start_health_server(&config.health_check, &vitals)?;
        let runtime = start_runtime()?;
        let memory = Ledger::new(config.memory.limit);
        let (queue, exporters) = start_exporters(&runtime, &config, &memory, &health, output)?;
        vitals.set_reach(exporters.reach());
        let metrics = start_metrics(&config, &health, &runtime)?;
        let (asking, peers) = prepare_asking(&config, &memory, &health)?;
        let capture = Capture::start(&config.capture, &config.discover.targets)?;
        let strategy = capture.strategy;
        let watcher = start_watcher(&config, &memory);
        // How spans are made is told by records, so that it can be told anew.
        let pipeline = PipelineConfig {
            memory: memory.clone(),
            ..PipelineConfig::default()
        };
        let setup = Setup {
            watcher,
            libraries: libraries(&health),
            follow_cpu_max: config.capture.follow_cpu_max,
            governor: config.governor,
            pipeline,
            spans: config.spans.clone(),
            recording,
            queue,
            peers,
            health: Arc::clone(&health),
            vitals: Arc::clone(&vitals),
            measure_every: measure_every(&config),
            settled: ending.tell(),
        };
        let live = Live::start(capture, setup).context("can't start a thread")?;
        let asking = asking
            .map(|it| it.start(live.hear_of_callers()))
            .transpose()?;
        if config.surroundings.cloud_metadata {
            let is_node = config.kubernetes.reach.is_some();
            ask_cloud(&runtime, CloudSetup::of_host(is_node), live.hear_of_host());
        }
        let cluster = cluster::watch(&config, &live, &vitals).context("can't start a thread")?;
        Ok(Self {
            config,
            strategy,
            health,
            runtime,
            memory,
            exporters,
            metrics,
            cluster,
            asking,
            live,
            vitals,
            health_server,
            is_recorded,
        })
    }

    /// Who knows how many processes are watched.
    #[must_use]
    pub fn watched(&self) -> &Watched {
        self.live.watched()
    }

    /// Has the rooms work by another configuration, as far as they can while they run. A room that
    /// can't goes on as before, and others don't suffer by it; what is asked for again is tried
    /// again.
    pub fn reconfigure(&mut self, new: &Config, ending: &Ending) -> Reconfigured {
        let changes = self.config.changes_to(new);
        let mut outcome = Reconfigured {
            restart: changes.restart(),
            ..Reconfigured::default()
        };
        if let Some(log) = changes.log.follow {
            logging::reconfigure(&log);
            self.config.log = log;
        }
        if let Some(end) = changes.ending.follow {
            ending.reconfigure(&end);
            self.config.ending = end;
        }
        if let Some(memory) = changes.memory.follow {
            self.memory.reconfigure(&memory);
            self.config.memory = memory;
        }
        if let Some(governor) = changes.governor.follow {
            self.live.govern(governor);
            self.config.governor = governor;
        }
        if let Some(traces) = changes.traces.follow {
            let _entered = self.runtime.enter();
            match self.exporters.reconfigure(&traces) {
                Ok(()) => self.config.traces = traces,
                Err(error) => outcome.refused.push(error.into()),
            }
            self.vitals.set_reach(self.exporters.reach());
        }
        if let Some(health_check) = changes.health_check.follow {
            match self.answer_at(&health_check) {
                Ok(()) => self.config.health_check = health_check,
                Err(error) => outcome.refused.push(error.into()),
            }
        }
        let mut reconfiguration = Reconfiguration {
            discover: changes.discover.follow,
            spans: changes.spans.follow,
            measure_every: None,
        };
        if changes.metrics.follow.is_some() {
            match start_metrics(new, &self.health, &self.runtime) {
                Ok(metrics) => {
                    self.config.metrics.clone_from(&new.metrics);
                    reconfiguration.measure_every = Some(measure_every(new));
                    if let Some(old) = std::mem::replace(&mut self.metrics, metrics) {
                        old.finish(METRICS_MAX);
                    }
                }
                Err(error) => outcome.refused.push(error.into()),
            }
        }
        if let Some(discover) = &reconfiguration.discover {
            self.config.discover.clone_from(discover);
            let by_pods = &discover.targets.pods;
            self.vitals.set_needs_pods(!by_pods.is_empty());
        }
        if let Some(spans) = &mut reconfiguration.spans {
            if self.asking.is_none() {
                // Nobody would answer.
                spans.asked_within_ms = Some(0);
            }
            self.config.spans.clone_from(spans);
        }
        // If the run is over, nobody wants to know.
        let _ = self.live.reconfigure(reconfiguration);
        outcome
    }

    /// Has health checks answered elsewhere, or nowhere. The old place is left first, because the
    /// new one may hold it; where that can't be had, it is taken again.
    fn answer_at(&mut self, new: &HealthCheckConfig) -> Result<(), ListenError> {
        drop(self.health_server.take());
        let started = start_health_server(new, &self.vitals);
        let (server, outcome) = match started {
            Ok(server) => (server, Ok(())),
            Err(error) => {
                let old = start_health_server(&self.config.health_check, &self.vitals);
                (old.ok().flatten(), Err(error))
            }
        };
        self.health_server = server;
        outcome
    }

    /// What was there at the start is looked at.
    pub fn settled(&self) {
        self.vitals.settled();
    }

    /// Whether records are kept, so that it has something to do even if nobody takes spans.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Whether a shard has ended by itself, which none ever should.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.live.is_broken()
    }

    /// Ends all rooms within the time of `ending`, in the order in which spans go through them.
    ///
    /// # Errors
    /// A shard panicked.
    pub fn end(self, ending: &Ending) -> anyhow::Result<Ended> {
        self.vitals.ends();
        drop(self.cluster);
        let ended = self.live.end();
        // Until then answers may come for what was asked.
        drop(self.asking);
        let ended = ended.map_err(|_| anyhow::anyhow!("the capture thread panicked"))?;
        self.runtime.block_on(self.exporters.drain(left(ending)));
        if let Some(metrics) = self.metrics {
            metrics.finish(left(ending));
        }
        self.runtime.shutdown_timeout(Duration::ZERO);
        Ok(ended)
    }
}

/// What asking other nodes needs, and where what they are asked is left, if anybody is.
fn prepare_asking(
    config: &Config,
    memory: &Ledger,
    health: &Arc<Health>,
) -> Result<(Option<AskingSetup>, Option<PeersDoor>), AskingError> {
    let prepare = |asking| AskingSetup::new(asking, memory, health);
    let prepared = config.asking.as_ref().map(prepare).transpose()?;
    Ok(prepared.unzip())
}

/// Own metrics, if they go anywhere.
fn start_metrics(
    config: &Config,
    health: &Arc<Health>,
    runtime: &Runtime,
) -> Result<Option<OwnMetrics>, SetupError> {
    let metrics = config.metrics.as_ref();
    metrics
        .map(|metrics| OwnMetrics::start(metrics, health, runtime.handle()))
        .transpose()
}

/// Health checks, if anybody may ask for them.
fn start_health_server(
    config: &HealthCheckConfig,
    vitals: &Arc<Vitals>,
) -> Result<Option<HealthServer>, ListenError> {
    let start = |address| HealthServer::start(address, vitals);
    config.address.map(start).transpose()
}

/// Half of the interval, so that what is sent is younger than what was sent before.
fn measure_every(config: &Config) -> Option<Duration> {
    Some(config.metrics.as_ref()?.interval / 2)
}

/// Looks for TLS libraries, and counts the files that were given up.
fn libraries(health: &Arc<Health>) -> Libraries {
    let health = Arc::clone(health);
    Libraries::new(ProcRoot::host()).counting(move |reason| health.lose(reason.into(), 1))
}

/// What is left of the time that the end may take.
pub(super) fn left(ending: &Ending) -> Duration {
    ending.deadline().saturating_duration_since(Instant::now())
}

pub(super) fn start_runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(EXPORT_THREADS)
        .thread_name("export")
        .on_thread_start(sandbox::without_rights)
        .enable_all()
        .build()
        .context("can't start the exporters' runtime")
}

pub(super) fn start_exporters<W: Write + Send + 'static>(
    runtime: &Runtime,
    config: &Config,
    memory: &Ledger,
    health: &Arc<Health>,
    output: Output<W>,
) -> anyhow::Result<(SpanQueue, Exporters)> {
    let _entered = runtime.enter();
    let export = ExportConfig {
        colours: config.traces.colours,
        queue_spans_cap: config.traces.queue_spans_max,
        memory: memory.clone(),
        ..ExportConfig::new(config.traces.otlp.clone(), config.traces.printer)
    };
    Ok(Exporters::start_with_output(export, health, output)?)
}

/// Who decides who is watched, and who it may ask.
fn start_watcher(config: &Config, memory: &Ledger) -> Watcher {
    let watcher = Watcher::new(ProcRoot::host(), config.discover.clone());
    let mut watcher = watcher.within(memory.clone());
    if config.kubernetes.reach.is_some() {
        watcher = watcher.awaiting_pods();
    }
    if config.surroundings.container_engines {
        watcher = watcher.asking(Engines::below(Path::new("/")));
    }
    watcher
}

/// Tells what the host's cloud says of it, once that is known, if it says anything.
fn ask_cloud(
    runtime: &Runtime,
    setup: CloudSetup,
    tell: impl FnOnce(CloudAttributes) -> bool + Send + 'static,
) {
    runtime.spawn(async move {
        let attributes = cloud::attributes(&setup).await;
        if !attributes.is_empty() {
            // Who is told may be busy for a moment; if the run is over, nobody wants to know.
            tokio::task::spawn_blocking(|| tell(attributes));
        }
    });
}
