//! Which settings there are, by which names, and which text each was given. It does not know what
//! a text means.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::ConfigError;
use super::known;

/// A setting's names.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Which setting.
    pub setting: Setting,
    /// Environment variables, the one that wins first. An empty variable counts as not set.
    pub variables: &'static [&'static str],
}

macro_rules! settings {
    ($($setting:ident: $first:literal $($other:literal)*;)*) => {
        /// Everything that can be set, by the name that wins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Setting {
            $(
                #[doc = concat!("`", $first, "`")]
                $setting,
            )*
        }

        /// All settings.
        pub const SETTINGS: &[Names] = &[$(Names {
            setting: Setting::$setting,
            variables: &[$first $(, $other)*],
        }),*];
    };
}

// Where a setting has a `BEYLA_` and an `OTEL_EBPF_` name, the one by which Beyla itself reads it
// wins: Beyla copies each variable to the other prefix only if that one is not set, and then reads
// its own settings as `BEYLA_X` and those it shares with OpenTelemetry eBPF Instrumentation as
// `OTEL_EBPF_X`.
settings! {
    OpenPort: "BEYLA_OPEN_PORT" "OTEL_EBPF_OPEN_PORT";
    AutoTargetExe: "BEYLA_AUTO_TARGET_EXE" "OTEL_EBPF_AUTO_TARGET_EXE" "OTEL_GO_AUTO_TARGET_EXE";
    ExecutableName: "BEYLA_EXECUTABLE_NAME" "OTEL_EBPF_EXECUTABLE_NAME";
    TargetPid: "BEYLA_TARGET_PID" "OTEL_EBPF_TARGET_PID";
    ServiceName: "OTEL_SERVICE_NAME" "BEYLA_SERVICE_NAME" "OTEL_EBPF_SERVICE_NAME";
    ServiceNamespace: "BEYLA_SERVICE_NAMESPACE" "OTEL_EBPF_SERVICE_NAMESPACE";
    Endpoint: "OTEL_EXPORTER_OTLP_ENDPOINT";
    TracesEndpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    Protocol: "OTEL_EXPORTER_OTLP_PROTOCOL";
    TracesProtocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
    Headers: "OTEL_EXPORTER_OTLP_HEADERS";
    TracesHeaders: "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
    Timeout: "OTEL_EXPORTER_OTLP_TIMEOUT";
    TracesTimeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    Compression: "OTEL_EXPORTER_OTLP_COMPRESSION";
    TracesCompression: "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
    Certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE";
    TracesCertificate: "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE";
    ClientCertificate: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
    TracesClientCertificate: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE";
    ClientKey: "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    TracesClientKey: "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY";
    Insecure: "OTEL_EXPORTER_OTLP_INSECURE";
    TracesInsecure: "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
    TracesExporter: "OTEL_TRACES_EXPORTER";
    BatchMaxSize:
        "OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTLP_TRACES_BATCH_MAX_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_MAX_SIZE"
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    BatchTimeout:
        "OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTLP_TRACES_BATCH_TIMEOUT"
        "BEYLA_OTEL_OTLP_TRACES_BATCH_TIMEOUT";
    BatchScheduleDelay: "OTEL_BSP_SCHEDULE_DELAY";
    QueueSize:
        "OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTLP_TRACES_QUEUE_SIZE"
        "BEYLA_OTEL_OTLP_TRACES_QUEUE_SIZE"
        "OTEL_BSP_MAX_QUEUE_SIZE";
    TracePrinter: "BEYLA_TRACE_PRINTER" "OTEL_EBPF_TRACE_PRINTER";
    Capture: "WIRESPAN_CAPTURE";
    BpfDebug: "OTEL_EBPF_BPF_DEBUG" "BEYLA_BPF_DEBUG";
    ShutdownTimeout: "BEYLA_SHUTDOWN_TIMEOUT" "OTEL_EBPF_SHUTDOWN_TIMEOUT";
    LogLevel: "BEYLA_LOG_LEVEL" "OTEL_EBPF_LOG_LEVEL";
    NoColor: "NO_COLOR";
}

/// A text that was given for a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The variable or flag, as the user wrote it.
    pub source: String,
    /// The text, neither trimmed nor checked.
    pub text: String,
}

/// Texts by setting, conflicts between names resolved.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<Setting, Given>,
}

impl Settings {
    /// Sorts flags and environment into settings. Whatever is odd but harmless becomes a warning
    /// of one line: two names with different values, settings that wirespan does not have, names
    /// that look misspelt.
    pub fn collect(
        flags: impl IntoIterator<Item = (Setting, Given)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let environment = Self::readable(environment)?;
        let mut given = BTreeMap::new();
        for names in SETTINGS {
            let mut set = names
                .variables
                .iter()
                .filter_map(|name| Some((*name, environment.get(*name)?)));
            let Some((winner, text)) = set.next() else {
                continue;
            };
            for (loser, other) in set {
                // OTEL_BSP_* are meant for many programs; being more precise is no conflict.
                if other != text && !loser.starts_with("OTEL_BSP_") {
                    warnings.push(format!(
                        "{winner} and {loser} differ: {winner} is used, {loser} is ignored"
                    ));
                }
            }
            given.insert(
                names.setting,
                Given {
                    source: winner.to_owned(),
                    text: text.clone(),
                },
            );
        }
        known::warn_of_others(environment.keys().map(String::as_str), warnings);
        for (setting, flag) in flags {
            // A flag wins over the environment, also where the variable for traces alone would
            // win over the general one.
            match setting {
                Setting::Endpoint => given.remove(&Setting::TracesEndpoint),
                Setting::Protocol => given.remove(&Setting::TracesProtocol),
                _ => None,
            };
            given.insert(setting, flag);
        }
        Ok(Self { given })
    }

    /// What was given, if anything.
    pub fn of(&self, setting: Setting) -> Option<&Given> {
        self.given.get(&setting)
    }

    /// What was given for the first of these that has a value.
    pub fn first_of<const N: usize>(&self, settings: [Setting; N]) -> Option<&Given> {
        settings.into_iter().find_map(|setting| self.of(setting))
    }

    /// Variables with text in them. Those that concern nobody here may hold any bytes.
    fn readable(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut readable = BTreeMap::new();
        for (name, value) in environment {
            let Ok(name) = name.into_string() else {
                continue;
            };
            if value.is_empty() || !known::concerns_us(&name) {
                continue;
            }
            match value.into_string() {
                Ok(value) => readable.insert(name, value),
                Err(value) => {
                    return Err(ConfigError::invalid(
                        name,
                        value.to_string_lossy(),
                        "text in UTF-8",
                    ));
                }
            };
        }
        Ok(readable)
    }
}
