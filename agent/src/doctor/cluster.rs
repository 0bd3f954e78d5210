//! What Kubernetes has to allow: what the API server is asked for, and where this process runs in a
//! pod, what its namespace has to be labelled with.

use super::check::Check;
use super::machine::Machine;
use crate::config::{Config, KubernetesConfig};
use crate::kubernetes::{
    ApiResource, NodeResource, NodeSought, OwnNode, OwnPod, PodResource, ResourceRights,
    ServiceResource, own_node, rights,
};
use crate::visible::Visible;

/// All of it; nothing where there is no Kubernetes.
#[must_use]
pub fn checks(machine: &Machine, config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    if config.kubernetes.reach.is_some() {
        let may = Rights {
            machine,
            config: &config.kubernetes,
            decides: !config.discover.targets.pods.is_empty(),
        };
        checks.extend(may.of::<PodResource>());
        checks.extend(may.know_the_node());
        if config.kubernetes.peers.services {
            checks.extend(may.of::<ServiceResource>());
        }
        if config.kubernetes.peers.nodes {
            checks.extend(may.of::<NodeResource>());
        }
    }
    let by = config.discover.targets.pods.variables();
    if config.kubernetes.reach.is_none() && !by.is_empty() {
        checks.push(Check::fail(
            CHECK,
            format!("a run refuses to start: nobody is asked of pods, by which {by} selects"),
            "run as a pod, or set BEYLA_KUBE_METADATA_ENABLE=true and KUBECONFIG",
        ));
    }
    if let Some(namespace) = machine.kubernetes_namespace() {
        checks.push(pod_security(&namespace));
        if config.kubernetes.reach.is_none() {
            checks.push(Check::warn(
                CHECK,
                "nobody is asked for pods, so that spans lack them",
                "set BEYLA_KUBE_METADATA_ENABLE=true, or let the pod have its service account",
            ));
        }
    }
    checks
}

const CHECK: &str = "Kubernetes rights";
const NODE: &str = "Kubernetes node";

/// Whom the rights are asked of.
struct Rights<'a> {
    machine: &'a Machine,
    config: &'a KubernetesConfig,
    /// Nothing is watched unless pods are told.
    decides: bool,
}

impl Rights<'_> {
    /// Whether the pods that are asked for are those of this node. That nobody could be asked is
    /// said where rights are.
    fn know_the_node(&self) -> Option<Check> {
        let account = Some(self.machine.service_account.clone());
        let own = OwnPod::of(&self.machine.proc);
        let remedy = || {
            "set NODE_NAME to the node's name, from the downward API: fieldRef, fieldPath \
             spec.nodeName"
                .to_owned()
        };
        let lacks = lacks(self.decides);
        match own_node(self.config, account, &own)? {
            NodeSought::Found(OwnNode { name, by }, 0) => {
                let found = format!("no pod is on {}: {by}", Visible(&name));
                Some(lacks(NODE, found, remedy()))
            }
            NodeSought::Found(OwnNode { name, by }, count) => Some(Check::pass(
                NODE,
                format!("{}, on which pods are: {count}; {by}", Visible(&name)),
            )),
            NodeSought::Unknown(why) => {
                let found = format!("{}: {why}", PodResource::LACKING);
                Some(lacks(NODE, found, remedy()))
            }
            NodeSought::NotAsked(_) => None,
        }
    }

    fn of<R: ApiResource>(&self) -> Option<Check> {
        let account = Some(self.machine.service_account.clone());
        let kind = R::NAME;
        let decides = self.decides && R::IS_AWAITED;
        let lacking = if decides {
            "nothing is watched"
        } else {
            R::LACKING
        };
        let lacks = |found: String, remedy: String| lacks(decides)(CHECK, found, remedy);
        Some(match rights::<R>(self.config, account)? {
            ResourceRights::Granted => {
                Check::pass(CHECK, format!("{kind} may be listed and watched"))
            }
            ResourceRights::Refused(verbs, why) => lacks(
                format!("{lacking}: no right to {}: {why}", verbs.join(" and ")),
                format!(
                    "bind a ClusterRole to wirespan's service account that has the rule: \
                     apiGroups [\"\"], resources [{kind}], verbs [list, watch]"
                ),
            ),
            ResourceRights::NotAsked(why) => lacks(
                format!("{lacking}: {why}"),
                "see whether the API server is where KUBERNETES_SERVICE_HOST or KUBECONFIG says, \
                 and whether the pod has its service account's token"
                    .to_owned(),
            ),
        })
    }
}

/// How bad it is that something is lacking by which is decided who is watched, or only told.
fn lacks(decides: bool) -> fn(&'static str, String, String) -> Check {
    if decides { Check::fail } else { Check::warn }
}

/// `hostPID` and the capabilities are beyond what the levels below *privileged* let through (Pod
/// Security Standards).
fn pod_security(namespace: &str) -> Check {
    Check::pass(
        "pod security",
        format!(
            "where the cluster enforces it, this pod needs `kubectl label namespace {namespace} \
             pod-security.kubernetes.io/enforce=privileged`"
        ),
    )
}
