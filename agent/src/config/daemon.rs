//! What the daemon is told of itself: its own metrics, health checks, memory, log and end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, values};
use crate::memory;

/// Where the daemon's own metrics go: always over HTTP/protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// `None` if no endpoint for them is set.
impl Part for Option<MetricsConfig> {}

/// Where the daemon says whether it lives and is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCheckConfig {
    /// `None`: nowhere.
    pub address: Option<SocketAddr>,
}

impl Part for HealthCheckConfig {}

/// What the daemon gives up of its rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Nothing.
    pub keep_all: bool,
}

impl Part for SandboxConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        // What was given up does not come back, and half of a run without it proves nothing.
        let differs = self.keep_all != new.keep_all;
        let fixed = differs.then_some(Setting::KeepPrivileges);
        (*self, fixed.into_iter().collect())
    }
}

/// What may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// The bound over all that others make the daemon remember, in bytes.
    pub limit: usize,
}

impl Part for MemoryConfig {}

/// The daemon's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Its verbosity.
    pub level: log::LevelFilter,
}

impl Part for LogConfig {}

/// How the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingConfig {
    /// How long the drain at shutdown may take.
    pub timeout: Duration,
}

impl Part for EndingConfig {}

/// As Beyla's.
const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

const LOG_LEVELS: &str = "error, warn, info, debug, trace or off";

/// Each shard needs its part.
pub(super) fn memory(settings: &Settings, shards: u8) -> Result<MemoryConfig, ConfigError> {
    let least = memory::LIMIT_MIN * usize::from(shards);
    let allowed = format!(
        "a number of bytes, such as 64MiB or 256M, of at least {}MiB",
        least >> 20
    );
    let limit = match settings.of(Setting::MemoryLimit) {
        None => memory::limit_within(memory::cgroup_limit(), shards),
        Some(given) => given.parse(
            |text| values::bytes(text).filter(|bytes| *bytes >= least),
            &allowed,
        )?,
    };
    Ok(MemoryConfig { limit })
}

/// As Beyla, which listens nowhere else: who wants others to ask has to say so.
const HEALTH_CHECK_ADDRESS_DEFAULT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) fn health_check(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<HealthCheckConfig, ConfigError> {
    let port = match settings.of(Setting::HealthCheckPort) {
        None => 0,
        Some(given) => given.parse(values::port, "a TCP port, or 0 for none")?,
    };
    let ip = match settings.of(Setting::HealthCheckListenAddress) {
        None => HEALTH_CHECK_ADDRESS_DEFAULT,
        Some(given) => {
            let allowed = "an address to listen on, such as 127.0.0.1, 0.0.0.0, :: or localhost";
            let ip = given.parse(values::listen_address, allowed)?;
            if port == 0 {
                let source = &given.source;
                warnings.push(format!(
                    "{source} has no effect without BEYLA_HEALTH_CHECK_PORT"
                ));
            }
            ip
        }
    };
    Ok(HealthCheckConfig {
        address: (port != 0).then(|| SocketAddr::new(ip, port)),
    })
}

pub(super) fn sandbox(settings: &Settings) -> Result<SandboxConfig, ConfigError> {
    let keep_all = settings.boolean(Setting::KeepPrivileges)?;
    Ok(SandboxConfig {
        keep_all: keep_all.unwrap_or(false),
    })
}

pub(super) fn log(settings: &Settings) -> Result<LogConfig, ConfigError> {
    let level = match settings.of(Setting::LogLevel) {
        None => log::LevelFilter::Info,
        Some(given) => given.parse(|text| text.parse().ok(), LOG_LEVELS)?,
    };
    Ok(LogConfig { level })
}

pub(super) fn ending(settings: &Settings) -> Result<EndingConfig, ConfigError> {
    let timeout = match settings.of(Setting::ShutdownTimeout) {
        None => SHUTDOWN_TIMEOUT_DEFAULT,
        Some(given) => given.parse(values::duration, values::DURATION)?,
    };
    Ok(EndingConfig { timeout })
}
