//! Recordings of real programs, and the spans that they must give, for ever: what they are is said
//! in `golden/README.md`. `WIRESPAN_BLESS=1` writes down what they give now, for somebody to read
//! before it is believed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use wirespan::health::Health;
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, replay};
use wirespan::span::{Span, SpanKind, Status, Value};

/// All that a span says, one attribute a line.
fn told(span: &Span) -> String {
    let kind = match span.kind {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Internal => "internal",
    };
    let mut text = format!("{kind} {}\n", span.name);
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |hex, b| hex + &format!("{b:02x}"))
    };
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name}: {value}");
    };
    line("trace", hex(&span.trace_id));
    line("span", hex(&span.span_id));
    if let Some(parent) = span.parent_span_id {
        let remote = if span.parent_is_remote {
            "remote"
        } else {
            "local"
        };
        line("parent", format!("{} {remote}", hex(&parent)));
    }
    line("start", span.start_unix_ns.to_string());
    line(
        "took",
        format!("{} ns", span.end_unix_ns - span.start_unix_ns),
    );
    if span.status == Status::Error {
        line("status", "error".into());
    }
    for (name, value) in &span.attributes {
        let value = match value {
            Value::Int(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            text => text.as_str().unwrap().to_owned(),
        };
        line(name, value);
    }
    let service = span.resource.get("service.name").and_then(Value::as_str);
    line("service.name", service.unwrap().to_owned());
    text
}

#[test]
fn recordings_give_the_spans_that_they_gave() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "wirespan"))
        .collect();
    names.sort();
    assert!(names.len() >= 13, "{names:?}");
    let mut wrong = Vec::new();
    for path in names {
        let health = Arc::new(Health::default());
        let config = PipelineConfig {
            seed: Some(1),
            ..PipelineConfig::default()
        };
        let mut pipelines = Pipelines::new(config, health);
        let mut reader = Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let mut text = String::new();
        let replayed = replay(&mut reader, &mut pipelines, |spans| {
            for span in spans {
                text.push_str(&told(span));
            }
        })
        .unwrap();
        assert_eq!((replayed.unknown, replayed.undecodable), (0, 0), "{path:?}");
        let wanted = path.with_extension("spans");
        if std::env::var_os("WIRESPAN_BLESS").is_some() {
            std::fs::write(&wanted, &text).unwrap();
        }
        if std::fs::read_to_string(&wanted).unwrap() != text {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "these give other spans: {wrong:?}");
}
