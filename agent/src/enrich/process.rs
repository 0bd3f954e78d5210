//! A process as an OpenTelemetry resource, built once for all of its spans. What a program is
//! called by what it runs and says is decided where processes are discovered; what a pod has to say
//! to that, which may come later, is weighed here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::discover::{Container, Host, Process};
use crate::enrich::kubernetes;
use crate::enrich::kubernetes::service::PodService;
use crate::enrich::who::{Source, may_say};
use crate::semconv;
use crate::span::{Resource, Value};

/// `telemetry.sdk.name` and `telemetry.distro.name`. The name `opentelemetry` is reserved for the
/// project's own SDKs, which did not make these spans.
const AGENT: &str = "wirespan";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The resource of a process that was described.
///
/// `telemetry.sdk.language` is that of the process, as with other agents of this kind: it is what
/// backends choose their views by. It is left out where it could not be told.
#[must_use]
pub fn resource(process: &Process) -> Resource {
    let mut attributes = SortedAttributes::new(process.pid);
    let of_pod = of_pod(process);
    let (name, namespace) = named(process, &of_pod);
    attributes.text(semconv::SERVICE_NAME, name);
    if let Some(namespace) = namespace {
        attributes.text(semconv::SERVICE_NAMESPACE, namespace);
    }
    // That of a pod is of a container, and its processes have it in common.
    let instance_id = of_pod.instance_id.as_ref();
    let instance_id = instance_id.unwrap_or(&process.service_instance_id);
    attributes.text(semconv::SERVICE_INSTANCE_ID, instance_id);
    // What goes before what is said of all that is traced.
    let mut told_by_pod = BTreeSet::new();
    if let Some(version) = &of_pod.version {
        attributes.text(semconv::SERVICE_VERSION, version);
        told_by_pod.insert(semconv::SERVICE_VERSION.to_owned());
    }
    attributes.text(semconv::HOST_NAME, &process.host_name);
    attributes.of_host(&process.host);
    if let Some(container) = &process.container {
        attributes.contained(container);
    }
    if let Some(place) = &process.place {
        kubernetes::attributes(place, |name, value| {
            attributes.0.insert(name.into(), value);
        });
        kubernetes::of_texts(&place.pod, &process.telling, |name, text| {
            let text = Value::Owned(text.to_owned());
            told_by_pod.insert(name.clone());
            attributes.0.entry(Cow::Owned(name)).or_insert(text);
        });
    }
    if let Some(language) = &process.language {
        attributes.text(semconv::TELEMETRY_SDK_LANGUAGE, language);
    }
    attributes.text(
        semconv::PROCESS_EXECUTABLE_PATH,
        &process.executable.to_string_lossy(),
    );
    if let Some(name) = process.executable.file_name() {
        attributes.text(semconv::PROCESS_EXECUTABLE_NAME, &name.to_string_lossy());
    }
    for (name, value) in &process.resource_attributes {
        // What was said was weighed when the process was described; recordings may be older.
        let is_told_above = name == semconv::SERVICE_NAME || name == semconv::SERVICE_NAMESPACE;
        let is_told_by_pod = process.general.contains(name) && told_by_pod.contains(name);
        if !is_told_above && !is_told_by_pod && may_say(Source::Agent, name) {
            let value = Value::Owned(value.as_str().into());
            attributes.0.insert(Cow::Owned(name.clone()), value);
        }
    }
    attributes.into_resource()
}

/// `service.name` and `service.namespace`, as the spans of a process have them.
#[must_use]
pub fn service_names(process: &Process) -> (String, Option<String>) {
    let of_pod = of_pod(process);
    let (name, namespace) = named(process, &of_pod);
    (name.to_owned(), namespace.map(str::to_owned))
}

fn of_pod(process: &Process) -> PodService {
    let place = process.place.as_ref();
    let told = place.map(|place| kubernetes::service::service(place, process.telling.order));
    told.unwrap_or_default()
}

fn named<'a>(process: &'a Process, of_pod: &'a PodService) -> (&'a str, Option<&'a str>) {
    let name = of_pod.name.as_ref();
    let name = name.filter(|_| process.is_named_by_what_it_runs);
    let of_process = process.service_namespace.as_deref();
    let of_pod_first = process.general.contains(semconv::SERVICE_NAMESPACE);
    let namespace = match (of_process, of_pod.namespace.as_deref()) {
        (Some(_), Some(namespace)) if of_pod_first => Some(namespace),
        (of_process, of_pod) => of_process.or(of_pod),
    };
    (name.unwrap_or(&process.service_name), namespace)
}

/// The resource of a process that was just forked by the one described: the same in all but what
/// identifies an instance.
#[must_use]
pub fn forked(parent: &Process, pid: u32) -> Resource {
    resource(&Process {
        pid,
        start_ns: 0,
        service_instance_id: String::new(),
        ..parent.clone()
    })
}

