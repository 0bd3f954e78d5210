//! Why there is no configuration: always one line that names the setting, the value and what is
//! allowed. It never shows a value that may be a secret.

use std::fmt;

/// A refused configuration. Its `Display` form is one line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A value outside of what a setting takes.
    Invalid {
        /// Variable or flag by which it was given.
        source: String,
        /// The value, or `None` if it must not be shown.
        value: Option<String>,
        /// What is allowed instead.
        allowed: String,
    },
    /// One of two settings that only make sense together.
    Incomplete {
        /// Variable or flag that is set.
        set: String,
        /// Variable that is needed with it.
        missing: &'static str,
    },
    /// No setting selects a process.
    NothingSelected,
    /// Only pods are selected, and nobody is asked of pods.
    NoApiServer,
    /// Spans would go nowhere.
    NoExporter,
}

impl ConfigError {
    pub(super) fn invalid(
        source: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            source: source.into(),
            value: Some(value.into()),
            allowed: allowed.into(),
        }
    }

    pub(super) fn invalid_secret(source: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::Invalid {
            source: source.into(),
            value: None,
            allowed: allowed.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid {
                source,
                value,
                allowed,
            } => match value {
                Some(value) => write!(
                    f,
                    "{source}={} is not allowed: expected {allowed}",
                    shown(value)
                ),
                None => write!(f, "{source} is not allowed as it is: expected {allowed}"),
            },
            Self::Incomplete { set, missing } => {
                write!(
                    f,
                    "{set} is set without {missing}: set both, or neither of them"
                )
            }
            Self::NothingSelected => f.write_str(
                "no process is selected: set BEYLA_OPEN_PORT, BEYLA_AUTO_TARGET_EXE, \
                 BEYLA_EXECUTABLE_NAME or BEYLA_TARGET_PID (for example BEYLA_OPEN_PORT=8080, \
                 or --open-port 8080), or in Kubernetes WIRESPAN_K8S_NAMESPACE and its like",
            ),
            Self::NoApiServer => f.write_str(
                "WIRESPAN_K8S_… select by what Kubernetes' API server says of pods, and nobody is \
                 asked: run as a pod without BEYLA_KUBE_METADATA_ENABLE=false, or set it to true \
                 and KUBECONFIG",
            ),
            Self::NoExporter => f.write_str(
                "spans would go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT (for example \
                 OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318) or BEYLA_TRACE_PRINTER=text",
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Longest piece of a value that an error repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// A value as it can stand in one line: control characters escaped, and not endless.
fn shown(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if value.chars().count() > SHOWN_CHARS_MAX {
        shown.push('…');
    }
    format!("{shown:?}")
}
