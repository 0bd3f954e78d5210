//! What the daemon may take of the machine's processors.

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, values};

/// How much CPU time the daemon may take before it follows only some connections, in thousandths of
/// a core. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuLimit(u32);

impl CpuLimit {
    /// Half a core.
    const DEFAULT: Self = Self(500);

    /// The limit of so many cores, to the thousandth; `None` if that is none, or no number.
    #[must_use]
    pub fn from_cores(cores: f64) -> Option<Self> {
        // Saturates, and is 0 for what is no number.
        let thousandths = (cores * 1000.0).round() as u32;
        (thousandths > 0).then_some(Self(thousandths))
    }

    /// In cores.
    #[must_use]
    pub fn cores(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// What keeps the daemon small where much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GovernorConfig {
    /// `None`: all connections are followed, whatever that takes.
    pub cpu_limit: Option<CpuLimit>,
}

impl Default for GovernorConfig {
    fn default() -> Self {
        Self {
            cpu_limit: Some(CpuLimit::DEFAULT),
        }
    }
}

impl Part for GovernorConfig {}

const CPU_LIMIT: &str = "a number of cores such as 0.5 or 500m, of at least 1m; 0 or off for none";

pub(super) fn read(settings: &Settings) -> Result<GovernorConfig, ConfigError> {
    let mut governor = GovernorConfig::default();
    if let Some(given) = settings.of(Setting::CpuLimit) {
        governor.cpu_limit = given.parse(cpu_limit, CPU_LIMIT)?;
    }
    Ok(governor)
}

fn cpu_limit(text: &str) -> Option<Option<CpuLimit>> {
    if text.eq_ignore_ascii_case("off") {
        return Some(None);
    }
    let thousandths = values::thousandths(text)?;
    Some((thousandths > 0).then_some(CpuLimit(thousandths)))
}
