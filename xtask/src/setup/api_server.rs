//! Kubernetes' API server and the etcd under it, of the versions that
//! `tests/workloads/kubernetes/go.mod` pins: the same that clusters run, without any node. Some
//! minutes of two processors and 2 GB while they are built, 130 MB after.

use anyhow::{Context as _, Result};

use super::modules;

/// The module that `kube-apiserver` is in.
const MODULE: &str = "k8s.io/kubernetes";

/// etcd's program is called `server`, as its module is.
pub fn ensure() -> Result<()> {
    let workload = "kubernetes";
    let pinned = std::fs::read_to_string(modules::sources(workload).join("go.mod"))?;
    let version = pinned.lines().find_map(|line| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word == "require");
        (words.next() == Some(MODULE)).then(|| words.next())?
    });
    let version = version.with_context(|| format!("go.mod pins no {MODULE}"))?;
    modules::ensure(
        workload,
        &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "go.etcd.io/etcd/server/v3",
        ],
        // Clients ask for it, and refuse what they don't know.
        &format!("-X k8s.io/component-base/version.gitVersion={version}"),
    )
}
