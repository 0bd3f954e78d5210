//! Which header fields of HTTP/1 stay in a redacted recording, and what they say about the body.

use super::FILLER;
use crate::redact::{Grammar, Redaction};

/// Fields whose values framing and spans need, and such as say nothing about anybody. Secrets in
/// them are hidden like in `User-Agent` of a span.
const STAY: [&str; 39] = [
    "accept",
    "accept-encoding",
    "b3",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "grpc-encoding",
    "grpc-status",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "uber-trace-id",
    "upgrade",
    "user-agent",
    "vary",
    "x-amzn-trace-id",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// What a head says about the body behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyFraming {
    pub is_chunked: bool,
    pub length: Option<u64>,
}

impl BodyFraming {
    /// Reads a field.
    pub fn read(&mut self, name: &[u8], value: &[u8]) {
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next();
            self.is_chunked |=
                last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        }
    }
}

/// Whether the value of a field stays.
pub fn stays(name: &[u8]) -> bool {
    STAY.iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Hides a value, or the secrets in it.
pub fn mask(name: &[u8], value: &mut [u8], redaction: &Redaction) {
    if stays(name) {
        hide_secrets(Grammar::Text, value, redaction);
    } else {
        fill(value);
    }
}

/// Overwrites secrets.
pub fn hide_secrets(grammar: Grammar, text: &mut [u8], redaction: &Redaction) {
    let mut ranges = Vec::new();
    redaction.find(grammar, text, |secret| ranges.push(secret.range));
    for range in ranges {
        text[range].fill(FILLER);
    }
}

/// Overwrites all that is visible.
pub fn fill(text: &mut [u8]) {
    for byte in text {
        if !byte.is_ascii_whitespace() {
            *byte = FILLER;
        }
    }
}
