//! Everything a user can set, validated once. It reads settings and does nothing with them.
//!
//! Settings come from flags and from environment variables, both handed in; flags win. The path is
//! `settings` (which of a setting's `names` was used, with which text) to `environment` and `otlp`
//! (what the texts mean together), with the grammar of single values in `values`. [`Config::load`]
//! is the way in.

mod environment;
mod error;
mod known;
mod names;
mod otlp;
mod settings;
mod values;

pub use environment::{Loaded, Purpose, QUEUE_SPANS_DEFAULT};
pub use error::ConfigError;
pub use names::{Names, SETTINGS, Setting};
pub use settings::Given;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use globset::GlobSet;
use regex::Regex;

use crate::redact::Redaction;

/// What the daemon runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom to watch.
    pub targets: Targets,
    /// Names that the user gave to every traced service.
    pub service: ServiceOverride,
    /// How to capture.
    pub capture: CaptureConfig,
    /// Where spans go over OTLP; `None` if no endpoint is set.
    pub otlp: Option<OtlpConfig>,
    /// Where the daemon's own metrics go; `None` if no endpoint for them is set.
    pub metrics: Option<MetricsConfig>,
    /// What is printed on standard output.
    pub printer: PrinterFormat,
    /// Whether a terminal may be written to in colours: `NO_COLOR` (no-color.org) is unset or
    /// empty.
    pub colours: bool,
    /// Most spans that wait between the pipeline and the exporters; more are counted as lost.
    pub queue_spans_max: usize,
    /// The bound over all that others make the daemon remember, in bytes.
    pub memory_limit: usize,
    /// No spans for gRPC's own health checks and reflection.
    pub ignore_health_checks: bool,
    /// What of texts must not leave.
    pub redaction: Redaction,
    /// How long the drain at shutdown may take.
    pub shutdown_timeout: Duration,
    /// Verbosity of the daemon's own log.
    pub log_level: log::LevelFilter,
}

/// Whom to watch. A process is watched if any of the criteria selects it.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// It listens on one of these TCP ports: inclusive ranges, sorted, not overlapping.
    pub open_ports: Vec<std::ops::RangeInclusive<u16>>,
    /// The path of its executable matches.
    pub auto_target_exe: Option<GlobSet>,
    /// The path of its executable matches.
    pub executable_name: Option<Regex>,
    /// It is one of these.
    pub pids: Vec<u32>,
}

impl Targets {
    /// Whether no process could ever be selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open_ports.is_empty()
            && self.auto_target_exe.is_none()
            && self.executable_name.is_none()
            && self.pids.is_empty()
    }
}

/// Names given by the user, which win over what is found out about a process.
#[derive(Clone, Debug, Default)]
pub struct ServiceOverride {
    /// `service.name`.
    pub name: Option<String>,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// What is said of every traced service that says nothing else: from
    /// `OTEL_RESOURCE_ATTRIBUTES`, without what may not be said there ([`crate::enrich::who`]).
    pub resource_attributes: BTreeMap<String, String>,
}

/// How to capture.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// Forced by the user; otherwise the cheapest that loads.
    pub strategy: Option<Strategy>,
    /// Log from the kernel side.
    pub bpf_debug: bool,
    /// Connections that the kernel side remembers; otherwise [`CONNECTIONS_MAX_DEFAULT`].
    pub connections_max: Option<u32>,
    /// How many threads take records, each from a ring of its own: 1 to
    /// [`SHARDS_MAX`](wirespan_common::shard::SHARDS_MAX).
    pub shards: u8,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            strategy: None,
            bpf_debug: false,
            connections_max: None,
            shards: 1,
        }
    }
}

/// What its tables have room for.
pub const CONNECTIONS_MAX_DEFAULT: u32 = 65_536;

/// The ways into socket calls, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// Raw tracepoints `sock_send_length` and `sock_recv_length` (kernel 6.3).
    SocketTracepoints,
    /// fexit on the system calls' functions.
    Fexit,
    /// kretprobes on the same functions.
    Kprobes,
    /// Raw tracepoint `sys_exit`.
    SyscallTracepoints,
}

/// Where spans go, as the OTLP exporter specification names it.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// For HTTP the full URL (with `/v1/traces` appended where the specification says so), for gRPC
    /// scheme, host and port.
    pub endpoint: String,
    /// Wire format.
    pub protocol: OtlpProtocol,
    /// Sent with each request, in order.
    pub headers: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
    /// gzip request bodies.
    pub gzip: bool,
    /// PEM file with the trusted certificates.
    pub certificate: Option<PathBuf>,
    /// PEM files: client certificate and private key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// Most spans in one request.
    pub batch_spans_max: usize,
    /// Longest time that a span waits for its batch to fill.
    pub batch_age_max: Duration,
}

/// Where the daemon's own metrics go: always over HTTP/protobuf.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// The full URL, as it was set.
    pub endpoint: String,
    /// Sent with each request, in order.
    pub headers: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
    /// PEM file with the trusted certificates.
    pub certificate: Option<PathBuf>,
    /// PEM files: client certificate and private key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// Time between two requests.
    pub interval: Duration,
}

/// OTLP's wire formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    HttpProtobuf,
    /// `http/json`
    HttpJson,
}

/// What is printed on standard output for each span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrinterFormat {
    /// Nothing.
    #[default]
    Disabled,
    /// One readable line per span.
    Text,
    /// OTLP/JSON, one document a line.
    Json,
    /// OTLP/JSON, indented.
    JsonIndent,
    /// The running number of spans.
    Counter,
}
