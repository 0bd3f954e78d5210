//! What Kubernetes' API server says of the pods on this node. What follows from it for names and
//! attributes is `enrich`'s.

pub mod pod;
