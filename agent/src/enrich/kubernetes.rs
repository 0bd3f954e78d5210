//! A pod as attributes of the processes in it. Which pod that is was found out before; what the
//! service in it is called is [`service`]'s.
//!
//! Source: OpenTelemetry, semantic conventions 1.45, "Kubernetes" and "Container".

pub mod image;
pub mod service;

use serde::{Deserialize, Serialize};
use wirespan_protocols::heap;

use self::service::NamingOrder;
use crate::enrich::who::{Source, may_say};
use crate::kubernetes::PodPlace;
use crate::kubernetes::pod::{Owner, Pod, PodContainer};
use crate::semconv;
use crate::span::Value;

/// What annotations begin with that say an attribute by its name ("Specify resource attributes
/// using Kubernetes annotations").
pub const RESOURCE_ANNOTATION: &str = "resource.opentelemetry.io/";

/// How much of a pod is told, and by whose order its service is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTelling {
    /// By whose order names are looked for.
    pub order: NamingOrder,
    /// Labels that are told, as `k8s.pod.label.<key>`.
    pub labels: Vec<String>,
    /// Annotations that are told, as `k8s.pod.annotation.<key>`.
    pub annotations: Vec<String>,
}

impl PodTelling {
    /// Whether nothing was set, which is not written down.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let keys = self.labels.iter().chain(&self.annotations);
        let keys = keys.map(|key| heap::block(key.capacity()));
        heap::vec::<String>(self.labels.capacity())
            + heap::vec::<String>(self.annotations.capacity())
            + keys.sum::<usize>()
    }
}

/// Attributes of a kind of owner: its name, and its uid.
const OWNERS: [(&str, &str, &str); 6] = [
    (
        "Deployment",
        semconv::K8S_DEPLOYMENT_NAME,
        semconv::K8S_DEPLOYMENT_UID,
    ),
    (
        "ReplicaSet",
        semconv::K8S_REPLICASET_NAME,
        semconv::K8S_REPLICASET_UID,
    ),
    (
        "StatefulSet",
        semconv::K8S_STATEFULSET_NAME,
        semconv::K8S_STATEFULSET_UID,
    ),
    (
        "DaemonSet",
        semconv::K8S_DAEMONSET_NAME,
        semconv::K8S_DAEMONSET_UID,
    ),
    ("Job", semconv::K8S_JOB_NAME, semconv::K8S_JOB_UID),
    (
        "CronJob",
        semconv::K8S_CRONJOB_NAME,
        semconv::K8S_CRONJOB_UID,
    ),
];

/// Tells all attributes of a place but the service's; none is empty.
pub fn attributes(place: &PodPlace, mut tell: impl FnMut(&'static str, Value)) {
    let pod = &*place.pod;
    let mut text = |name, text: &str| {
        if !text.is_empty() {
            tell(name, Value::Owned(text.to_owned()));
        }
    };
    text(semconv::K8S_NAMESPACE_NAME, &pod.namespace);
    text(semconv::K8S_POD_NAME, &pod.name);
    text(semconv::K8S_POD_UID, &pod.uid);
    text(semconv::K8S_NODE_NAME, &pod.node_name);
    let start_time = pod.start_time.as_deref().unwrap_or_default();
    text(semconv::K8S_POD_START_TIME, start_time);
    for Owner { kind, name, uid } in &pod.owners {
        let known = OWNERS.iter().find(|known| known.0 == kind);
        if let Some((_, of_name, of_uid)) = known {
            text(of_name, name);
            text(of_uid, uid);
        }
    }
    if let Some(top) = top_owner(pod) {
        text(semconv::K8S_OWNER_NAME, &top.name);
        text(semconv::K8S_KIND, &top.kind);
    }
    if let Some(PodContainer {
        name,
        image,
        restart_count,
        ..
    }) = place.container()
    {
        tell(semconv::K8S_CONTAINER_NAME, Value::Owned(name.clone()));
        let restarts = i64::from(*restart_count);
        tell(semconv::K8S_CONTAINER_RESTART_COUNT, Value::Int(restarts));
        of_image(image, tell);
    }
}

/// Tells labels and annotations that were asked for, and attributes that annotations say, but for
/// those that a target may not say and the service's. Names are made of what strangers wrote.
pub fn of_texts(pod: &Pod, telling: &PodTelling, mut tell: impl FnMut(String, &str)) {
    for (name, text) in &pod.annotations {
        let said = name.strip_prefix(RESOURCE_ANNOTATION);
        let of_service = |said: &&str| !said.is_empty() && !service::NAMED.contains(said);
        if let Some(said) = said.filter(of_service)
            && may_say(Source::Target, said)
        {
            tell(said.to_owned(), text);
        }
    }
    let asked = [
        ("label", &telling.labels, &pod.labels),
        ("annotation", &telling.annotations, &pod.annotations),
    ];
    for (kind, keys, texts) in asked {
        for key in keys {
            if let Some(text) = texts.get(key) {
                tell(format!("k8s.pod.{kind}.{key}"), text);
            }
        }
    }
}

/// Tells what an image's reference says.
pub fn of_image(reference: &str, mut tell: impl FnMut(&'static str, Value)) {
    if let Some(image) = image::parse(reference) {
        tell(
            semconv::CONTAINER_IMAGE_NAME,
            Value::Owned(image.name.to_owned()),
        );
        if let Some(tag) = image.tag {
            let tags = Box::new([tag.to_owned()]);
            tell(semconv::CONTAINER_IMAGE_TAGS, Value::List(tags));
        }
    }
}

/// Whether a kind of owner is one of Kubernetes' own, which the conventions name services by.
fn is_named_by(kind: &str) -> bool {
    OWNERS.iter().any(|(known, ..)| *known == kind)
}

/// Who made it in the end.
fn top_owner(pod: &Pod) -> Option<&Owner> {
    pod.owners.last()
}
