//! HTTP/2 (RFC 9113). For now its header compression alone.

pub mod hpack;
