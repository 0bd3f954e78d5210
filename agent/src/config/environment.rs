//! Flags and environment to [`Config`]: what each setting means, its default, and what must be set
//! at all. The process's own environment is handed in, never read here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use regex::Regex;
use wirespan_common::shard::SHARDS_MAX;

use super::names::Setting;
use super::settings::{Given, Settings};
use super::{
    CONNECTIONS_MAX_DEFAULT, CaptureConfig, Config, ConfigError, PrinterFormat, ServiceOverride,
    Strategy, Targets, otlp, values,
};
use crate::enrich::list;
use crate::enrich::who::{self, Source};
use crate::memory;
use crate::redact::Redaction;

/// What the configuration is for, which decides what must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Trace processes: needs targets, and somewhere for spans to go.
    Trace,
    /// Record what the kernel says: needs targets.
    Record,
    /// List processes: needs targets.
    List,
    /// Read a recording: needs nothing; prints text if spans have nowhere else to go.
    Replay,
}

/// A configuration, and what its user should hear about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Validated.
    pub config: Config,
    /// One line each; to be logged once logging is set up.
    pub warnings: Vec<String>,
}

impl Config {
    /// The configuration from flags (see [`crate::cli::Flags`]) and environment; flags win.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is wrong, or if something that `purpose` needs
    /// is not set.
    pub fn load(
        purpose: Purpose,
        flags: impl IntoIterator<Item = (Setting, Given)>,
        environment: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) -> Result<Loaded, ConfigError> {
        let environment = environment
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let mut warnings = Vec::new();
        let settings = Settings::collect(flags, environment, &mut warnings)?;
        let exporters = otlp::Exporters::named_in(&settings)?;

        let capture = capture(&settings)?;
        let mut config = Self {
            targets: targets(&settings)?,
            service: ServiceOverride {
                name: text(&settings, Setting::ServiceName),
                namespace: text(&settings, Setting::ServiceNamespace),
                resource_attributes: resource_attributes(&settings, &mut warnings),
            },
            otlp: otlp::config(&settings, exporters, &mut warnings)?,
            metrics: otlp::metrics(&settings)?,
            printer: printer(&settings, exporters)?,
            colours: settings.of(Setting::NoColor).is_none(),
            queue_spans_max: queue_spans_max(&settings)?,
            memory_limit: memory_limit(&settings, capture.shards)?,
            capture,
            ignore_health_checks: false,
            redaction: redaction(&settings)?,
            shutdown_timeout: SHUTDOWN_TIMEOUT_DEFAULT,
            log_level: log::LevelFilter::Info,
        };
        if let Some(given) = settings.of(Setting::ShutdownTimeout) {
            config.shutdown_timeout = given.parse(values::duration, values::DURATION)?;
        }
        if let Some(given) = settings.of(Setting::IgnoreHealthChecks) {
            config.ignore_health_checks = given.parse(values::boolean, values::BOOLEAN)?;
        }
        if let Some(given) = settings.of(Setting::LogLevel) {
            config.log_level = given.parse(|text| text.parse().ok(), LOG_LEVELS)?;
        }
        config.suits(purpose)?;
        Ok(Loaded { config, warnings })
    }

