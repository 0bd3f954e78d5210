//! One direction of a connection, as it is masked: where in an HTTP/1 message it is. It knows of
//! HTTP/1 what framing takes; where it is not sure, everything is hidden until a head begins.

use std::collections::VecDeque;

use super::FILLER;
use super::fields::{self, BodyFraming};
use crate::redact::{Grammar, Redaction};

/// Requests without a response, of which more than these are not told apart.
const ASKED_MAX: usize = 1024;

/// What a request asked for, as far as it decides about the body of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedMethod {
    Head,
    Connect,
    Other,
}

/// Requests of a connection whose responses are to come.
pub type OpenRequests = VecDeque<AskedMethod>;

/// Where a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StreamState {
    /// A message may begin.
    #[default]
    Between,
    /// Among the fields of a head, or of a trailer.
    Fields(HeadOf),
    /// Within the value of such a field, which stays or does not.
    Value(HeadOf, bool),
    /// So many bytes of a body are to come.
    Length(u64),
    /// The line with the size of a chunk; what was read of the number.
    ChunkSize(u64),
    /// Behind the number, before the end of that line.
    ChunkExtension(u64),
    /// So many bytes of a chunk are to come, its line end included.
    ChunkBytes(u64),
    /// Nothing is known until a head begins.
    Lost,
    /// A body that ends with the connection, a tunnel, another protocol.
    Opaque,
}

/// Whose fields are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadOf {
    Request(BodyFraming),
    Response(BodyFraming, AskedMethod, u16),
    Trailer,
    /// Part of it was not seen, so that nothing is known about the body.
    Cut,
}

/// One direction.
#[derive(Debug, Default)]
pub struct RedactedStream {
    state: StreamState,
    /// Where the next byte stands, once one was seen.
    position: Option<u64>,
}

/// Whether these bytes are the beginning of a connection of HTTP/2 (RFC 9113 §3.4).
pub fn begins_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2.0\r\n")
}

impl RedactedStream {
    /// Masks bytes that moved at `position`.
    pub fn mask(
        &mut self,
        position: u64,
        bytes: &mut [u8],
        asked: &mut OpenRequests,
        redaction: &Redaction,
    ) {
        match self.position {
            Some(expected) if position != expected => {
                self.cross(position.checked_sub(expected));
            }
            _ => {}
        }
        self.position = Some(position + bytes.len() as u64);
        if self.state == StreamState::Lost && begins_head(bytes) {
            self.state = StreamState::Between;
        }
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&mut bytes[at..], asked, redaction);
        }
    }

    /// Whether it is no HTTP/1 any more.
    pub fn is_opaque(&self) -> bool {
        self.state == StreamState::Opaque
    }

    /// The other direction said that a tunnel begins.
    pub fn make_opaque(&mut self) {
        self.state = StreamState::Opaque;
    }

    /// Bytes that were not seen; `None` if not even their number is known.
    fn cross(&mut self, missing: Option<u64>) {
        self.state = match (self.state, missing) {
            (StreamState::Opaque, _) => StreamState::Opaque,
            (StreamState::Length(left), Some(missing)) if missing == left => StreamState::Between,
            (StreamState::Length(left), Some(missing)) if missing < left => {
                StreamState::Length(left - missing)
            }
            (StreamState::ChunkBytes(left), Some(missing)) if missing < left => {
                StreamState::ChunkBytes(left - missing)
            }
            _ => StreamState::Lost,
        };
    }

    /// Masks some bytes, at least one; returns how many.
    fn step(&mut self, bytes: &mut [u8], asked: &mut OpenRequests, redaction: &Redaction) -> usize {
        match self.state {
            StreamState::Between => self.begin(bytes, asked, redaction),
            StreamState::Fields(head) => self.field(head, bytes, redaction),
            StreamState::Value(head, stays) => {
                let (line, ended) = line(bytes);
                if !stays {
                    fields::fill(&mut bytes[..line]);
                }
                if ended {
                    self.state = StreamState::Fields(head);
                }
                line
            }
            StreamState::Length(left) => {
                let taken = hide(bytes, left);
                self.state = match left - taken as u64 {
                    0 => StreamState::Between,
                    left => StreamState::Length(left),
                };
                taken
            }
            StreamState::ChunkSize(size) => {
                self.state = match bytes[0] {
                    b'\n' => after_size(size),
                    b'\r' => StreamState::ChunkExtension(size),
                    b' ' | b'\t' | b';' => StreamState::ChunkExtension(size),
                    byte => match char::from(byte).to_digit(16) {
                        Some(digit) if size >> 56 == 0 => {
                            StreamState::ChunkSize(size << 4 | u64::from(digit))
                        }
                        _ => {
                            bytes[0] = FILLER;
                            StreamState::Lost
                        }
                    },
                };
                1
            }
            StreamState::ChunkExtension(size) => {
                let (line, ended) = line(bytes);
                fields::fill(&mut bytes[..line]);
                if ended {
                    self.state = after_size(size);
                }
                line
            }
            StreamState::ChunkBytes(left) => {
                // The line end behind a chunk stays.
                let taken = if left > 2 { hide(bytes, left - 2) } else { 1 };
                self.state = match left - taken as u64 {
                    0 => StreamState::ChunkSize(0),
                    left => StreamState::ChunkBytes(left),
                };
                taken
            }
            StreamState::Lost | StreamState::Opaque => hide(bytes, u64::MAX),
        }
    }

    /// The first line of a message, or what there is of it.
    fn begin(
        &mut self,
        bytes: &mut [u8],
        asked: &mut OpenRequests,
        redaction: &Redaction,
    ) -> usize {
        if matches!(bytes[0], b'\r' | b'\n') {
            return 1;
        }
        if bytes.starts_with(&[0x16, 0x03]) {
            // The header of a TLS record tells what this is, and no more.
            self.state = StreamState::Opaque;
            return bytes.len().min(6);
        }
        if begins_http2(bytes) || !begins_head(bytes) {
            self.state = if begins_http2(bytes) {
                StreamState::Opaque
            } else {
                StreamState::Lost
            };
            return hide(bytes, u64::MAX);
        }
        let (len, ended) = line(bytes);
        let line = &mut bytes[..len];
        let head = if line.starts_with(b"HTTP/1.") {
            let status = line
                .get(9..12)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let status: u16 = status.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            if let Some(reason) = line.get_mut(12..) {
                fields::fill(reason);
            }
            let is_final = !(100..200).contains(&status) || status == 101;
            let method = if is_final { asked.pop_front() } else { None };
            HeadOf::Response(
                BodyFraming::default(),
                method.unwrap_or(AskedMethod::Other),
                status,
            )
        } else {
            let method = match &line[..line.iter().position(|byte| *byte == b' ').unwrap_or(0)] {
                b"HEAD" => AskedMethod::Head,
                b"CONNECT" => AskedMethod::Connect,
                _ => AskedMethod::Other,
            };
            if asked.len() < ASKED_MAX {
                asked.push_back(method);
            }
            fields::hide_secrets(Grammar::Url, target(line), redaction);
            HeadOf::Request(BodyFraming::default())
        };
        // What is left of a line that was cut may be the rest of a secret.
        self.state = if ended {
            StreamState::Fields(head)
        } else {
            StreamState::Value(HeadOf::Cut, false)
        };
        len
    }

    /// A line of a head, or what there is of it.
    fn field(&mut self, mut head: HeadOf, bytes: &mut [u8], redaction: &Redaction) -> usize {
        let (len, ended) = line(bytes);
        let line = &mut bytes[..len];
        if ended && line.trim_ascii().is_empty() {
            self.state = body(head);
            return len;
        }
        if !ended && line == b"\r" {
            return len;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let is_folded = matches!(line[0], b' ' | b'\t');
        let Some(colon) = colon.filter(|_| !is_folded) else {
            fields::fill(line);
            self.state = if ended {
                StreamState::Fields(head)
            } else {
                StreamState::Value(HeadOf::Cut, false)
            };
            return len;
        };
        let (name, value) = line.split_at_mut(colon);
        let end = value.trim_ascii_end().len().max(1);
        let value = &mut value[1..end];
        let decides = name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"transfer-encoding");
        if decides && !ended {
            head = HeadOf::Cut;
        }
        match &mut head {
            HeadOf::Request(framing) | HeadOf::Response(framing, ..) => framing.read(name, value),
            HeadOf::Trailer | HeadOf::Cut => {}
        }
        fields::mask(name, value, redaction);
        self.state = if ended {
            StreamState::Fields(head)
        } else {
            // The rest of a secret has no name to be known by.
            StreamState::Value(head, false)
        };
        len
    }
}

