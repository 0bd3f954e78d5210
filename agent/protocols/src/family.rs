//! What was said in an exchange, by family: each holds what was asked together with what was
//! answered, so that no request of one can stand beside a response of another. What every exchange
//! has, whatever its family, is in [`crate::exchange`]. No bytes are parsed here.

pub mod call;
pub mod db;
pub mod http;
pub mod rpc;

use db::Db;
use http::Http;
use rpc::{Messages, Rpc};

/// What was asked and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Family {
    /// RFC 9110.
    Http(Http),
    /// A call, over HTTP.
    Rpc(Rpc),
    /// What was asked of a database.
    Db(Db),
}

impl Family {
    /// The family that something over HTTP belongs to: what carries a call is one.
    #[must_use]
    pub fn over_http(mut http: Http, messages: Option<Box<Messages>>) -> Self {
        match http.request.call.take() {
            Some(call) => Self::Rpc(Rpc {
                call,
                http,
                messages,
            }),
            None => Self::Http(http),
        }
    }

    /// What HTTP said, be it for itself or for a call.
    #[must_use]
    pub fn http(&self) -> Option<&Http> {
        match self {
            Self::Http(http) | Self::Rpc(Rpc { http, .. }) => Some(http),
            Self::Db(_) => None,
        }
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Http(http) | Self::Rpc(Rpc { http, .. }) => http.request.heap_bytes(),
            Self::Db(db) => db.heap_bytes(),
        }
    }
}