/// The resource of a process of which only the number is known; 0 for not even that.
#[must_use]
pub fn unknown(pid: u32) -> Resource {
    SortedAttributes::new(pid).into_resource()
}

/// Sorted by name, one value per name.
struct SortedAttributes(BTreeMap<Cow<'static, str>, Value>);

impl SortedAttributes {
    /// What every resource has.
    fn new(pid: u32) -> Self {
        let constants = [
            (semconv::SERVICE_NAME, semconv::UNKNOWN_SERVICE),
            (semconv::OS_TYPE, "linux"),
            (semconv::TELEMETRY_SDK_NAME, AGENT),
            (semconv::TELEMETRY_SDK_VERSION, VERSION),
            (semconv::TELEMETRY_DISTRO_NAME, AGENT),
            (semconv::TELEMETRY_DISTRO_VERSION, VERSION),
        ];
        let mut attributes: BTreeMap<_, _> = constants
            .into_iter()
            .map(|(name, text)| (Cow::Borrowed(name), Value::Static(text)))
            .collect();
        if pid != 0 {
            attributes.insert(semconv::PROCESS_PID.into(), Value::Int(pid.into()));
        }
        Self(attributes)
    }

    /// Sets an attribute; an empty text is no value.
    fn text(&mut self, name: &'static str, text: &str) {
        if !text.is_empty() {
            self.0.insert(name.into(), Value::Owned(text.into()));
        }
    }

    /// What a machine says of itself.
    fn of_host(&mut self, host: &Host) {
        self.text(semconv::HOST_ARCH, &host.arch);
        self.text(semconv::HOST_ID, &host.id);
        self.text(semconv::OS_NAME, &host.os_name);
        self.text(semconv::OS_VERSION, &host.os_version);
        self.text(semconv::OS_DESCRIPTION, &host.os_description);
    }

    /// What its runtime and its engine say of a container.
    fn contained(&mut self, container: &Container) {
        self.text(semconv::CONTAINER_ID, &container.id);
        if let Some(name) = &container.name {
            self.text(semconv::CONTAINER_NAME, name);
        }
        if let Some(uid) = &container.pod_uid {
            self.text(semconv::K8S_POD_UID, uid);
        }
        if let Some(image) = &container.image {
            kubernetes::of_image(image, |name, value| {
                self.0.insert(name.into(), value);
            });
        }
    }

    fn into_resource(self) -> Resource {
        Resource {
            attributes: self.0.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kubernetes::PodPlace;
    use crate::kubernetes::pod::{Owner, Pod, PodContainer};

    fn texts(resource: &Resource) -> Vec<(String, String)> {
        resource
            .attributes
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Int(number) => number.to_string(),
                    Value::List(texts) => texts.join(","),
                    value => value.as_str().expect("text").to_owned(),
                };
                (name.to_string(), value)
            })
            .collect()
    }

    fn process() -> Process {
        Process {
            pid: 77,
            start_ns: 5,
            executable: "/usr/bin/python3.11".into(),
            command_args: vec!["python3".into(), "shop.py".into()],
            service_name: "shop".into(),
            service_namespace: Some("market".into()),
            service_instance_id: "host:77".into(),
            language: Some("python".into()),
            resource_attributes: BTreeMap::new(),
            host_name: "node-1".into(),
            ..Process::default()
        }
    }

    #[test]
    fn a_described_process_is_told_in_full() {
        let expected = [
            ("host.name", "node-1"),
            ("os.type", "linux"),
            ("process.executable.name", "python3.11"),
            ("process.executable.path", "/usr/bin/python3.11"),
            ("process.pid", "77"),
            ("service.instance.id", "host:77"),
            ("service.name", "shop"),
            ("service.namespace", "market"),
            ("telemetry.distro.name", "wirespan"),
            ("telemetry.distro.version", VERSION),
            ("telemetry.sdk.language", "python"),
            ("telemetry.sdk.name", "wirespan"),
            ("telemetry.sdk.version", VERSION),
        ];
        let told = texts(&resource(&process()));
        assert_eq!(
            told.iter()
                .map(|(name, value)| (&**name, &**value))
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn what_was_said_is_told_but_for_facts_and_weighed_names() {
        let mut process = process();
        process.resource_attributes = [
            ("service.version", "3"),
            ("host.name", "the operator's"),
            ("service.instance.id", "theirs"),
            ("service.name", "not this"),
            ("process.pid", "1"),
            ("os.type", "plan9"),
            ("telemetry.sdk.name", "opentelemetry"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let resource = resource(&process);
        let get = |name| resource.get(name).cloned().expect(name);
        assert_eq!(get("service.version").as_str(), Some("3"));
        assert_eq!(get("host.name").as_str(), Some("the operator's"));
        assert_eq!(get("service.instance.id").as_str(), Some("host:77"));
        assert_eq!(get("service.name").as_str(), Some("shop"));
        assert_eq!(get("process.pid"), Value::Int(77));
        assert_eq!(get("os.type").as_str(), Some("linux"));
        assert_eq!(get("telemetry.sdk.name").as_str(), Some("wirespan"));
        assert!(resource.attributes.is_sorted_by(|one, next| one.0 < next.0));
    }

    #[test]
    fn a_process_in_a_pod_is_told_with_it() {
        let before = texts(&resource(&process()));
        let mut process = process();
        process.is_named_by_what_it_runs = true;
        process.service_namespace = None;
        process.telling.labels = vec!["team".to_owned(), "none".to_owned()];
        process.resource_attributes = [("k8s.pod.name".to_owned(), "not this".to_owned())].into();
        process.place = Some(PodPlace {
            pod: Arc::new(pod()),
            container: Some("app".to_owned()),
        });
        let told = texts(&resource(&process));
        let new: Vec<_> = told
            .iter()
            .filter(|it| !before.contains(it))
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            new,
            [
                ("container.image.name", "localhost:5000/web"),
                ("container.image.tags", "v1"),
                ("deployment.environment.name", "prod"),
                ("k8s.container.name", "app"),
                ("k8s.container.restart_count", "3"),
                ("k8s.deployment.name", "web"),
                ("k8s.kind", "Deployment"),
                ("k8s.namespace.name", "shop"),
                ("k8s.node.name", "node-1"),
                ("k8s.owner.name", "web"),
                ("k8s.pod.label.team", "a"),
                ("k8s.pod.name", "web-7f9c-x2x"),
                ("k8s.pod.start_time", "2026-01-02T03:04:05Z"),
                ("k8s.pod.uid", "u-1"),
                ("k8s.replicaset.name", "web-7f9c"),
                ("k8s.replicaset.uid", "u-2"),
                ("service.instance.id", "shop.web-7f9c-x2x.app"),
                ("service.name", "web"),
                ("service.namespace", "shop"),
                ("service.version", "v1"),
            ]
        );
        // What is said of all that is traced goes after what a pod says, and what a process says
        // of itself goes before.
        let all = ["service.version", "deployment.environment.name", "team"];
        let of_all = all.map(|name| (name.to_owned(), "all".to_owned()));
        process.resource_attributes = of_all.into();
        process.general = all.map(str::to_owned).into();
        process.general.insert("service.namespace".to_owned());
        process.service_namespace = Some("all".to_owned());
        let told = resource(&process);
        let get = |name| told.get(name).and_then(Value::as_str);
        let said = all.map(get);
        assert_eq!(said, [Some("v1"), Some("prod"), Some("all")]);
        assert_eq!(get("service.namespace"), Some("shop"));
        process.general.clear();
        let told = resource(&process);
        let get = |name| told.get(name).and_then(Value::as_str);
        assert_eq!(all.map(get), [Some("all"); 3]);
        // Who says a name is believed.
        process.is_named_by_what_it_runs = false;
        process.service_namespace = Some("market".to_owned());
        let told = resource(&process);
        let get = |name| told.get(name).and_then(Value::as_str);
        assert_eq!(get("service.name"), Some("shop"));
        assert_eq!(get("service.namespace"), Some("market"));
    }

    fn pod() -> Pod {
        let owner = |kind: &str, name: &str, uid: &str| Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        let own = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        Pod {
            uid: "u-1".to_owned(),
            name: "web-7f9c-x2x".to_owned(),
            namespace: "shop".to_owned(),
            node_name: "node-1".to_owned(),
            start_time: Some("2026-01-02T03:04:05Z".to_owned()),
            labels: own(&[("team", "a"), ("other", "b")]),
            annotations: own(&[
                (
                    "resource.opentelemetry.io/deployment.environment.name",
                    "prod",
                ),
                ("resource.opentelemetry.io/host.name", "not this"),
                ("resource.opentelemetry.io/", "nor this"),
            ]),
            owners: vec![
                owner("ReplicaSet", "web-7f9c", "u-2"),
                owner("Deployment", "web", ""),
            ],
            containers: vec![PodContainer {
                name: "app".to_owned(),
                image: "localhost:5000/web:v1".to_owned(),
                restart_count: 3,
                ..PodContainer::default()
            }],
            ..Pod::default()
        }
    }

    #[test]
    fn an_unknown_process_has_a_name_and_its_number() {
        let unknown = unknown(9);
        assert_eq!(
            unknown.get("service.name").and_then(Value::as_str),
            Some("unknown_service")
        );
        assert_eq!(unknown.get("process.pid"), Some(&Value::Int(9)));
        assert_eq!(unknown.get("service.instance.id"), None);
    }

    #[test]
    fn a_forked_process_differs_from_its_parent_in_identity_only() {
        let forked = forked(&process(), 78);
        assert_eq!(forked.get("process.pid"), Some(&Value::Int(78)));
        assert_eq!(forked.get("service.instance.id"), None);
        assert_eq!(
            forked.get("service.name").and_then(Value::as_str),
            Some("shop")
        );
    }
}
