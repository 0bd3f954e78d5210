//! The async edge: spans leave the shard through a bounded queue and go to a collector, to standard
//! output, or to both. Only this room knows OTLP. It decides nothing about a span: what arrives is
//! sent or counted as lost, never changed.
//!
//! Each destination has a lane of its own, so that a collector which is away does not silence the
//! printer and a blocked terminal does not stop delivery. A lane is a queue with a bound and a few
//! workers that take a batch, encode it and see it through.

pub mod otlp;
pub mod own_metrics;
pub mod printer;
pub mod queue;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{OtlpConfig, PrinterFormat, QUEUE_SPANS_DEFAULT};
use crate::health::{Destination, Health};
use crate::memory::Ledger;

pub use otlp::{RetryPolicy, SetupError};
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
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    outlet: Arc<queue::Outlet>,
    workers: Vec<JoinHandle<()>>,
}

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
        let cap = config.queue_spans_cap;
        let mut inlets = Vec::new();
        let mut lanes = Vec::new();
        if let Some(otlp) = &config.otlp {
            let batching = queue::Batching {
                spans_cap: cap,
                bytes_cap: config.memory.of_spans(),
                batch_spans_max: otlp.batch_spans_max.max(1),
                batch_age_max: otlp.batch_age_max,
                destination: Destination::Otlp,
            };
            health.open(batching.destination);
            let (inlet, outlet) = queue::lane(batching, config.memory.clone(), Arc::clone(health));
            let workers = otlp::start(otlp, config.retry, &outlet)?;
            inlets.push(inlet);
            lanes.push(Lane { outlet, workers });
        }
        if config.printer != PrinterFormat::Disabled {
            let batching = queue::Batching {
                spans_cap: cap,
                bytes_cap: config.memory.of_spans(),
                batch_spans_max: printer::BATCH_SPANS_MAX,
                batch_age_max: printer::BATCH_AGE_MAX,
                destination: Destination::Printer,
            };
            health.open(batching.destination);
            let (inlet, outlet) = queue::lane(batching, config.memory.clone(), Arc::clone(health));
            let worker = printer::start(config.printer, output, Arc::clone(&outlet));
            inlets.push(inlet);
            lanes.push(Lane {
                outlet,
                workers: vec![worker],
            });
        }
        Ok((SpanQueue::new(inlets), Self { lanes }))
    }

    /// Sends what is queued, for at most `timeout`, and counts the rest as lost. What is pushed
    /// from now on is lost too, so the shards have to have stopped.
    pub async fn drain(self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        for lane in &self.lanes {
            lane.outlet.close();
        }
        for lane in self.lanes {
            for mut worker in lane.workers {
                if tokio::time::timeout_at(deadline, &mut worker)
                    .await
                    .is_err()
                {
                    // What the worker had in hand counts itself when it is dropped.
                    worker.abort();
                    let _ = worker.await;
                }
            }
            lane.outlet.discard().await;
        }
    }
}
