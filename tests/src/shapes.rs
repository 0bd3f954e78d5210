//! What tonic's programs among the workloads share: messages as bytes, and words in them (see
//! `workloads/grpc/shapes.proto`). It is no part of the harness.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// The service that all workloads serve.
pub const SERVICE: &str = "wirespan.test.Shapes";

/// The methods of it.
pub const SHAPES: [&str; 4] = ["Unary", "ServerStream", "ClientStream", "Bidi"];

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// `key=value`, of a message or of a line.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    /// All that there are in a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let pairs = text.split(' ').filter_map(|word| word.split_once('='));
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// The text behind a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The number behind a key.
    #[must_use]
    pub fn number(&self, key: &str, otherwise: u64) -> u64 {
        let value = self.text(key).and_then(|value| value.parse().ok());
        value.unwrap_or(otherwise)
    }

    /// The first message of a call: the words that are for the server.
    #[must_use]
    pub fn message(&self) -> Bytes {
        let mut text = String::new();
        for key in ["code", "count", "delay", "reply"] {
            if let Some(value) = self.text(key) {
                text.push_str(&format!("{key}={value} "));
            }
        }
        let size = usize::try_from(self.number("size", 10)).unwrap_or_default();
        Bytes::from(format!("{text:.<size$}"))
    }
}

/// Tells a call that ended.
pub fn tell(rpc: &str, code: Code, requests: u64, responses: u64) {
    let status = name(code);
    println!(
        "{}",
        serde_json::json!({
            "rpc": rpc, "status": status, "requests": requests, "responses": responses,
        })
    );
}

/// The name of a status code.
#[must_use]
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
