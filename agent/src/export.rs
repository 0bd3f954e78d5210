//! The async edge: spans leave the shard through a bounded queue and go to a collector, to standard
//! output, or to both. Only this room knows OTLP. It decides nothing about a span: what arrives is
//! sent or counted as lost, never changed.
//!
//! Each destination has a sink of its own, so that a collector which is away does not silence the
//! printer and a blocked terminal does not stop delivery. A sink is a queue with a bound and a few
//! workers that take a batch, encode it and see it through.

pub mod otlp;
pub mod own_metrics;
pub mod printer;
pub mod queue;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::config::{OtlpConfig, PrinterFormat, QUEUE_SPANS_DEFAULT, TracesConfig};
use crate::health::{Destination, Health};
use crate::memory::Ledger;

pub use otlp::{Reached, ReceiverReach, RetryPolicy, SetupError, endpoint_without_secrets};
pub use queue::SpanQueue;

/// What the exporters need to know.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// Where spans go over OTLP, if anywhere.
    pub otlp: Option<OtlpConfig>,
    /// What is printed on standard output.
    pub printer: PrinterFormat,
    /// Whether standard output may be coloured where it is a terminal.
    pub colours: bool,
    /// How delivery is tried again.
    pub retry: RetryPolicy,
    /// Most spans that wait per destination.
    pub queue_spans_cap: usize,
    /// The bound over all that is remembered, of which waiting spans have a part.
    pub memory: Ledger,
}

impl ExportConfig {
    /// The destinations, with the usual bounds.
    #[must_use]
    pub fn new(otlp: Option<OtlpConfig>, printer: PrinterFormat) -> Self {
        Self {
            otlp,
            printer,
            colours: true,
            retry: RetryPolicy::default(),
            queue_spans_cap: QUEUE_SPANS_DEFAULT,
            memory: Ledger::default(),
        }
    }
}

/// The running destinations. Dropping it without [`Exporters::drain`] leaves them to the runtime.
#[derive(Debug)]
pub struct Exporters {
    config: ExportConfig,
    health: Arc<Health>,
    queue: SpanQueue,
    otlp: Option<SpanSink>,
    printer: Option<SpanSink>,
    /// What waits for either, in whichever sink.
    held: [queue::HeldMemory; 2],
    /// Sinks into which nothing is put any more.
    retired: Vec<SpanSink>,
}

#[derive(Debug)]
struct SpanSink {
    inlet: queue::Inlet,
    outlet: Arc<queue::SinkOutlet>,
    workers: Vec<JoinHandle<()>>,
    /// Who can be asked about a receiver.
    reach: Option<ReceiverReach>,
}

/// How long a sink that is not used any more may take to be emptied: as long as a batch waits for
/// its receiver.
const RETIRED_FOR: Duration = Duration::from_secs(60);

