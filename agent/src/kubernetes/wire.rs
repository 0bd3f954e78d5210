//! What the API server writes, as JSON: of a pod only what is kept, within bounds, whatever is
//! missing or `null`. Texts that are too long are left out, as half of one may be another name.
//!
//! Source: Kubernetes' API reference, `Pod` v1 core, `Status` and `WatchEvent` v1 meta.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::owners::{Controller, owners};
use super::pod::{Owner, Pod, PodContainer};

/// Bytes of a name (RFC 1123, as Kubernetes takes it: 253) and of a text that somebody wrote.
const NAME_BYTES_MAX: usize = 320;
const TEXT_BYTES_MAX: usize = 1024;
/// Labels, annotations, containers, addresses that are kept, in the order of their names.
const LABELS_MAX: usize = 128;
const CONTAINERS_MAX: usize = 64;
pub(super) const ADDRESSES_MAX: usize = 8;

/// What labels and annotations begin with that name services and set attributes.
const NAMING: [&str; 2] = ["app.kubernetes.io/", "resource.opentelemetry.io/"];

/// What SDKs read a service's name from.
const VARIABLES: [&str; 2] = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];

/// `null` is as good as nothing.
pub(super) fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(input).map(Option::unwrap_or_default)
}

macro_rules! wire_types {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct $name {
            $(#[serde(deserialize_with = "or_default")] $field: $type,)*
        }
    )*};
}
pub(super) use wire_types as wire;

wire! {
    Bookmark { metadata: Version, }
    Version { resource_version: String, }
    Review { status: Reviewed, }
    Reviewed { allowed: bool, reason: String, }
    WirePod { metadata: Metadata, spec: Spec, status: Status, }
    Metadata {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        creation_timestamp: String,
        labels: BTreeMap<String, Option<String>>,
        annotations: BTreeMap<String, Option<String>>,
        owner_references: Vec<Reference>,
    }
    Reference { api_version: String, kind: String, name: String, uid: String, controller: bool, }
    Spec {
        node_name: String,
        host_network: bool,
        containers: Vec<WireContainer>,
        init_containers: Vec<WireContainer>,
        ephemeral_containers: Vec<WireContainer>,
    }
    WireContainer { name: String, image: String, env: Vec<Variable>, }
    Variable { name: String, value: String, }
    Status {
        phase: String,
        start_time: Option<String>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
        ephemeral_container_statuses: Vec<ContainerStatus>,
        pod_i_ps: Vec<Address>,
    }
    Address { ip: String, }
}

/// As `containerStatuses` has it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    #[serde(deserialize_with = "or_default")]
    name: String,
    #[serde(rename = "containerID", deserialize_with = "or_default")]
    container_id: String,
    #[serde(rename = "imageID", deserialize_with = "or_default")]
    image_id: String,
    #[serde(deserialize_with = "or_default")]
    restart_count: u32,
}

/// An object, and of which version of the resource.
pub struct Versioned<T> {
    pub object: T,
    pub resource_version: String,
}

/// What a watch tells; of an object, as it is written.
pub enum WatchEvent {
    /// It was added, or changed.
    Is(Box<RawValue>),
    /// It was deleted, or is none of those that were asked for any longer.
    Gone(Box<RawValue>),
    /// Nothing up to this version of the resource.
    Bookmark(String),
    /// The watch is over; a code as HTTP has them.
    Error(u16, String),
}

/// One of a list.
pub fn pod(json: &str) -> Option<Versioned<Arc<Pod>>> {
    serde_json::from_str::<WirePod>(json).ok()?.kept()
}

/// Whether a `SelfSubjectAccessReview` grants what it asks for, and why not, if it says; `None` if
/// it is none.
pub fn review(json: &str) -> Option<Result<(), Option<String>>> {
    let Reviewed { allowed, reason } = serde_json::from_str::<Review>(json).ok()?.status;
    let why = Some(text(reason)).filter(|why| !why.is_empty());
    Some(if allowed { Ok(()) } else { Err(why) })
}

/// One of a watch; `None` if it is none that is known, or says nothing.
pub fn event(kind: &str, object: Box<RawValue>) -> Option<WatchEvent> {
    match kind {
        "ADDED" | "MODIFIED" => Some(WatchEvent::Is(object)),
        "DELETED" => Some(WatchEvent::Gone(object)),
        "BOOKMARK" => {
            let metadata = serde_json::from_str::<Bookmark>(object.get())
                .ok()?
                .metadata;
            Some(WatchEvent::Bookmark(name(metadata.resource_version)))
        }
        "ERROR" => {
            let failure = serde_json::from_str::<Failed>(object.get()).unwrap_or_default();
            Some(WatchEvent::Error(failure.code, failure.message))
        }
        _ => None,
    }
}

