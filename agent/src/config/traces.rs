//! Where spans go. It opens no connection.

use std::path::PathBuf;
use std::time::Duration;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, otlp, values};

/// Where spans go, and what may wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracesConfig {
    /// Where spans go over OTLP; `None` if no endpoint is set.
    pub otlp: Option<OtlpConfig>,
    /// What is printed on standard output.
    pub printer: PrinterFormat,
    /// Whether a terminal may be written to in colours: `NO_COLOR` (no-color.org) is unset or
    /// empty.
    pub colours: bool,
    /// Most spans that wait between the pipeline and the exporters; more are counted as lost.
    pub queue_spans_max: usize,
}

impl Part for TracesConfig {}

impl TracesConfig {
    /// Whether spans go nowhere.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.otlp.is_none() && self.printer == PrinterFormat::Disabled
    }
}

/// Where spans go, as the OTLP exporter specification names it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Traces as trees, a line per span.
    Tree,
    /// OTLP/JSON, one document a line.
    Json,
    /// OTLP/JSON, indented.
    JsonIndent,
    /// The running number of spans.
    Counter,
}

/// A tenth of a second of the highest rate that one shard reaches. A span of an HTTP server takes
/// about a kilobyte with all it owns, so this is the 16 MiB that a collector's absence may cost.
pub const QUEUE_SPANS_DEFAULT: usize = 16_384;

const QUEUE_SPANS_MAX: usize = 1 << 20;

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<TracesConfig, ConfigError> {
    let exporters = otlp::Exporters::named_in(settings)?;
    Ok(TracesConfig {
        otlp: otlp::config(settings, exporters, warnings)?,
        printer: printer(settings, exporters)?,
        colours: settings.of(Setting::NoColor).is_none(),
        queue_spans_max: queue_spans_max(settings)?,
    })
}

fn printer(settings: &Settings, exporters: otlp::Exporters) -> Result<PrinterFormat, ConfigError> {
    let Some(given) = settings.of(Setting::TracePrinter) else {
        return Ok(if exporters.console {
            PrinterFormat::Text
        } else {
            PrinterFormat::Disabled
        });
    };
    given.parse(
        |text| {
            Some(match text {
                "disabled" => PrinterFormat::Disabled,
                "text" => PrinterFormat::Text,
                "tree" => PrinterFormat::Tree,
                "json" => PrinterFormat::Json,
                "json_indent" => PrinterFormat::JsonIndent,
                "counter" => PrinterFormat::Counter,
                _ => return None,
            })
        },
        "text, tree, json, json_indent, counter or disabled",
    )
}

fn queue_spans_max(settings: &Settings) -> Result<usize, ConfigError> {
    settings
        .of(Setting::QueueSize)
        .map_or(Ok(QUEUE_SPANS_DEFAULT), |given| {
            given.parse(
                |text| values::count(text, QUEUE_SPANS_MAX),
                "a number of spans from 1 to 1048576",
            )
        })
}
