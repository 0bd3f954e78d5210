//! Everything a user can set, validated once. It reads settings and does nothing with them.
//!
//! Settings come from flags and from environment variables, both handed in; flags win. The path is
//! `settings` (which of a setting's `names` was used, with which text) to one typed part for each
//! room (what the texts mean together), with the grammar of single values in `values`.
//! [`Config::load`] is the way in; [`Config::changes_to`] tells what another one would change.

mod asking;
mod capture;
mod change;
mod daemon;
mod discover;
mod environment;
mod error;
mod exclusions;
mod governor;
mod known;
mod kubernetes;
mod names;
mod otlp;
mod pods;
mod propagators;
mod sampler;
mod settings;
mod spans;
mod surroundings;
mod tail;
mod targets;
mod traces;
mod values;

pub use asking::{AskingConfig, AskingIdentity, PeerName, SECRET_BYTES_MIN, SecretSource};
pub use capture::{
    CONNECTIONS_MAX_DEFAULT, CaptureConfig, CarriersConfig, LayoutSetting, OptionName, Strategy,
};
use change::fixed;
pub use change::{Change, Changes, Part};
pub use daemon::{
    EndingConfig, HealthCheckConfig, LogConfig, MemoryConfig, MetricsConfig, SandboxConfig,
};
pub use discover::{DiscoverConfig, ServiceOverride};
pub use environment::{Loaded, Purpose};
pub use error::ConfigError;
pub use exclusions::Exclusions;
pub use governor::{CpuLimit, GovernorConfig};
pub use kubernetes::{ApiReach, KubernetesConfig, PeersAsked};
pub use names::{Names, SETTINGS, Setting};
pub use pods::{Meets, PodCriteria};
pub use propagators::Propagator;
pub use sampler::Sampler;
pub use settings::Given;
pub use spans::SpanConfig;
pub use surroundings::SurroundingsConfig;
pub use tail::{TailCondition, TailRule};
pub use targets::{Globs, Targets};
pub use traces::{OtlpConfig, OtlpProtocol, PrinterFormat, QUEUE_SPANS_DEFAULT, TracesConfig};
pub(crate) use values::duration;

/// What the daemon runs with: a part for each room.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whom to watch, and how they are named.
    pub discover: DiscoverConfig,
    /// Whether and how the API server is asked of pods.
    pub kubernetes: KubernetesConfig,
    /// Who else is asked about the machine.
    pub surroundings: SurroundingsConfig,
    /// Which agents of other nodes are asked, and who may ask; nobody, if it is `None`.
    pub asking: Option<AskingConfig>,
    /// How to capture.
    pub capture: CaptureConfig,
    /// How exchanges become spans.
    pub spans: SpanConfig,
    /// Where spans go.
    pub traces: TracesConfig,
    /// Where the daemon's own metrics go; `None` if no endpoint for them is set.
    pub metrics: Option<MetricsConfig>,
    /// Where it says whether it lives and is ready.
    pub health_check: HealthCheckConfig,
    /// What it gives up of its rights.
    pub sandbox: SandboxConfig,
    /// What may be remembered.
    pub memory: MemoryConfig,
    /// What may be taken of the processors.
    pub governor: GovernorConfig,
    /// The daemon's own log.
    pub log: LogConfig,
    /// How it ends.
    pub ending: EndingConfig,
}