/// What is behind a head.
fn body(head: HeadOf) -> StreamState {
    let framed = |framing: BodyFraming, otherwise| match framing {
        BodyFraming {
            is_chunked: true, ..
        } => StreamState::ChunkSize(0),
        BodyFraming {
            length: Some(0), ..
        } => StreamState::Between,
        BodyFraming {
            length: Some(length),
            ..
        } => StreamState::Length(length),
        BodyFraming { length: None, .. } => otherwise,
    };
    match head {
        HeadOf::Request(framing) => framed(framing, StreamState::Between),
        HeadOf::Response(_, AskedMethod::Connect, 200..300) | HeadOf::Response(_, _, 101) => {
            StreamState::Opaque
        }
        HeadOf::Response(_, _, 100..200 | 204 | 304)
        | HeadOf::Response(_, AskedMethod::Head, _) => StreamState::Between,
        // It ends with the connection, or a head that begins a chunk is the next one.
        HeadOf::Response(framing, ..) => framed(framing, StreamState::Lost),
        HeadOf::Trailer => StreamState::Between,
        HeadOf::Cut => StreamState::Lost,
    }
}

fn after_size(size: u64) -> StreamState {
    if size == 0 {
        StreamState::Fields(HeadOf::Trailer)
    } else {
        StreamState::ChunkBytes(size.saturating_add(2))
    }
}

/// Hides at most so many bytes; returns how many.
fn hide(bytes: &mut [u8], count: u64) -> usize {
    let count = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    bytes[..count].fill(FILLER);
    count
}

/// How long the line is that begins here, its end included, and whether that is there.
fn line(bytes: &[u8]) -> (usize, bool) {
    match memchr::memchr(b'\n', bytes) {
        Some(at) => (at + 1, true),
        None => (bytes.len(), false),
    }
}

/// The target in a request line; up to the end where the line was cut.
fn target(line: &mut [u8]) -> &mut [u8] {
    let begin = line.iter().position(|byte| *byte == b' ').unwrap_or(0);
    let end = line
        .iter()
        .rposition(|byte| *byte == b' ')
        .filter(|end| *end > begin)
        .unwrap_or(line.len());
    &mut line[(begin + 1).min(end)..end]
}

/// Whether a head of HTTP/1 begins here: a status line, or a method, a blank and more.
fn begins_head(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"HTTP/1.") {
        return true;
    }
    let token = bytes
        .iter()
        .position(|byte| !(byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')));
    let Some(end @ 1..=24) = token else {
        return false;
    };
    let (line, ended) = line(bytes);
    let line = bytes[..line].trim_ascii_end();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    bytes[end] == b' ' && (!ended || version.starts_with(b"HTTP/1."))
}
