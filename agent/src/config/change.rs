//! What differs between two configurations, part by part: what a running daemon can follow, and
//! which settings wait for its next start. It carries nothing out; each room has a `reconfigure`
//! that takes its part.

use super::names::Setting;
use super::{
    AskingConfig, CaptureConfig, Config, DiscoverConfig, EndingConfig, GovernorConfig,
    HealthCheckConfig, KubernetesConfig, LogConfig, MemoryConfig, MetricsConfig, SandboxConfig,
    SpanConfig, SurroundingsConfig, TracesConfig,
};

/// The part of a configuration that concerns one room.
pub trait Part: Clone + PartialEq {
    /// What a daemon that runs with this can run with if `new` is asked for, and the settings that
    /// it can't follow. Unless a room says otherwise, it can follow all.
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        (new.clone(), Vec::new())
    }
}

/// Of settings that can't be followed, each with whether it differs, those that do.
pub(super) fn fixed<const N: usize>(differs: [(bool, Setting); N]) -> Vec<Setting> {
    let differs = differs.into_iter();
    differs
        .filter_map(|(differs, setting)| differs.then_some(setting))
        .collect()
}

/// What differs in one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<P> {
    /// What the room is to run with from now on; `None` if it goes on as it is.
    pub follow: Option<P>,
    /// Settings that differ too, and are fixed until the next start.
    pub restart: Vec<Setting>,
}

impl<P: Part> Change<P> {
    fn between(old: &P, new: &P) -> Self {
        let (follow, restart) = old.follow(new);
        Self {
            follow: (follow != *old).then_some(follow),
            restart,
        }
    }

    /// Whether the part is the same in both.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.follow.is_none() && self.restart.is_empty()
    }
}

/// What differs between two configurations.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the parts of a Config, by their names")]
pub struct Changes {
    pub discover: Change<DiscoverConfig>,
    pub kubernetes: Change<KubernetesConfig>,
    pub surroundings: Change<SurroundingsConfig>,
    pub asking: Change<Option<AskingConfig>>,
    pub capture: Change<CaptureConfig>,
    pub spans: Change<SpanConfig>,
    pub traces: Change<TracesConfig>,
    pub metrics: Change<Option<MetricsConfig>>,
    pub health_check: Change<HealthCheckConfig>,
    pub sandbox: Change<SandboxConfig>,
    pub memory: Change<MemoryConfig>,
    pub governor: Change<GovernorConfig>,
    pub log: Change<LogConfig>,
    pub ending: Change<EndingConfig>,
}

impl Changes {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.discover.is_none()
            && self.kubernetes.is_none()
            && self.surroundings.is_none()
            && self.asking.is_none()
            && self.capture.is_none()
            && self.spans.is_none()
            && self.traces.is_none()
            && self.metrics.is_none()
            && self.health_check.is_none()
            && self.sandbox.is_none()
            && self.memory.is_none()
            && self.governor.is_none()
            && self.log.is_none()
            && self.ending.is_none()
    }

    /// All settings that wait for the next start.
    #[must_use]
    pub fn restart(&self) -> Vec<Setting> {
        let parts = [
            &self.discover.restart,
            &self.kubernetes.restart,
            &self.surroundings.restart,
            &self.asking.restart,
            &self.capture.restart,
            &self.spans.restart,
            &self.traces.restart,
            &self.metrics.restart,
            &self.health_check.restart,
            &self.sandbox.restart,
            &self.memory.restart,
            &self.governor.restart,
            &self.log.restart,
            &self.ending.restart,
        ];
        parts.into_iter().flatten().copied().collect()
    }
}

impl Config {
    /// What a daemon that runs with this has to do to run with `new`.
    #[must_use]
    pub fn changes_to(&self, new: &Self) -> Changes {
        Changes {
            discover: Change::between(&self.discover, &new.discover),
            kubernetes: Change::between(&self.kubernetes, &new.kubernetes),
            surroundings: Change::between(&self.surroundings, &new.surroundings),
            asking: Change::between(&self.asking, &new.asking),
            capture: Change::between(&self.capture, &new.capture),
            spans: Change::between(&self.spans, &new.spans),
            traces: Change::between(&self.traces, &new.traces),
            metrics: Change::between(&self.metrics, &new.metrics),
            health_check: Change::between(&self.health_check, &new.health_check),
            sandbox: Change::between(&self.sandbox, &new.sandbox),
            memory: Change::between(&self.memory, &new.memory),
            governor: Change::between(&self.governor, &new.governor),
            log: Change::between(&self.log, &new.log),
            ending: Change::between(&self.ending, &new.ending),
        }
    }
}
