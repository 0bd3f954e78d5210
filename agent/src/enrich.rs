//! What is known about the origin of spans beside the spans: their resources. It describes; finding
//! things out is `discover`'s.

pub mod kubernetes;
pub mod list;
pub mod process;
pub mod who;
