//! What Kubernetes has to allow, where this process runs in a pod. It asks nobody.

use super::check::Check;
use super::machine::Machine;

/// All of it; nothing outside of a pod.
pub fn checks(machine: &Machine) -> Vec<Check> {
    let namespace = machine.kubernetes_namespace();
    namespace.map(|it| pod_security(&it)).into_iter().collect()
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
