//! By what of Kubernetes a process is selected: what its pod is called, is made by, says of itself.
//! It knows no pod but the one that it is asked about.

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Globs, values};
use crate::kubernetes::PodPlace;

/// What a pod has to be like; all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodCriteria {
    names: Vec<(Setting, PodName, Globs)>,
    labels: Vec<(String, Globs)>,
    annotations: Vec<(String, Globs)>,
}

/// A name that a pod has, or has from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodName {
    Namespace,
    Pod,
    Container,
    /// Of whatever made it, or made what did.
    Owner,
    /// Of what made it, if it is of this kind.
    OwnerOf(&'static str),
}

const NAMES: [(Setting, PodName); 10] = [
    (Setting::K8sNamespace, PodName::Namespace),
    (Setting::K8sPodName, PodName::Pod),
    (Setting::K8sContainerName, PodName::Container),
    (Setting::K8sOwnerName, PodName::Owner),
    (Setting::K8sDeploymentName, PodName::OwnerOf("Deployment")),
    (Setting::K8sReplicasetName, PodName::OwnerOf("ReplicaSet")),
    (Setting::K8sStatefulsetName, PodName::OwnerOf("StatefulSet")),
    (Setting::K8sDaemonsetName, PodName::OwnerOf("DaemonSet")),
    (Setting::K8sJobName, PodName::OwnerOf("Job")),
    (Setting::K8sCronjobName, PodName::OwnerOf("CronJob")),
];

/// Whether a pod is as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meets {
    /// It is.
    Yes,
    /// It is not, by this setting.
    No(Setting),
    /// It is as far as is known; its container is not known yet.
    NotYet,
}

const GLOBS: &str = "globs with commas between them, such as shop,bank-*";
const PAIRS: &str = "keys, each with a glob for its value, such as app=web-*,tier=front";

impl PodCriteria {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let mut criteria = Self::default();
        for (setting, name) in NAMES {
            if let Some(given) = settings.of(setting) {
                let globs = given.parse(Globs::new, GLOBS)?;
                criteria.names.push((setting, name, globs));
            }
        }
        if let Some(given) = settings.of(Setting::K8sPodLabels) {
            criteria.labels = given.parse(pairs, PAIRS)?;
        }
        if let Some(given) = settings.of(Setting::K8sPodAnnotations) {
            criteria.annotations = given.parse(pairs, PAIRS)?;
        }
        Ok(criteria)
    }

    /// Whether any pod will do, and none is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings().next().is_none()
    }

    /// Those that are set.
    pub fn settings(&self) -> impl Iterator<Item = Setting> {
        let names = self.names.iter().map(|(setting, ..)| *setting);
        let labels = (!self.labels.is_empty()).then_some(Setting::K8sPodLabels);
        let annotations = (!self.annotations.is_empty()).then_some(Setting::K8sPodAnnotations);
        names.chain(labels).chain(annotations)
    }

    /// Their variables, with commas; empty if none is set.
    #[must_use]
    pub fn variables(&self) -> String {
        let names = self.settings().map(Setting::variable);
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether the user names namespaces.
    #[must_use]
    pub fn name_namespaces(&self) -> bool {
        self.names
            .iter()
            .any(|(_, name, _)| *name == PodName::Namespace)
    }

    /// Whether what runs there is meant.
    #[must_use]
    pub fn meets(&self, place: &PodPlace) -> Meets {
        let mut meets = Meets::Yes;
        for (setting, name, globs) in &self.names {
            if *name == PodName::Container && place.container.is_none() {
                meets = Meets::NotYet;
            } else if !has_name(place, *name, globs) {
                return Meets::No(*setting);
            }
        }
        let pod = &place.pod;
        for (setting, wanted, has) in [
            (Setting::K8sPodLabels, &self.labels, &pod.labels),
            (
                Setting::K8sPodAnnotations,
                &self.annotations,
                &pod.annotations,
            ),
        ] {
            let is_there = |(key, globs): &(String, Globs)| {
                has.get(key).is_some_and(|value| globs.is_match(value))
            };
            if !wanted.iter().all(is_there) {
                return Meets::No(setting);
            }
        }
        meets
    }
}

fn has_name(place: &PodPlace, name: PodName, globs: &Globs) -> bool {
    let is_match = |text: &str| globs.is_match(text);
    let pod = &place.pod;
    let mut owners = pod.owners.iter();
    match name {
        PodName::Namespace => is_match(&pod.namespace),
        PodName::Pod => is_match(&pod.name),
        PodName::Container => place.container.as_deref().is_some_and(is_match),
        PodName::Owner => owners.any(|owner| is_match(&owner.name)),
        PodName::OwnerOf(kind) => owners.any(|it| it.kind == kind && is_match(&it.name)),
    }
}