/// What the API server answers instead of what was asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Failed {
    #[serde(deserialize_with = "or_default")]
    pub code: u16,
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

impl WirePod {
    /// `None` if it has no identity.
    fn kept(self) -> Option<Versioned<Arc<Pod>>> {
        let Self {
            metadata,
            spec,
            status,
        } = self;
        let controller = metadata
            .owner_references
            .into_iter()
            .find(|it| it.controller);
        let controller = controller.map(|it| Controller {
            api_version: name(it.api_version),
            owner: Owner {
                kind: name(it.kind),
                name: name(it.name),
                uid: name(it.uid),
            },
        });
        let labels = texts(metadata.labels);
        let addresses = status.pod_i_ps.into_iter().map(|it| name(it.ip));
        // One that is over keeps telling its addresses, which others have by then.
        let is_over = ["Succeeded", "Failed"].contains(&status.phase.as_str());
        let has_addresses = !spec.host_network && !is_over;
        let addresses = addresses.filter(|it| !it.is_empty() && has_addresses);
        let statuses = [
            status.container_statuses,
            status.init_container_statuses,
            status.ephemeral_container_statuses,
        ];
        let containers = [
            spec.containers,
            spec.init_containers,
            spec.ephemeral_containers,
        ];
        let containers = containers.into_iter().zip(statuses);
        let containers = containers.flat_map(|(containers, mut statuses)| {
            containers.into_iter().map(move |container| {
                let of_it = statuses.iter_mut().find(|it| it.name == container.name);
                container.kept(of_it.map(std::mem::take).unwrap_or_default())
            })
        });
        let pod = Pod {
            owners: owners(controller, &labels, &metadata.creation_timestamp),
            uid: name(metadata.uid),
            name: name(metadata.name),
            namespace: name(metadata.namespace),
            node_name: name(spec.node_name),
            start_time: status.start_time.map(name).filter(|it| !it.is_empty()),
            labels,
            annotations: texts(metadata.annotations),
            addresses: addresses.take(ADDRESSES_MAX).collect(),
            containers: containers.take(CONTAINERS_MAX).collect(),
        };
        (!pod.uid.is_empty() && !pod.name.is_empty()).then(|| Versioned {
            object: Arc::new(pod),
            resource_version: name(metadata.resource_version),
        })
    }
}

impl WireContainer {
    fn kept(self, status: ContainerStatus) -> PodContainer {
        let id = status.container_id.rsplit("://").next().unwrap_or_default();
        let told = self
            .env
            .into_iter()
            .filter(|it| VARIABLES.contains(&it.name.as_str()) && it.value.len() <= TEXT_BYTES_MAX);
        PodContainer {
            id: name(id.to_owned()),
            name: name(self.name),
            image: text(self.image),
            image_id: text(status.image_id),
            restart_count: status.restart_count,
            environment: told.map(|it| (it.name, it.value)).collect(),
        }
    }
}

/// Of more than are kept, those that name services are, and of the others the first by name.
fn texts(texts: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    let texts = texts.into_iter().map(|(k, v)| (k, v.unwrap_or_default()));
    let short = texts.filter(|(k, v)| k.len() <= NAME_BYTES_MAX && v.len() <= TEXT_BYTES_MAX);
    let names = |key: &str| NAMING.iter().any(|prefix| key.starts_with(prefix));
    let (naming, others): (Vec<_>, Vec<_>) = short.partition(|(key, _)| names(key));
    naming.into_iter().chain(others).take(LABELS_MAX).collect()
}

pub(super) fn name(name: String) -> String {
    bounded(name, NAME_BYTES_MAX)
}

fn text(text: String) -> String {
    bounded(text, TEXT_BYTES_MAX)
}

