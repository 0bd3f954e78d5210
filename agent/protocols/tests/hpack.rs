//! HPACK: the standard's examples, what other encoders write, joining late, and bad blocks.

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
