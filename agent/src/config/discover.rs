//! What discovery is told: whom to watch, and what the user says of every traced service. It
//! selects nobody itself.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Setting;
use super::settings::Settings;
use super::targets::{self, Targets};
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

/// What the machine is called is settled when a run starts; that it is to be called otherwise is
/// said of pods (`KubernetesConfig`).
impl Part for DiscoverConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let mut follow = new.clone();
        follow.service.host_name.clone_from(&self.service.host_name);
        (follow, Vec::new())
    }
}

/// Names given by the user, which win over what is found out about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceOverride {
    /// `service.name`.
    pub name: Option<String>,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// `host.name`: what Kubernetes calls the node.
    pub host_name: Option<String>,
    /// What is said of every traced service that says nothing else: from
    /// `OTEL_RESOURCE_ATTRIBUTES`, without what may not be said there ([`crate::enrich::who`]).
    pub resource_attributes: BTreeMap<String, String>,
    /// How much of a pod is told, and by whose order its service is named.
    pub pods: PodTelling,
}

pub(super) fn read(
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<DiscoverConfig, ConfigError> {
    Ok(DiscoverConfig {
        targets: targets::read(settings)?,
        service: ServiceOverride {
            name: settings.text(Setting::ServiceName),
            namespace: settings.text(Setting::ServiceNamespace),
            host_name: settings.text(Setting::NodeName),
            resource_attributes: with_node(settings, resource_attributes(settings, warnings)),
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

/// The name of the cluster, and the id of the host, are true of all that runs on the node.
fn with_node(
    settings: &Settings,
    mut attributes: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if let Some(name) = settings.text(Setting::KubeClusterName) {
        attributes.insert(semconv::K8S_CLUSTER_NAME.to_owned(), name);
    }
    if let Some(id) = settings.text(Setting::HostId) {
        attributes.insert(semconv::HOST_ID.to_owned(), id);
    }
    attributes
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
