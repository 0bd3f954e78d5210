//! A real Jaeger, as set-up built it: it takes spans over OTLP, keeps them in memory, and is asked
//! over the interface that its own pages use.

use serde_json::Value;
use tempfile::TempDir;

use crate::grpc::built_by_setup;
use crate::ports;
use crate::process::{Process, tied};
use crate::spans::{Kind, Seen};
use crate::workload::eventually;

/// A running one.
#[derive(Debug)]
pub struct Jaeger {
    query_port: u16,
    otlp_port: u16,
    _process: Process,
    _directory: TempDir,
}

/// Calls of one service by another, as its dependency graph has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Who called.
    pub parent: String,
    /// Who was called.
    pub child: String,
    /// How often.
    pub calls: u64,
}

impl Jaeger {
    /// Starts it.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start() -> Self {
        let [query_port, grpc_port, otlp_port] = [(); 3].map(|()| ports::free());
        let configuration = format!(
            "service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}}}
extensions:
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: '127.0.0.1:{query_port}'}}
    grpc: {{endpoint: '127.0.0.1:{grpc_port}'}}
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 100000}}}}}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{otlp_port}'}}}}}}}}
exporters: {{jaeger_storage_exporter: {{trace_storage: memory}}}}
"
        );
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.yaml");
        std::fs::write(&file, configuration).expect("a file");
        let mut command = tied(built_by_setup("jaeger/jaeger"));
        command.arg("--config").arg(file);
        let mut process = Process::start("jaeger", &mut command);
        for port in [query_port, otlp_port] {
            eventually("Jaeger to listen", || {
                assert!(process.status().is_none(), "{}", process.story());
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
        }
        Self {
            query_port,
            otlp_port,
            _process: process,
            _directory: directory,
        }
    }

    /// Where it takes OTLP over HTTP.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp_port)
    }

    /// The spans of a trace, or none.
    ///
    /// # Panics
    /// Its answer is not understood.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<Seen> {
        let answer = self.get(&format!("/api/traces/{id}"));
        let traces = list(&answer["data"]);
        assert!(traces.len() <= 1, "one trace for an id");
        let of = |trace: &Value| -> Vec<Seen> {
            let spans = list(&trace["spans"]);
            spans.iter().map(|span| seen(span, trace)).collect()
        };
        traces.first().map(of).unwrap_or_default()
    }

    /// Names of services that it has spans of.
    ///
    /// # Panics
    /// Its answer is not understood.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let answer = self.get("/api/services");
        let mut names: Vec<_> = list(&answer["data"]).iter().map(text).collect();
        names.sort();
        names
    }

    /// Its dependency graph of the last hour, in order.
    ///
    /// # Panics
    /// Its answer is not understood.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = now.expect("a clock").as_millis() + 1000;
        let query = format!("/api/dependencies?endTs={now_ms}&lookback=3600000");
        let answer = self.get(&query);
        let edges = list(&answer["data"]).iter().map(|edge| Dependency {
            parent: text(&edge["parent"]),
            child: text(&edge["child"]),
            calls: edge["callCount"].as_u64().expect("a number"),
        });
        let mut edges: Vec<_> = edges.collect();
        edges.sort();
        edges
    }

    fn get(&self, target: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{target}", self.query_port);
        let mut curl = tied("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", &url]);
        let said = Process::start("curl", &mut curl).succeed().join("\n");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {url}: {said}"))
    }
}

/// A span as Jaeger tells it: times in microseconds, attributes as tags.
fn seen(span: &Value, trace: &Value) -> Seen {
    let tag = |key: &str| {
        let tags = list(&span["tags"]);
        let tag = tags.iter().find(|tag| tag["key"] == key);
        tag.map(|tag| plain(&tag["value"]))
    };
    let parent = list(&span["references"]).iter().find_map(|reference| {
        let is_parent = reference["refType"] == "CHILD_OF";
        is_parent.then(|| text(&reference["spanID"]))
    });
    let process = &trace["processes"][text(&span["processID"])];
    let start_us = span["startTime"].as_u64().expect("a time");
    let took_us = span["duration"].as_u64().expect("a time");
    Seen {
        name: text(&span["operationName"]),
        kind: match tag("span.kind").as_deref() {
            Some("server") => Kind::Server,
            Some("client") => Kind::Client,
            other => panic!("kind {other:?}"),
        },
        trace_id: text(&span["traceID"]),
        span_id: text(&span["spanID"]),
        parent_span_id: parent.unwrap_or_default(),
        flags: 0,
        trace_state: None,
        start_ns: start_us * 1000,
        end_ns: (start_us + took_us) * 1000,
        failed: tag("error").as_deref() == Some("true"),
        attributes: list(&span["tags"])
            .iter()
            .map(|tag| (text(&tag["key"]), plain(&tag["value"])))
            .collect(),
        events: Vec::new(),
        links: Vec::new(),
        resource: [("service.name".to_owned(), text(&process["serviceName"]))].into(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    let text = value.as_str();
    text.unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// Numbers and booleans as text.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
