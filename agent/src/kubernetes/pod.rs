//! What is kept of a pod: what names its spans, and what selects it. All of it is written by
//! whoever may create pods, so each text is bounded where it is read.
//!
//! Source of the fields: Kubernetes' API reference, `Pod` v1 core.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A pod on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `spec.nodeName`.
    pub node_name: String,
    /// `status.startTime`, as RFC 3339 writes it.
    pub start_time: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, of which settings may ask for any while it runs.
    pub annotations: BTreeMap<String, String>,
    /// Who made it, the nearest first: its own controller, then that one's, as far as certain.
    pub owners: Vec<Owner>,
    /// Of all kinds, those of `spec` with what `status` says of each.
    pub containers: Vec<PodContainer>,
    /// `status.podIPs`, empty for a pod in its node's network.
    pub addresses: Vec<String>,
}

/// An object that controls a pod, or controls one that does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Such as `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Empty where it was not told.
    pub uid: String,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodContainer {
    /// `name`, unique within the pod.
    pub name: String,
    /// Of its running, or last, instance: `containerID` without the runtime's scheme. Empty before
    /// it has one.
    pub id: String,
    /// `image`, as the pod asks for it.
    pub image: String,
    /// `imageID`, which has the digest, as the runtime tells it.
    pub image_id: String,
    /// `restartCount`: how often it was started again.
    pub restart_count: u32,
    /// Of `env`, what OpenTelemetry's SDKs read a name from (`OTEL_SERVICE_NAME`,
    /// `OTEL_RESOURCE_ATTRIBUTES`), with references such as `$(NAME)` as they were written.
    pub environment: BTreeMap<String, String>,
}
