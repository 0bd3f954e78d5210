//! What a service in a pod is called, as far as its process does not say so itself and nobody who
//! runs wirespan does.
//!
//! | | OpenTelemetry | Beyla |
//! |---|---|---|
//! | `service.name` | variables, annotation, owner, pod | and labels before the owner |
//! | `service.namespace` | variables, annotation, namespace | and label `part-of` |
//! | `service.version` | variables, annotation, image | label `version` instead of image |
//! | `service.instance.id` | annotation, namespace, pod, container | without annotation |
//!
//! Variables are those that the pod gives the container, where they refer to no other. Labels are
//! `app.kubernetes.io/instance`, then `app.kubernetes.io/name`. The owner is the last that is
//! known: the Deployment of a ReplicaSet, the CronJob of a Job; for OpenTelemetry of the kinds that
//! Kubernetes has itself.
//!
//! Sources: OpenTelemetry, "Specify resource attributes using Kubernetes annotations" and "Service
//! attributes" of the Kubernetes conventions (labels are opt-in there); Beyla's `k8s.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{RESOURCE_ANNOTATION, image, is_named_by, top_owner};
use crate::enrich::list;
use crate::kubernetes::PodPlace;
use crate::kubernetes::peer::{Peer, PeerKind};
use crate::kubernetes::pod::{Pod, PodContainer};
use crate::semconv;

/// By whose order names are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamingOrder {
    /// That of OpenTelemetry's conventions.
    #[default]
    OpenTelemetry,
    /// Beyla's, which asks labels too.
    Beyla,
}

/// Attributes that are decided here.
pub const NAMED: [&str; 4] = [
    semconv::SERVICE_NAME,
    semconv::SERVICE_NAMESPACE,
    semconv::SERVICE_VERSION,
    semconv::SERVICE_INSTANCE_ID,
];

/// What a pod says of the service in one of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodService {
    /// `service.name`
    pub name: Option<String>,
    /// `service.namespace`
    pub namespace: Option<String>,
    /// `service.version`
    pub version: Option<String>,
    /// `service.instance.id`; the same for all processes of a container.
    pub instance_id: Option<String>,
}

/// What a place says of the service there.
#[must_use]
pub fn service(place: &PodPlace, order: NamingOrder) -> PodService {
    let pod = &*place.pod;
    let container = place.container();
    let said = container.map(|it| declared(&it.environment));
    let said = said.unwrap_or_default();
    let variable = |name: &str| said.get(name).cloned();
    let annotation = |name: &str| filled(pod.annotations.get(&annotated(name)));
    let label = |name: &str| match order {
        NamingOrder::OpenTelemetry => None,
        NamingOrder::Beyla => filled(pod.labels.get(&format!("app.kubernetes.io/{name}"))),
    };
    let owner = || {
        let owner = match order {
            NamingOrder::OpenTelemetry => pod.owners.iter().rfind(|owner| is_named_by(&owner.kind)),
            NamingOrder::Beyla => top_owner(pod),
        };
        filled(owner.map(|owner| &owner.name))
    };
    let image = || {
        let image = image::parse(&container?.image)?;
        let version = [image.tag, image.digest].into_iter().flatten();
        let version = version.collect::<Vec<_>>().join("@");
        filled(Some(&version))
    };
    let instance = || {
        let parts = [&pod.namespace, &pod.name, &container?.name];
        let is_whole = parts.iter().all(|part| !part.is_empty());
        is_whole.then(|| parts.map(String::as_str).join("."))
    };
    let of_beyla = order == NamingOrder::Beyla;
    PodService {
        name: variable(semconv::SERVICE_NAME)
            .or_else(|| annotation(semconv::SERVICE_NAME))
            .or_else(|| label("instance"))
            .or_else(|| label("name"))
            .or_else(owner)
            .or_else(|| filled(Some(&pod.name))),
        namespace: variable(semconv::SERVICE_NAMESPACE)
            .or_else(|| annotation(semconv::SERVICE_NAMESPACE))
            .or_else(|| label("part-of"))
            .or_else(|| filled(Some(&pod.namespace))),
        version: variable(semconv::SERVICE_VERSION)
            .or_else(|| annotation(semconv::SERVICE_VERSION))
            .or_else(|| label("version"))
            .or_else(|| image().filter(|_| !of_beyla)),
        instance_id: annotation(semconv::SERVICE_INSTANCE_ID)
            .filter(|_| !of_beyla)
            .or_else(instance),
    }
}

/// What a pod is called by who speaks with it, of whom it is not known in which of its containers:
/// as its own spans are, where that is the same for all of them.
#[must_use]
pub fn peer(pod: &Arc<Pod>, order: NamingOrder) -> Peer {
    let of = |container: Option<&PodContainer>| {
        let container = container.map(|it| it.name.clone());
        let pod = Arc::clone(pod);
        service(&PodPlace { pod, container }, order)
    };
    let named = |it: PodService| (it.name, it.namespace);
    let mut containers = pod.containers.iter().map(|it| named(of(Some(it))));
    // What one says by variables alone is no name of the others.
    let first = containers.next();
    let is_common = containers.all(|it| Some(&it) == first.as_ref());
    let (name, namespace) = match first {
        Some(first) if is_common => first,
        _ => named(of(None)),
    };
    Peer {
        kind: PeerKind::Pod,
        name: name.unwrap_or_default(),
        namespace,
    }
}

/// The annotation that says an attribute.
fn annotated(name: &str) -> String {
    format!("{RESOURCE_ANNOTATION}{name}")
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty()).cloned()
}

/// What the variables of a container say of its service: `OTEL_SERVICE_NAME` goes before what
/// `OTEL_RESOURCE_ATTRIBUTES` says. What refers to another variable is known to the process alone.
fn declared(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |name: &str| environment.get(name).map(String::as_str);
    let listed = value("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| list::parse(text).ok());
    let mut said = listed.unwrap_or_default();
    if let Some(name) = value("OTEL_SERVICE_NAME") {
        said.insert(semconv::SERVICE_NAME.to_owned(), name.to_owned());
    }
    said.retain(|_, text| !text.trim().is_empty() && !refers(text));
    said
}

/// Whether a text refers to a variable, as Kubernetes writes it: `$(NAME)`.
#[must_use]
pub fn refers(text: &str) -> bool {
    text.split_once("$(")
        .is_some_and(|(_, rest)| rest.contains(')'))
}

#[cfg(test)]
mod tests;