impl Exporters {
    /// Starts the workers on the current tokio runtime. Without any destination, what is pushed is
    /// discarded. Nothing is connected yet: a collector may come later.
    ///
    /// # Errors
    /// The endpoint, a header or a certificate file cannot be used.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(
        config: ExportConfig,
        health: &Arc<Health>,
    ) -> Result<(SpanQueue, Self), SetupError> {
        let output = printer::Output::stdout(config.colours);
        Self::start_with_output(config, health, output)
    }

    /// As [`Exporters::start`], with something else in the place of standard output.
    ///
    /// # Errors
    /// As [`Exporters::start`].
    ///
    /// # Panics
    /// As [`Exporters::start`].
    pub fn start_with_output<W: Write + Send + 'static>(
        config: ExportConfig,
        health: &Arc<Health>,
        output: printer::Output<W>,
    ) -> Result<(SpanQueue, Self), SetupError> {
        let queue = SpanQueue::new(Vec::new());
        let held = [(); 2].map(|()| queue::HeldMemory::new(config.memory.clone()));
        let [of_otlp, of_printer] = &held;
        let exporters = Self {
            otlp: SpanSink::to_receiver(&config, of_otlp, health)?,
            printer: SpanSink::to_printer(&config, of_printer, health, output),
            held,
            retired: Vec::new(),
            queue: queue.clone(),
            health: Arc::clone(health),
            config,
        };
        exporters.lead();
        Ok((queue, exporters))
    }

    /// Sends spans elsewhere from now on, or otherwise. Those that wait already go where they were
    /// to go; a destination about which nothing changed does not notice.
    ///
    /// # Errors
    /// As [`Exporters::start`]; then all goes on as before.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn reconfigure(&mut self, traces: &TracesConfig) -> Result<(), SetupError> {
        let new = ExportConfig {
            otlp: traces.otlp.clone(),
            printer: traces.printer,
            colours: traces.colours,
            queue_spans_cap: traces.queue_spans_max,
            ..self.config.clone()
        };
        let old = std::mem::replace(&mut self.config, new.clone());
        let mut left = Vec::new();
        let [of_otlp, of_printer] = &self.held;
        let other_queue = old.queue_spans_cap != new.queue_spans_cap;
        if other_queue || old.otlp != new.otlp {
            match SpanSink::to_receiver(&new, of_otlp, &self.health) {
                Ok(sink) => left.extend(std::mem::replace(&mut self.otlp, sink)),
                Err(error) => {
                    self.config = old;
                    return Err(error);
                }
            }
        }
        if other_queue || (old.printer, old.colours) != (new.printer, new.colours) {
            let output = printer::Output::stdout(new.colours);
            let sink = SpanSink::to_printer(&new, of_printer, &self.health, output);
            left.extend(std::mem::replace(&mut self.printer, sink));
        }
        self.lead();
        for sink in left {
            self.retire(sink);
        }
        Ok(())
    }

    /// Who can be asked about the receiver of now, if spans go to one.
    #[must_use]
    pub fn reach(&self) -> Option<ReceiverReach> {
        self.otlp.as_ref()?.reach.clone()
    }

    /// Has what is pushed go into the sinks of now.
    fn lead(&self) {
        let sinks = self.otlp.iter().chain(&self.printer);
        self.queue
            .lead_to(sinks.map(|sink| sink.inlet.clone()).collect());
    }

    /// Nothing comes into this sink any more: it ends once it is empty, or is given up after a
    /// while.
    fn retire(&mut self, sink: SpanSink) {
        sink.outlet.close();
        let workers: Vec<_> = sink.workers.iter().map(JoinHandle::abort_handle).collect();
        let outlet = Arc::clone(&sink.outlet);
        tokio::spawn(async move {
            tokio::time::sleep(RETIRED_FOR).await;
            workers.iter().for_each(AbortHandle::abort);
            outlet.discard().await;
        });
        self.retired
            .retain(|sink| !sink.workers.iter().all(JoinHandle::is_finished));
        self.retired.push(sink);
    }

    /// Sends what is queued, for at most `timeout`, and counts the rest as lost. What is pushed
    /// from now on is lost too, so the shards have to have stopped.
    pub async fn drain(self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let in_use = self.otlp.into_iter().chain(self.printer);
        let sinks: Vec<_> = self.retired.into_iter().chain(in_use).collect();
        for sink in &sinks {
            sink.outlet.close();
        }
        for sink in sinks {
            sink.end(deadline).await;
        }
    }
}

impl SpanSink {
    /// Where spans go over OTLP, if anywhere.
    fn to_receiver(
        config: &ExportConfig,
        held: &queue::HeldMemory,
        health: &Arc<Health>,
    ) -> Result<Option<Self>, SetupError> {
        let Some(otlp) = &config.otlp else {
            return Ok(None);
        };
        let batching = queue::Batching {
            spans_cap: config.queue_spans_cap,
            batch_spans_max: otlp.batch_spans_max.max(1),
            batch_age_max: otlp.batch_age_max,
            destination: Destination::Otlp,
        };
        let (inlet, outlet) = Self::begin(batching, held, health);
        let (workers, reach) = otlp::start(otlp, config.retry, &outlet)?;
        Ok(Some(Self {
            inlet,
            outlet,
            workers,
            reach: Some(reach),
        }))
    }

    /// To `output`, if anything is printed.
    fn to_printer<W: Write + Send + 'static>(
        config: &ExportConfig,
        held: &queue::HeldMemory,
        health: &Arc<Health>,
        output: printer::Output<W>,
    ) -> Option<Self> {
        if config.printer == PrinterFormat::Disabled {
            return None;
        }
        let batching = queue::Batching {
            spans_cap: config.queue_spans_cap,
            batch_spans_max: printer::BATCH_SPANS_MAX,
            batch_age_max: printer::BATCH_AGE_MAX,
            destination: Destination::Printer,
        };
        let (inlet, outlet) = Self::begin(batching, held, health);
        let worker = printer::start(config.printer, output, Arc::clone(&outlet));
        Some(Self {
            inlet,
            outlet,
            workers: vec![worker],
            reach: None,
        })
    }

    fn begin(
        batching: queue::Batching,
        held: &queue::HeldMemory,
        health: &Arc<Health>,
    ) -> (queue::Inlet, Arc<queue::SinkOutlet>) {
        health.open(batching.destination);
        queue::sink(batching, held.clone(), Arc::clone(health))
    }

    /// Lets the workers of a closed sink finish until `deadline`, and counts the rest as lost.
    async fn end(self, deadline: Instant) {
        for mut worker in self.workers {
            if tokio::time::timeout_at(deadline, &mut worker)
                .await
                .is_err()
            {
                // What the worker had in hand counts itself when it is dropped.
                worker.abort();
                let _ = worker.await;
            }
        }
        self.outlet.discard().await;
    }
}
