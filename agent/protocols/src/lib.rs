//! Sans-IO decoders for connections that somebody else owns: bytes in, exchanges out.
//!
//! Nothing here knows a socket, a clock, a map, a span or a log; positions, times and losses are
//! handed in. Read in this order: [`stream`] (chunks to contiguous bytes or gaps), [`relay`] (what
//! may stand in front of everything), [`detect`] (which protocol, which role), [`registry`] (all
//! protocols), [`protocol`] and [`parser`] (the contract), [`session`] (what reads a connection),
//! [`ordered`] (requests and responses to [`exchange`]s, in order), a protocol such as [`http1`],
//! [`http2`] or [`redis`], [`family`] (what they say), [`conversation`] (all of it, for one
//! connection), [`listener`] (who is told).
#![forbid(unsafe_code)]

mod cgi;
pub mod client_hello;
pub mod conversation;
pub mod correlated;
pub mod detect;
mod either;
pub mod exchange;
pub mod family;
pub mod fastcgi;
mod fields;
pub mod grpc;
pub mod heap;
pub mod http1;
pub mod http2;
pub mod learnt;
pub mod listener;
pub mod message;
pub mod mongodb;
pub mod ordered;
pub mod parser;
pub mod probe;
pub mod protocol;
mod reader;
pub mod redis;
pub mod registry;
pub mod relay;
pub mod session;
pub mod stream;
pub mod trace_headers;
pub mod trace_parent;
pub mod transport;
pub mod uwsgi;
