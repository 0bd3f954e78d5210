//! Kubernetes' API server and the etcd under it, of the versions that
//! `tests/workloads/kubernetes/go.mod` pins: the same that clusters run, without any node. Some
//! minutes of two processors and 2 GB while they are built, 130 MB after.

use anyhow::Result;

use super::modules;

/// etcd's program is called `server`, as its module is.
pub fn ensure() -> Result<()> {
    modules::ensure(
        "kubernetes",
        &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "go.etcd.io/etcd/server/v3",
        ],
    )
}