fn bounded(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        return String::new();
    }
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod",
        "metadata":{"name":"web-7f9c-x","namespace":"shop","resourceVersion":"77",
            "uid":"1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0",
            "creationTimestamp":"2026-11-27T13:00:03Z",
            "labels":{"app":"web","pod-template-hash":"7f9c"},
            "annotations":{"a":"b","empty":null},"managedFields":[{"x":1}],
            "ownerReferences":[{"apiVersion":"v1","kind":"Other","name":"o","uid":"1"},
                {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7f9c","uid":"2",
                "controller":true}]},
        "spec":{"nodeName":"node-1","containers":[{"name":"app","image":"shop:1","env":[
            {"name":"OTEL_SERVICE_NAME","value":"$(NAME)"},{"name":"PASSWORD","value":"S3cr3t"},
            {"name":"OTEL_RESOURCE_ATTRIBUTES","valueFrom":{"fieldRef":{}}}]}],
            "initContainers":[{"name":"init","image":"busybox"}]},
        "status":{"phase":"Running","startTime":"2026-11-27T13:00:04Z","podIP":"10.1.2.3",
            "podIPs":[{"ip":"10.1.2.3"},{"ip":"fd00::3"}],
            "containerStatuses":[{"name":"app","restartCount":3,"containerID":"containerd://aa",
                "imageID":"docker.io/shop@sha256:bb","image":"shop:1"}],
            "initContainerStatuses":[{"name":"init","containerID":"cri-o://cc"},
                {"name":"app","containerID":"x://dd"}]}}"#;

    #[test]
    fn of_a_pod_that_is_kept_which_names_and_selects() {
        let Versioned {
            object: pod,
            resource_version,
        } = pod(POD).expect("a pod");
        assert_eq!(resource_version, "77");
        assert_eq!(
            (&*pod.name, &*pod.namespace, &*pod.node_name),
            ("web-7f9c-x", "shop", "node-1")
        );
        assert_eq!(pod.start_time.as_deref(), Some("2026-11-27T13:00:04Z"));
        assert_eq!(pod.labels["app"], "web");
        assert_eq!(pod.annotations["empty"], "");
        let owners: Vec<_> = pod
            .owners
            .iter()
            .map(|it| (&*it.kind, &*it.name, &*it.uid))
            .collect();
        assert_eq!(
            owners,
            [("ReplicaSet", "web-7f9c", "2"), ("Deployment", "web", "")]
        );
        assert_eq!(pod.addresses, ["10.1.2.3", "fd00::3"]);
        let [app, init] = &pod.containers[..] else {
            panic!("two: {:?}", pod.containers)
        };
        assert_eq!((&*app.name, &*app.id, app.restart_count), ("app", "aa", 3));
        assert_eq!(
            (&*app.image, &*app.image_id),
            ("shop:1", "docker.io/shop@sha256:bb")
        );
        let said: Vec<_> = app.environment.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            said,
            [
                ("OTEL_RESOURCE_ATTRIBUTES", ""),
                ("OTEL_SERVICE_NAME", "$(NAME)")
            ]
        );
        assert_eq!((&*init.name, &*init.id), ("init", "cc"));
        for over in ["Succeeded", "Failed"] {
            let over = super::pod(&POD.replace("Running", over))
                .expect("a pod")
                .object;
            assert_eq!(over.addresses, [""; 0], "others have them by now");
        }
    }

    #[test]
    fn whatever_is_missing_or_too_much_is_survived() {
        let least = r#"{"metadata":{"uid":"1","name":"ü🙂","labels":null,"ownerReferences":null},
            "spec":null,"status":{"containerStatuses":null}}"#;
        assert_eq!(pod(least).expect("a pod").object.name, "ü🙂");
        let many: Vec<_> = (0..100_000).map(|n| format!(r#""l{n:06}":"v""#)).collect();
        let long = "x".repeat(100_000);
        let much = format!(
            r#"{{"metadata":{{"uid":"1","name":"n","namespace":"{long}","labels":{{{}}},
            "annotations":{{"long":"{long}","{long}":"v","a":"b"}}}},"spec":{{"hostNetwork":true}},
            "status":{{"podIPs":[{{"ip":"10.0.0.1"}}]}}}}"#,
            many.join(",")
        );
        let much = pod(&much).expect("a pod").object;
        assert_eq!(much.labels.len(), LABELS_MAX);
        assert_eq!(much.annotations.len(), 1);
        let of_all = (0..1000).map(|it| (format!("a{it:04}"), Some(String::new())));
        let named = (
            "resource.opentelemetry.io/service.name".to_owned(),
            Some("web".to_owned()),
        );
        let kept = texts(of_all.chain([named]).collect());
        assert_eq!(kept.len(), LABELS_MAX);
        assert_eq!(kept["resource.opentelemetry.io/service.name"], "web");
        assert_eq!((much.namespace.len(), much.addresses.len()), (0, 0));
        assert!(much.memory_bytes() < 32 * 1024, "{}", much.memory_bytes());
        for none in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"metadata":{"uid":"1"}}"#,
            r#"{"metadata":{"name":7}}"#,
        ] {
            assert!(pod(none).is_none(), "{none}");
        }
    }
}
