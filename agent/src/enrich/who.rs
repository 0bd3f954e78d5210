//! Who may say what about the origin of spans. A program that is watched can't say where it runs or
//! what it is, or it could put its spans on another's account; who runs wirespan can say where, but
//! not what every single process is.
//!
//! | attributes | wirespan itself | wirespan's own list | the target's list |
//! |---|---|---|---|
//! | `process.*`, `telemetry.*`, `os.*` | finds out | no | no |
//! | `service.instance.id` | finds out | no | no: workers inherit it, and it must be unique |
//! | `service.name` | finds out, last | no: it is wirespan's own | yes |
//! | `host.*`, `cloud.*`, `k8s.node.*`, `k8s.cluster.*` | finds out, last | yes | no |
//! | `container.*`, the rest of `k8s.*` | finds out | no: they are of wirespan's own pod | no |
//! | everything else | | yes, last | yes |
//!
//! What annotations of a pod say counts as the target's list, and goes before wirespan's own; its
//! service is [`super::kubernetes::service`]'s. A list is the value of
//! `OTEL_RESOURCE_ATTRIBUTES`. "Last" yields to whoever else says it. What a setting of wirespan
//! says (`OTEL_SERVICE_NAME`, `BEYLA_SERVICE_NAME`, `BEYLA_SERVICE_NAMESPACE`) wins over all.

use std::collections::BTreeMap;

use crate::semconv;

/// Whose environment a list of attributes is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// wirespan's own.
    Agent,
    /// That of the process that is watched.
    Target,
}

/// Whether an attribute of this name may come from there.
#[must_use]
pub fn may_say(source: Source, name: &str) -> bool {
    let within = |namespaces: &[&str]| {
        namespaces.iter().any(|namespace| {
            name.strip_prefix(namespace)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    if within(&["process", "telemetry", "os"]) || name == semconv::SERVICE_INSTANCE_ID {
        return false;
    }
    match source {
        Source::Target => !within(&["host", "cloud", "k8s", "container"]),
        Source::Agent => {
            name != semconv::SERVICE_NAME
                && (!within(&["k8s", "container"]) || within(&["k8s.node", "k8s.cluster"]))
        }
    }
}

/// Takes out what may not come from there; the names of that.
pub fn refuse(source: Source, attributes: &mut BTreeMap<String, String>) -> Vec<String> {
    let mut refused = Vec::new();
    attributes.retain(|name, _| {
        let may = may_say(source, name);
        if !may {
            refused.push(name.clone());
        }
        may
    });
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        // name, the agent's list may say it, the target's may
        for (name, agent, target) in [
            ("process.pid", false, false),
            ("telemetry.sdk.name", false, false),
            ("os.type", false, false),
            ("service.instance.id", false, false),
            ("service.name", false, true),
            ("service.namespace", true, true),
            ("service.version", true, true),
            ("deployment.environment.name", true, true),
            ("team", true, true),
            ("host.name", true, false),
            ("host.id", true, false),
            ("host", true, false),
            ("hostess", true, true),
            ("cloud.region", true, false),
            ("k8s.node.name", true, false),
            ("k8s.cluster.name", true, false),
            ("k8s.pod.name", false, false),
            ("k8s.namespace.name", false, false),
            ("container.id", false, false),
        ] {
            assert_eq!(may_say(Source::Agent, name), agent, "{name}, agent");
            assert_eq!(may_say(Source::Target, name), target, "{name}, target");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        let mut attributes = ["team", "host.name", "k8s.pod.name"]
            .map(|name| (name.to_owned(), "x".to_owned()))
            .into();
        assert_eq!(
            refuse(Source::Target, &mut attributes),
            ["host.name", "k8s.pod.name"]
        );
        assert_eq!(attributes.len(), 1);
    }
}
