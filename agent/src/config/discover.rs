//! What discovery is told: whom to watch, and what the user says of every traced service. It
//! selects nobody itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;

use globset::GlobSet;
use regex::Regex;

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, values};
use crate::enrich::kubernetes::PodTelling;
use crate::enrich::kubernetes::service::NamingOrder;
use crate::enrich::list;
use crate::enrich::who::{self, Source};
use crate::semconv;

/// Whom to watch, and how they are named.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiscoverConfig {
    /// Whom to watch.
    pub targets: Targets,
    /// Names that the user gave to every traced service.
    pub service: ServiceOverride,
}

impl Part for DiscoverConfig {}

/// Whom to watch. A process is watched if any of the criteria selects it.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// It listens on one of these TCP ports: inclusive ranges, sorted, not overlapping.
    pub open_ports: Vec<RangeInclusive<u16>>,
    /// The path of its executable matches.
    pub auto_target_exe: Option<Globs>,
    /// The path of its executable matches.
    pub executable_name: Option<Regex>,
    /// It is one of these.
    pub pids: Vec<u32>,
}

impl Targets {
    /// Whether no process could ever be selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open_ports.is_empty() && !self.names_executables() && self.pids.is_empty()
    }

    /// Whether what a process runs may select it, so that every exec has to be heard of.
    #[must_use]
    pub fn names_executables(&self) -> bool {
        self.auto_target_exe.is_some() || self.executable_name.is_some()
    }
}

impl PartialEq for Targets {
    fn eq(&self, other: &Self) -> bool {
        let expression = |targets: &Self| {
            let regex = targets.executable_name.as_ref();
            regex.map(|regex| regex.as_str().to_owned())
        };
        self.open_ports == other.open_ports
            && self.auto_target_exe == other.auto_target_exe
            && expression(self) == expression(other)
            && self.pids == other.pids
    }
}

/// Globs, with the text that they were made of: two sets are the same if their texts are.
#[derive(Clone, Debug)]
pub struct Globs {
    text: String,
    set: GlobSet,
}

impl Globs {
    /// What `text` says; `None` if it says nothing, or not in the grammar of globs.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Some(Self {
            text: text.trim().to_owned(),
            set: values::globs(text)?,
        })
    }

    /// Whether one of them matches the whole path.
    #[must_use]
    pub fn is_match(&self, path: impl AsRef<Path>) -> bool {
        self.set.is_match(path)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Names given by the user, which win over what is found out about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOverride {
    /// `service.name`.
    pub name: Option<String>,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// What is said of every traced service that says nothing else: from
    /// `OTEL_RESOURCE_ATTRIBUTES`, without what may not be said there ([`crate::enrich::who`]).
    pub resource_attributes: BTreeMap<String, String>,
    /// How much of a pod is told, and by whose order its service is named.
    pub pods: PodTelling,
}

const REGEX: &str = "a regular expression for the path of an executable, such as nginx|haproxy";

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<DiscoverConfig, ConfigError> {
    Ok(DiscoverConfig {
        targets: targets(settings)?,
        service: ServiceOverride {
            name: settings.text(Setting::ServiceName),
            namespace: settings.text(Setting::ServiceNamespace),
            resource_attributes: with_cluster(settings, resource_attributes(settings, warnings)),
            pods: pod_telling(settings)?,
        },
    })
}

fn pod_telling(settings: &Settings) -> Result<PodTelling, ConfigError> {
    let order = match settings.of(Setting::KubeServiceNames) {
        None => NamingOrder::default(),
        Some(given) => given.parse(naming_order, "opentelemetry or beyla")?,
    };
    let keys = |setting| {
        let listed = settings.text(setting).unwrap_or_default();
        let keys: BTreeSet<_> = values::items(&listed).map(str::to_owned).collect();
        keys.into_iter().collect()
    };
    Ok(PodTelling {
        order,
        labels: keys(Setting::KubeLabels),
        annotations: keys(Setting::KubeAnnotations),
    })
}

fn naming_order(text: &str) -> Option<NamingOrder> {
    match text.trim().to_ascii_lowercase().as_str() {
        "opentelemetry" => Some(NamingOrder::OpenTelemetry),
        "beyla" => Some(NamingOrder::Beyla),
        _ => None,
    }
}

/// The name of the cluster is true of all that runs on the node.
fn with_cluster(
    settings: &Settings,
    mut attributes: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if let Some(name) = settings.text(Setting::KubeClusterName) {
        attributes.insert(semconv::K8S_CLUSTER_NAME.to_owned(), name);
    }
    attributes
}

fn targets(settings: &Settings) -> Result<Targets, ConfigError> {
    let mut targets = Targets::default();
    if let Some(given) = settings.of(Setting::OpenPort) {
        targets.open_ports = given.parse(values::ports, values::PORTS)?;
    }
    if let Some(given) = settings.of(Setting::AutoTargetExe) {
        targets.auto_target_exe = Some(given.parse(Globs::new, values::GLOBS)?);
    }
    if let Some(given) = settings.of(Setting::ExecutableName) {
        targets.executable_name = Some(given.parse(|text| Regex::new(text).ok(), REGEX)?);
    }
    if let Some(given) = settings.of(Setting::TargetPid) {
        targets.pids = given.parse(values::pids, values::PIDS)?;
    }
    Ok(targets)
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