/// `key=glob`, with commas between them that are not within braces. A key that comes again has
/// another glob that will do.
fn pairs(text: &str) -> Option<Vec<(String, Globs)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for piece in values::items_outside_braces(text) {
        let (key, glob) = piece.split_once('=')?;
        let (key, glob) = (key.trim(), glob.trim());
        if key.is_empty() {
            return None;
        }
        match pairs.iter_mut().find(|(other, _)| other == key) {
            Some((_, globs)) => {
                globs.push(',');
                globs.push_str(glob);
            }
            None => pairs.push((key.to_owned(), glob.to_owned())),
        }
    }
    let pairs = pairs.into_iter();
    let pairs: Option<Vec<_>> = pairs
        .map(|(key, globs)| Some((key, Globs::new(&globs)?)))
        .collect();
    pairs.filter(|pairs| !pairs.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, Purpose};
    use crate::kubernetes::pod::{Owner, Pod};

    fn criteria(environment: &[(&str, &str)]) -> PodCriteria {
        let environment = environment.iter().copied();
        let loaded = Config::load(Purpose::Explain, [], environment).expect("a configuration");
        loaded.config.discover.targets.pods
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn owner(kind: &str, name: &str) -> Owner {
        Owner {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..Owner::default()
        }
    }

    fn place(container: Option<&str>) -> PodPlace {
        let pod = Pod {
            name: "web-5d4f-x2k".to_owned(),
            namespace: "shop".to_owned(),
            labels: texts(&[("app", "web"), ("tier", "front")]),
            annotations: texts(&[("example.com/traced", "true")]),
            owners: vec![owner("ReplicaSet", "web-5d4f"), owner("Deployment", "web")],
            ..Pod::default()
        };
        PodPlace {
            pod: Arc::new(pod),
            container: container.map(str::to_owned),
        }
    }

    #[test]
    fn a_pod_has_to_meet_all_that_is_set() {
        use Meets::{No, NotYet, Yes};
        for (environment, expected) in [
            (&[("WIRESPAN_K8S_NAMESPACE", "bank,sh*")][..], Yes),
            (
                &[("WIRESPAN_K8S_NAMESPACE", "sho")],
                No(Setting::K8sNamespace),
            ),
            (&[("WIRESPAN_K8S_POD_NAME", "web-*")], Yes),
            (&[("WIRESPAN_K8S_DEPLOYMENT_NAME", "web")], Yes),
            (
                &[("WIRESPAN_K8S_DEPLOYMENT_NAME", "web-5d4f")],
                No(Setting::K8sDeploymentName),
            ),
            (&[("WIRESPAN_K8S_REPLICASET_NAME", "web-*")], Yes),
            (
                &[("WIRESPAN_K8S_STATEFULSET_NAME", "*")],
                No(Setting::K8sStatefulsetName),
            ),
            (
                &[("WIRESPAN_K8S_DAEMONSET_NAME", "*")],
                No(Setting::K8sDaemonsetName),
            ),
            (&[("WIRESPAN_K8S_JOB_NAME", "*")], No(Setting::K8sJobName)),
            (
                &[("WIRESPAN_K8S_CRONJOB_NAME", "*")],
                No(Setting::K8sCronjobName),
            ),
            (&[("WIRESPAN_K8S_OWNER_NAME", "web")], Yes),
            (
                &[("WIRESPAN_K8S_OWNER_NAME", "we")],
                No(Setting::K8sOwnerName),
            ),
            (&[("WIRESPAN_K8S_CONTAINER_NAME", "app")], Yes),
            (
                &[("WIRESPAN_K8S_CONTAINER_NAME", "proxy")],
                No(Setting::K8sContainerName),
            ),
            (
                &[("WIRESPAN_K8S_POD_LABELS", "app=w*, tier={front,back}")],
                Yes,
            ),
            (&[("WIRESPAN_K8S_POD_LABELS", "app=api,app=web")], Yes),
            (
                &[("WIRESPAN_K8S_POD_LABELS", "app=web,tier=back")],
                No(Setting::K8sPodLabels),
            ),
            (
                &[("WIRESPAN_K8S_POD_LABELS", "other=*")],
                No(Setting::K8sPodLabels),
            ),
            (
                &[("WIRESPAN_K8S_POD_ANNOTATIONS", "example.com/traced=true")],
                Yes,
            ),
            (
                &[("WIRESPAN_K8S_POD_ANNOTATIONS", "example.com/traced=false")],
                No(Setting::K8sPodAnnotations),
            ),
            (
                &[
                    ("WIRESPAN_K8S_NAMESPACE", "shop"),
                    ("WIRESPAN_K8S_POD_NAME", "api-*"),
                ],
                No(Setting::K8sPodName),
            ),
        ] {
            let criteria = criteria(environment);
            assert!(!criteria.is_empty());
            assert_eq!(
                criteria.meets(&place(Some("app"))),
                expected,
                "{environment:?}"
            );
            let of_container = environment[0].0 == "WIRESPAN_K8S_CONTAINER_NAME";
            let before = if of_container { NotYet } else { expected };
            assert_eq!(criteria.meets(&place(None)), before, "{environment:?}");
        }
    }

    #[test]
    fn a_pod_that_can_be_no_longer_meant_is_known_before_its_container_is() {
        let criteria = criteria(&[
            ("WIRESPAN_K8S_CONTAINER_NAME", "app"),
            ("WIRESPAN_K8S_POD_LABELS", "app=api"),
        ]);
        assert_eq!(
            criteria.meets(&place(None)),
            Meets::No(Setting::K8sPodLabels)
        );
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for text in ["app", "=web", ",", "app=[", "app=web,tier"] {
            let environment = [("WIRESPAN_K8S_POD_LABELS", text)];
            assert!(
                Config::load(Purpose::Explain, [], environment).is_err(),
                "{text}"
            );
        }
    }
}
