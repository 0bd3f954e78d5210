//! Records in, spans out: the daemon's core from the true input boundary, without a kernel.

#[path = "pipeline/again.rs"]
mod again;
#[path = "pipeline/asked.rs"]
mod asked;
#[path = "pipeline/ends.rs"]
mod ends;
#[path = "pipeline/exchanges.rs"]
mod exchanges;
#[path = "pipeline/goroutines.rs"]
mod goroutines;
#[path = "pipeline/headers.rs"]
mod headers;
#[path = "pipeline/instrumented.rs"]
mod instrumented;
#[path = "pipeline/kernel.rs"]
mod kernel;
#[path = "pipeline/learnt.rs"]
mod learnt;
#[path = "pipeline/left_out.rs"]
mod left_out;
#[path = "pipeline/links.rs"]
mod links;
#[path = "pipeline/losses.rs"]
mod losses;
#[path = "pipeline/node.rs"]
mod node;
#[path = "pipeline/optioned.rs"]
mod optioned;
#[path = "pipeline/own.rs"]
mod own;
#[path = "pipeline/peers.rs"]
mod peers;
#[path = "pipeline/processes.rs"]
mod processes;
#[path = "pipeline/progress.rs"]
mod progress;
#[path = "pipeline/proxies.rs"]
mod proxies;
#[path = "support/records.rs"]
mod records;
#[path = "pipeline/redis.rs"]
mod redis;
#[path = "pipeline/replay.rs"]
mod replay;
#[path = "pipeline/sampling.rs"]
mod sampling;
#[path = "pipeline/settings.rs"]
mod settings;
#[path = "pipeline/shards.rs"]
mod shards;
#[path = "pipeline/stages.rs"]
mod stages;
#[path = "pipeline/tail.rs"]
mod tail;
#[path = "pipeline/threads.rs"]
mod threads;
#[path = "pipeline/tls.rs"]
mod tls;
#[path = "pipeline/tokio.rs"]
mod tokio;
#[path = "pipeline/virtual_threads.rs"]
mod virtual_threads;
#[path = "pipeline/waiting.rs"]
mod waiting;

use std::sync::Arc;

use records::Recorder;
use wirespan::health::Health;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::{Span, Value};
use wirespan_common::record::Record;

/// 2026-01-01T00:00:00Z.
const WALL_NS: i64 = 1_767_225_600_000_000_000;
const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const SERVER: &str = "10.0.0.1:8080";
const CLIENT: &str = "10.0.0.2:40000";

/// A pipeline and what came out of it.
struct Bench {
    pipeline: Pipeline,
    health: Arc<Health>,
    spans: Vec<Span>,
}

impl Bench {
    fn new(config: PipelineConfig) -> Self {
        let health = Arc::new(Health::default());
        Self {
            pipeline: Pipeline::new(config, Arc::clone(&health)),
            health,
            spans: Vec::new(),
        }
    }

    fn seeded() -> Self {
        Self::new(PipelineConfig {
            seed: Some(1),
            ..PipelineConfig::default()
        })
    }

    /// Feeds what was recorded since the last call.
    fn feed(&mut self, recorder: &mut Recorder) -> &mut Self {
        for bytes in recorder.records.drain(..) {
            let (record, _) = Record::decode(&bytes).expect("a record");
            self.pipeline.record(&record, &mut self.spans);
        }
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.pipeline.finish(&mut self.spans);
        self
    }
}

fn spans_of(recorder: &mut Recorder) -> Vec<Span> {
    let mut bench = Bench::seeded();
    bench.feed(recorder).finish();
    let made = bench.health.spans_made();
    assert_eq!(made, bench.spans.len() as u64, "each span is counted");
    bench.spans
}

fn text(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        text => text.as_str().expect("text").to_owned(),
    }
}

fn attributes(span: &Span) -> Vec<String> {
    let mut told: Vec<String> = span
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    told.sort();
    told
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let (_, value) = span.attributes.iter().find(|(key, _)| *key == name)?;
    Some(text(value))
}

fn error(span: &Span) -> Option<String> {
    attribute(span, "error.type")
}

fn service(span: &Span) -> String {
    text(span.resource.get("service.name").expect("always named"))
}

/// Everything about a span but its ids.
fn without_ids(span: &Span) -> String {
    let mut span = span.clone();
    span.trace_id = [0; 16];
    span.span_id = [0; 8];
    format!("{span:?}")
}
