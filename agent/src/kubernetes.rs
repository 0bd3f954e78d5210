//! What Kubernetes' API server says of the pods on this node, and which of them a container belongs
//! to; and whom addresses in the cluster belong to. What follows from it for names and attributes
//! is `enrich`'s.

mod access;
mod addressed;
mod audience;
mod client;
mod kubeconfig;
mod once;
mod own_node;
mod own_pod;
mod owners;
pub mod peer;
mod peers;
mod place;
pub mod pod;
mod pods;
mod resource;
mod rights;
mod stream;
mod tls;
mod watch;
mod weight;
mod wire;

pub use addressed::Addressed;
pub use once::{NodeSought, own_node};
pub use own_node::{NodeSign, OwnNode};
pub use own_pod::OwnPod;
pub use peers::{PEERS_MAX, PeerBook};
pub use place::PodPlace;
pub use pods::{Pods, Whereabouts};
pub use resource::{
    ApiResource, NodeResource, PodNews, PodResource, ResourceNews, ServiceResource,
};
pub use rights::{ResourceRights, rights};
pub use watch::{ResourceWatch, WatchSetup};
