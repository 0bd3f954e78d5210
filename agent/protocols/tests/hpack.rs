//! HPACK: the standard's examples, what other encoders write, joining late, and bad blocks.

#[path = "hpack/rfc.rs"]
mod rfc;
#[path = "hpack/support.rs"]
mod support;
