//! What Kubernetes' API server says of the pods on this node, and which of them a container belongs
//! to. What follows from it for names and attributes is `enrich`'s.

mod access;
mod client;
mod kubeconfig;
mod owners;
mod place;
pub mod pod;
mod pods;
mod rights;
mod stream;
mod tls;
mod watch;
mod weight;
mod wire;

pub use place::PodPlace;
pub use pods::{PodNews, Pods, Whereabouts};
pub use rights::{PodRights, pod_rights};
pub use watch::{PodWatch, PodWatchSetup};
