//! No secret of the corpus reaches anything that is exported: each of its texts goes through the
//! pipeline as a request, and through every encoding that spans leave in.

#[path = "support/records.rs"]
mod records;

use std::sync::Arc;

use bytes::BytesMut;
use records::Recorder;
use wirespan::config::SpanConfig;
use wirespan::discover::Process;
use wirespan::enrich::kubernetes::PodTelling;
use wirespan::export::otlp::{json, protobuf};
use wirespan::health::Health;
use wirespan::kubernetes::PodPlace;
use wirespan::kubernetes::pod::Pod;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::Span;
use wirespan_common::record::Record;

const CORPUS: &str = include_str!("../src/redact/corpus.txt");
const SECRET: &str = "S3cr3tV4lue";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTM2NyM3RWNGx1ZSJ9.c2lnbmF0dXJl";

/// Requests that carry a text of the corpus wherever it may stand.
fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    let mut add = |line: String, agent: &str| {
        requests.push(format!(
            "{line} HTTP/1.1\r\nHost: h:1\r\nUser-Agent: {agent}\r\n\
             traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n\
             tracestate: keep=me,token={SECRET},shop={TOKEN}\r\ntracestate: password={SECRET}\r\n\
             X-Forwarded-Host: bob:{SECRET}@h:1\r\nX-Forwarded-For: {TOKEN}\r\n\r\n"
        ));
    };
    for line in CORPUS.lines().filter(|line| !line.starts_with('#')) {
        let (grammar, text) = line.split_once(' ').expect("a grammar and a text");
        let text = text
            .replace("@S@", SECRET)
            .replace("@J@", TOKEN)
            .replace('\0', "%00");
        match grammar {
            "query" => {
                add(format!("GET /a?{text}"), "x");
                add(format!("GET http://o/a?x=y&{text}"), "x");
                add(format!("GET /a?x=y#{text}"), "x");
            }
            "url" => add(format!("GET {text}"), "x"),
            _ => add("GET /".to_owned(), &text),
        }
    }
    add(format!("CONNECT bob:{SECRET}@o:443"), "x");
    requests
}

/// A pod that says secrets in all that is told of it.
fn place() -> PodPlace {
    let said = |name: &str, text: String| (name.to_owned(), text);
    let pod = Pod {
        name: "web".to_owned(),
        labels: [said("example.com/token", SECRET.to_owned())].into(),
        annotations: [
            said("note", format!("password={SECRET}")),
            said("resource.opentelemetry.io/app.api_key", SECRET.to_owned()),
        ]
        .into(),
        ..Pod::default()
    };
    PodPlace {
        pod: Arc::new(pod),
        container: None,
    }
}

fn spans(config: SpanConfig) -> Vec<Span> {
    let mut recorder = Recorder::new(0);
    recorder.process(&Process {
        pid: records::PID,
        service_name: "shop".into(),
        resource_attributes: [
            ("app.api_key", SECRET.to_owned()),
            ("db.url", format!("postgres://bob:{SECRET}@db/x")),
            ("team", format!("x {TOKEN}")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        place: Some(place()),
        telling: PodTelling {
            labels: vec!["example.com/token".to_owned()],
            annotations: vec!["note".to_owned()],
            ..PodTelling::default()
        },
        ..Process::default()
    });
    for (index, request) in requests().into_iter().enumerate() {
        let index = index as u64;
        for is_server in [true, false] {
            let id = 1 + index * 2 + u64::from(is_server);
            recorder
                .at(index * 1000)
                .open_tcp(id, "10.0.0.1:8080", "10.0.0.2:40000");
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if is_server {
                recorder.read(id, &request).write(id, answer);
            } else {
                recorder.write(id, &request).read(id, answer);
            }
        }
    }
    let config = PipelineConfig {
        spans: config,
        ..PipelineConfig::default()
    };
    let mut pipeline = Pipeline::new(config, Arc::new(Health::default()));
    let mut spans = Vec::new();
    for bytes in recorder.records {
        let (record, _) = Record::decode(&bytes).expect("a record");
        pipeline.record(&record, &mut spans);
    }
    pipeline.finish(&mut spans);
    assert_eq!(spans.len(), 2 * requests().len());
    spans
}

fn exported(span: &Span) -> [String; 3] {
    let mut protobuf = BytesMut::new();
    protobuf::encode(&[span], &mut protobuf);
    let mut json = Vec::new();
    json::write(&[span], &mut json);
    [
        String::from_utf8_lossy(&protobuf).into_owned(),
        String::from_utf8_lossy(&json).into_owned(),
        format!("{span:?}"),
    ]
}

#[test]
fn no_secret_survives_in_any_exported_form() {
    for span in spans(SpanConfig::default()) {
        // Others' entries are passed on as they came.
        assert_eq!(span.trace_state.as_deref(), Some("keep=me"));
        for text in exported(&span) {
            for part in [SECRET, "eyJ", "c2lnbmF0dXJl"] {
                assert!(!text.contains(part), "{text}");
            }
        }
    }
}

#[test]
fn dropped_queries_are_in_no_exported_form() {
    let dropping = SpanConfig {
        drop_query: Some(true),
        ..SpanConfig::default()
    };
    for span in spans(dropping) {
        for text in exported(&span) {
            assert!(
                !text.contains("url.query") && !text.contains("x=y"),
                "{text}"
            );
        }
    }
}
