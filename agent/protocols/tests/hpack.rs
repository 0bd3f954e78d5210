//! HPACK: the standard's examples, what other encoders write, joining late, and bad blocks.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "hpack/bounds.rs"]
mod bounds;
#[path = "hpack/h2.rs"]
mod h2;
#[path = "hpack/joining.rs"]
mod joining;
#[path = "hpack/libraries.rs"]
mod libraries;
#[path = "hpack/rfc.rs"]
mod rfc;
#[path = "hpack/sender.rs"]
mod sender;
#[path = "hpack/support.rs"]
mod support;
