//! Who is behind an address within a cluster.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// A pod.
    Pod,
    /// A service: any of the pods behind it.
    Service,
    /// A node: whatever runs in its network.
    Node,
}

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// What it is.
    pub kind: PeerKind,
    /// What its own spans would have as `service.name`, of a pod; else the object's name.
    pub name: String,
    /// The same of `service.namespace`; none of a node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
}

/// From now on this is behind an address; or nobody, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerChange {
    /// An IPv4 address in an IPv6 one is told as what it is.
    pub address: IpAddr,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<Arc<Peer>>,
}
