//! A shop in six languages that nobody instrumented, and what its traces are:
//!
//! ```text
//! nginx ─ cart (Python) ┬ catalogue (Go) ─ stock (Java) ─ Redis
//!                       └ prices (Rust) ─ taxes (Node) ─ shipping (Ruby) ─ Redis
//! ```
//!
//! Each request has an id of its own in its path, which all that is asked for its sake carries, but
//! for commands of Redis: those are known by the span that they are below.

mod services;
mod shape;

pub use services::Shop;
pub use shape::{Call, SERVICES, Service, Sight};
