//! What Kubernetes' API server says of the pods on this node, and which of them a container belongs
//! to. What follows from it for names and attributes is `enrich`'s.

mod place;
pub mod pod;
mod pods;
mod weight;

pub use place::PodPlace;
pub use pods::{PodNews, Pods, Whereabouts};
