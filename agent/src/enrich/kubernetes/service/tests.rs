//! The table of names, one line after the other.

use std::sync::Arc;

use super::*;
use crate::kubernetes::pod::{Owner, Pod, PodContainer};

const TABLE: &str = include_str!("names.txt");

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn owner(kind: &str, name: &str) -> Owner {
    Owner {
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: String::new(),
    }
}

fn replica_set() -> Owner {
    owner("ReplicaSet", "web-7f9c")
}

/// A pod that has what these words say.
fn place(words: &str) -> PodPlace {
    let mut pod = Pod::default();
    let mut app = PodContainer::default();
    let mut container = Some("app".to_owned());
    for word in words.split_whitespace() {
        match word {
            "nothing" => container = None,
            "pod" => {
                pod.name = "web-7f9c-x2x".to_owned();
                pod.namespace = "shop".to_owned();
                app.name = "app".to_owned();
                app.image = "registry.example:5000/web:v1".to_owned();
            }
            "owner" => pod.owners = vec![replica_set(), owner("Deployment", "web")],
            "foreign" => pod.owners = vec![replica_set(), owner("Rollout", "canary")],
            "workflow" => pod.owners = vec![owner("Workflow", "nightly")],
            "labels" => {
                pod.labels = texts(&[
                    ("app.kubernetes.io/instance", "release"),
                    ("app.kubernetes.io/name", "named"),
                    ("app.kubernetes.io/part-of", "market"),
                    ("app.kubernetes.io/version", "3"),
                ]);
            }
            "label-name" => pod.labels = texts(&[("app.kubernetes.io/name", "named")]),
            "annotations" => {
                pod.annotations = texts(&[
                    ("resource.opentelemetry.io/service.name", "noted"),
                    ("resource.opentelemetry.io/service.namespace", "noted-ns"),
                    ("resource.opentelemetry.io/service.version", "noted-v"),
                    ("resource.opentelemetry.io/service.instance.id", "noted-id"),
                ]);
            }
            "env" => {
                let listed = "service.name=x,service.namespace=said-ns,service.version=said-v";
                app.environment = texts(&[
                    ("OTEL_SERVICE_NAME", "said"),
                    ("OTEL_RESOURCE_ATTRIBUTES", listed),
                ]);
            }
            "env-name" => app.environment = texts(&[("OTEL_SERVICE_NAME", "alone")]),
            "env-refers" => {
                let listed = "service.namespace=a$(NAMESPACE)b,service.version=$(VERSION)";
                app.environment = texts(&[
                    ("OTEL_SERVICE_NAME", "$(NAME)"),
                    ("OTEL_RESOURCE_ATTRIBUTES", listed),
                ]);
            }
            "env-empty" => app.environment = texts(&[("OTEL_SERVICE_NAME", " ")]),
            "no-container" => container = None,
            "digest" => app.image = "web@sha256:00".to_owned(),
            "tag-digest" => app.image = "web:v1@sha256:00".to_owned(),
            "no-tag" => app.image = "web".to_owned(),
            other => panic!("{other}"),
        }
    }
    pod.containers = vec![app];
    PodPlace {
        pod: Arc::new(pod),
        container,
    }
}

fn told(place: &PodPlace, order: NamingOrder) -> String {
    let told = service(place, order);
    let texts = [told.name, told.namespace, told.version, told.instance_id];
    texts
        .map(|text| text.unwrap_or_else(|| "-".to_owned()))
        .join(" ")
}

#[test]
fn services_are_named_as_the_table_says() {
    let lines = TABLE.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [pod, by_opentelemetry, by_beyla] = columns[..] else {
            panic!("three columns: {line}");
        };
        let place = place(pod);
        let by_beyla = if by_beyla == "=" {
            by_opentelemetry
        } else {
            by_beyla
        };
        let opentelemetry = told(&place, NamingOrder::OpenTelemetry);
        assert_eq!(opentelemetry, by_opentelemetry, "{line}");
        assert_eq!(told(&place, NamingOrder::Beyla), by_beyla, "{line}");
    }
}
