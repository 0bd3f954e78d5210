//! The bytes that the kernel side and the user side agree on, and nothing that acts.
//!
//! All integers are in the byte order of the machine: a record is read on the machine that wrote
//! it, and a recording says in its header which order it has.
#![no_std]
#![forbid(unsafe_code)]

pub mod carriers;
pub mod config;
pub mod connection;
pub mod java;
pub mod legacy;
pub mod loss;
pub mod node;
pub mod own;
pub mod ports;
pub mod probes;
pub mod python;
pub mod record;
pub mod runtime;
pub mod sampling;
pub mod shard;
pub mod share;
pub mod switch;
pub mod tokio;
pub mod watch;