    /// Checks what only the whole can show.
    fn suits(&mut self, purpose: Purpose) -> Result<(), ConfigError> {
        let silent = self.otlp.is_none() && self.printer == PrinterFormat::Disabled;
        match purpose {
            Purpose::Trace | Purpose::Record | Purpose::List if self.targets.is_empty() => {
                Err(ConfigError::NothingSelected)
            }
            Purpose::Trace if silent => Err(ConfigError::NoExporter),
            Purpose::Replay if silent => {
                self.printer = PrinterFormat::Text;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// As Beyla's.
const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// A tenth of a second of the highest rate that one shard reaches. A span of an HTTP server takes
/// about a kilobyte with all it owns, so this is the 16 MiB that a collector's absence may cost.
pub const QUEUE_SPANS_DEFAULT: usize = 16_384;

const QUEUE_SPANS_MAX: usize = 1 << 20;

const LOG_LEVELS: &str = "error, warn, info, debug, trace or off";

/// [`SHARDS_MAX`], in words.
const SHARDS: &str = "a number of shards from 1 to 8";
const _: () = assert!(SHARDS_MAX == 8);

const REGEX: &str = "a regular expression for the path of an executable, such as nginx|haproxy";

fn targets(settings: &Settings) -> Result<Targets, ConfigError> {
    let mut targets = Targets::default();
    if let Some(given) = settings.of(Setting::OpenPort) {
        targets.open_ports = given.parse(values::ports, values::PORTS)?;
    }
    if let Some(given) = settings.of(Setting::AutoTargetExe) {
        targets.auto_target_exe = Some(given.parse(values::globs, values::GLOBS)?);
    }
    if let Some(given) = settings.of(Setting::ExecutableName) {
        targets.executable_name = Some(given.parse(|text| Regex::new(text).ok(), REGEX)?);
    }
    if let Some(given) = settings.of(Setting::TargetPid) {
        targets.pids = given.parse(values::pids, values::PIDS)?;
    }
    Ok(targets)
}

fn capture(settings: &Settings) -> Result<CaptureConfig, ConfigError> {
    let mut capture = CaptureConfig::default();
    if let Some(given) = settings.of(Setting::Capture) {
        capture.strategy = given.parse(
            |text| {
                Some(match text {
                    "auto" => None,
                    "socket_tracepoints" => Some(Strategy::SocketTracepoints),
                    "fexit" => Some(Strategy::Fexit),
                    "kprobes" => Some(Strategy::Kprobes),
                    "syscall_tracepoints" => Some(Strategy::SyscallTracepoints),
                    _ => return None,
                })
            },
            "auto, socket_tracepoints, fexit, kprobes or syscall_tracepoints",
        )?;
    }
    if let Some(given) = settings.of(Setting::BpfDebug) {
        capture.bpf_debug = given.parse(values::boolean, values::BOOLEAN)?;
    }
    if let Some(given) = settings.of(Setting::ConnectionsMax) {
        let max = CONNECTIONS_MAX_DEFAULT as usize;
        let count = given.parse(
            |text| values::count(text, max),
            "a number of connections from 1 to 65536",
        )?;
        capture.connections_max = u32::try_from(count).ok();
    }
    if let Some(given) = settings.of(Setting::Shards) {
        capture.shards = given.parse(
            |text| u8::try_from(values::count(text, SHARDS_MAX)?).ok(),
            SHARDS,
        )?;
    }
    Ok(capture)
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
                "json" => PrinterFormat::Json,
                "json_indent" => PrinterFormat::JsonIndent,
                "counter" => PrinterFormat::Counter,
                _ => return None,
            })
        },
        "text, json, json_indent, counter or disabled",
    )
}

/// What wirespan's own list says of every service. As in other programs, a list with a fault is
/// left out as a whole and said.
fn resource_attributes(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let Some(given) = settings.of(Setting::ResourceAttributes) else {
        return BTreeMap::new();
    };
    let source = &given.source;
    let mut attributes = list::parse(&given.text).unwrap_or_else(|fault| {
        warnings.push(format!("{source} is ignored: {fault}"));
        BTreeMap::new()
    });
    let refused = who::refuse(Source::Agent, &mut attributes);
    if !refused.is_empty() {
        warnings.push(format!(
            "{source} sets {}, which is not true of every traced service: ignored",
            refused.join(", ")
        ));
    }
    attributes
}

/// Names are separated by commas, as Beyla's lists are.
fn redaction(settings: &Settings) -> Result<Redaction, ConfigError> {
    let names = |setting| -> Vec<&str> {
        let given = settings.of(setting);
        given.map_or_else(Vec::new, |given| values::items(&given.text).collect())
    };
    let drops_query = settings.of(Setting::DropQuery).map_or(Ok(false), |given| {
        given.parse(values::boolean, values::BOOLEAN)
    })?;
    Ok(Redaction::new(
        &names(Setting::SensitiveQueryParamsAdd),
        &names(Setting::SensitiveQueryParamsRemove),
    )
    .dropping_queries(drops_query))
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

/// Each shard needs its part.
fn memory_limit(settings: &Settings, shards: u8) -> Result<usize, ConfigError> {
    let least = memory::LIMIT_MIN * usize::from(shards);
    let Some(given) = settings.of(Setting::MemoryLimit) else {
        return Ok(memory::limit_within(memory::cgroup_limit(), shards));
    };
    let allowed = format!(
        "a number of bytes, such as 64MiB or 256M, of at least {}MiB",
        least >> 20
    );
    given.parse(
        |text| values::bytes(text).filter(|bytes| *bytes >= least),
        &allowed,
    )
}

fn text(settings: &Settings, setting: Setting) -> Option<String> {
    settings
        .of(setting)
        .map(|given| given.text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
