//! Which pod a process runs in, or why that is not known, in sentences.

use std::fmt;

use crate::config::KubernetesConfig;
use crate::discover::{Container, Process};
use crate::kubernetes::{PodPlace, Pods, Whereabouts};
use crate::visible::Visible;

/// Where in Kubernetes a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodSight {
    /// In no container.
    NoContainer,
    /// In this one, and nobody is asked of pods.
    NobodyAsked(Container),
    /// In this one, and nobody tells of pods in time.
    NobodyTells(Container),
    /// In this one, which no pod of the node is told to have, or two are.
    Unclaimed(Container),
    /// Its control group names a pod that is not told.
    Untold(String),
    /// Its control group names this pod, and the API server says the container of another.
    Contradicted(String),
    /// In this pod, and in which of its containers if that is told.
    Known(PodPlace),
}

impl PodSight {
    /// Of a process that was described, as far as `pods` are known.
    pub fn of(process: &Process, config: &KubernetesConfig, pods: &Pods) -> Self {
        let Some(container) = &process.container else {
            return Self::NoContainer;
        };
        if config.reach.is_none() {
            return Self::NobodyAsked(container.clone());
        }
        if pods.are_none() {
            return Self::NobodyTells(container.clone());
        }
        match (pods.find(container), &container.pod_uid) {
            (Whereabouts::Known(place) | Whereabouts::Awaited(Some(place)), _) => {
                Self::Known(place)
            }
            (Whereabouts::Awaited(None), Some(uid)) => Self::Untold(uid.clone()),
            (Whereabouts::Nowhere, Some(uid)) => Self::Contradicted(uid.clone()),
            (_, None) => Self::Unclaimed(container.clone()),
        }
    }
}

impl fmt::Display for PodSight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |it: &Container| format!("it runs in container {}", Visible(&it.id));
        match self {
            Self::NoContainer => f.write_str("it runs in no container, by its control group"),
            Self::NobodyAsked(it) => write!(f, "{}; nobody is asked of pods", within(it)),
            Self::NobodyTells(it) => write!(
                f,
                "{}; the API server does not tell of pods: `wirespan doctor` says why",
                within(it)
            ),
            Self::Unclaimed(it) => {
                write!(
                    f,
                    "{}, which is that of no pod of this node, or of two",
                    within(it)
                )
            }
            Self::Untold(uid) => write!(
                f,
                "its control group names the pod with uid {}, of which the API server does not \
                 tell: it is on another node than is asked for, or gone",
                Visible(uid)
            ),
            Self::Contradicted(uid) => write!(
                f,
                "its control group names the pod with uid {}, and the API server has its \
                 container in another: neither is believed",
                Visible(uid)
            ),
            Self::Known(place) => write_place(place, f),
        }
    }
}

fn write_place(place: &PodPlace, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let pod = &place.pod;
    write!(f, "{}/{}", Visible(&pod.namespace), Visible(&pod.name))?;
    match &place.container {
        Some(name) => write!(f, ", container {}", Visible(name))?,
        None => f.write_str(", in a container that is not told yet")?,
    }
    for owner in &pod.owners {
        write!(f, ", of {} {}", Visible(&owner.kind), Visible(&owner.name))?;
    }
    write!(f, ", on node {}", Visible(&pod.node_name))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::config::{ApiReach, PeersAsked};
    use crate::kubernetes::PodNews;
    use crate::kubernetes::pod::{Owner, Pod, PodContainer};

    fn pods() -> Pods {
        let owner = |kind: &str, name: &str| Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
        };
        let pod = Pod {
            uid: "u-1".to_owned(),
            name: "web-7f9c-x2x".to_owned(),
            namespace: "shop".to_owned(),
            node_name: "node-1".to_owned(),
            owners: vec![owner("ReplicaSet", "web-7f9c"), owner("Deployment", "web")],
            containers: vec![PodContainer {
                name: "app".to_owned(),
                id: "c-1".to_owned(),
                ..PodContainer::default()
            }],
            ..Pod::default()
        };
        let mut pods = Pods::default();
        pods.hear(PodNews::All(vec![Arc::new(pod)]), 1 << 20);
        pods
    }

    #[test]
    fn a_pod_is_told_with_all_that_is_known_or_why_it_is_not() {
        let asked = KubernetesConfig {
            reach: Some(ApiReach::File(PathBuf::new())),
            node: None,
            local_node_alone: true,
            peers: PeersAsked::default(),
            is_demanded: false,
        };
        let not_asked = KubernetesConfig {
            reach: None,
            ..asked.clone()
        };
        let known = "shop/web-7f9c-x2x, container app, of ReplicaSet web-7f9c, of Deployment web, \
                     on node node-1";
        for (container, config, pods, expected) in [
            (None, &asked, pods(), "no container"),
            (
                Some(("c-1", Some("u-1"))),
                &not_asked,
                pods(),
                "nobody is asked",
            ),
            (
                Some(("c-1", Some("u-1"))),
                &asked,
                Pods::default(),
                "does not tell of pods",
            ),
            (Some(("c-1", Some("u-1"))), &asked, pods(), known),
            (Some(("c-1", None)), &asked, pods(), known),
            (
                Some(("c-2", Some("u-1"))),
                &asked,
                pods(),
                "is not told yet",
            ),
            (
                Some(("c-2", Some("u-2"))),
                &asked,
                pods(),
                "uid u-2, of which",
            ),
            (
                Some(("c-1", Some("u-2"))),
                &asked,
                pods(),
                "neither is believed",
            ),
            (Some(("c-2", None)), &asked, pods(), "no pod of this node"),
        ] {
            let process = Process {
                container: container
                    .map(|(id, uid)| Container::known_by(id, uid.map(str::to_owned))),
                ..Process::default()
            };
            let said = PodSight::of(&process, config, &pods).to_string();
            assert!(said.contains(expected), "{container:?}: {said}");
        }
    }
}
