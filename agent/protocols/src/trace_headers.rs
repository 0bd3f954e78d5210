//! The header fields that say which trace a request belongs to, in whatever format: each format has
//! a file of its own below, and a place in [`Format`]. A field that is malformed, repeated or not
//! known says nothing, as if it were not there; half of a context is none. Which of several formats
//! is believed is not decided here.

mod b3;
mod jaeger;
mod trace_state;
mod xray;

use std::hash::{DefaultHasher, Hasher};

use crate::heap;
use crate::trace_parent::TraceParent;

/// How a context is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// W3C Trace Context: `traceparent`.
    TraceContext,
    /// B3 in one field: `b3`.
    B3,
    /// B3 in several: `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-Sampled`, `X-B3-Flags`.
    B3Multi,
    /// Jaeger: `uber-trace-id`.
    Jaeger,
    /// AWS X-Ray: `X-Amzn-Trace-Id`.
    XRay,
}

/// Names of all fields that are read here, as HTTP/2 writes them, and of those that go with them:
/// their values are different for each request.
pub const NAMES: [&str; 10] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-amzn-trace-id",
];

/// Like those, but not of a trace.
pub const REQUEST_ID: &str = "x-request-id";

/// A request id that is longer says nothing, nor does a shorter one: it might be a counter.
const REQUEST_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=128;

/// What one head says. It takes 40 bytes, and more only where a head says several things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    first: Option<(Format, TraceParent)>,
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    others: [Option<(Format, TraceParent)>; 4],
    request_id: Option<u64>,
    randomness: Option<u64>,
}

impl TraceHeaders {
    /// What a head says in this format.
    #[must_use]
    pub fn of(&self, format: Format) -> Option<TraceParent> {
        let others = self.more.iter().flat_map(|more| more.others);
        let mut all = std::iter::once(self.first).chain(others).flatten();
        all.find(|(found, _)| *found == format)
            .map(|(_, parent)| parent)
    }

    /// A number for the `X-Request-Id`: equal ones have equal numbers.
    #[must_use]
    pub fn request_id(&self) -> Option<u64> {
        self.more.as_ref()?.request_id
    }

    /// By which all who sample the trace decide, where it is not the end of its id: 56 bits.
    #[must_use]
    pub fn randomness(&self) -> Option<u64> {
        self.more.as_ref()?.randomness
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.more.as_ref().map_or(0, |_| heap::boxed::<More>())
    }
}

impl From<TraceParent> for TraceHeaders {
    /// What a lone `traceparent` says.
    fn from(parent: TraceParent) -> Self {
        Self {
            first: Some((Format::TraceContext, parent)),
            more: None,
        }
    }
}

/// A field that counts only where there is exactly one, which can be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Once<T> {
    #[default]
    Absent,
    Read(T),
    /// It can't be read, or there are several.
    Void,
}

impl<T: Copy> Once<T> {
    fn take(&mut self, read: Option<T>) {
        *self = match (&*self, read) {
            (Self::Absent, Some(read)) => Self::Read(read),
            _ => Self::Void,
        };
    }

    fn read(self) -> Option<T> {
        match self {
            Self::Read(read) => Some(read),
            Self::Absent | Self::Void => None,
        }
    }
}

/// Takes the fields of a head one after the other.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    trace_context: Once<TraceParent>,
    b3: Once<TraceParent>,
    b3_multi: b3::Multi,
    jaeger: Once<TraceParent>,
    xray: Once<TraceParent>,
    request_id: Once<u64>,
    /// Most heads have none of these fields.
    has_any: bool,
}

impl Collector {
    /// Whether a field may be one of these, by the length of its name and its first letter in lower
    /// case.
    #[inline(always)]
    pub fn may_take(len: usize, first: u8) -> bool {
        matches!(
            (len, first),
            (2, b'b') | (10..=12 | 15, b'x') | (11, b't') | (13, b'u')
        )
    }

    /// Takes a field, whatever letters its name is written in, with white space around its value or
    /// without; `None` is a value that is not known.
    pub fn take(&mut self, name: &[u8], value: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let value = value.map(<[u8]>::trim_ascii);
        if is("traceparent") {
            self.trace_context.take(value.and_then(TraceParent::parse));
        } else if is("b3") {
            self.b3.take(value.and_then(b3::single));
        } else if is("x-b3-traceid") {
            self.b3_multi.trace_id.take(value.and_then(b3::trace_id));
        } else if is("x-b3-spanid") {
            self.b3_multi.span_id.take(value.and_then(b3::span_id));
        } else if is("x-b3-sampled") {
            self.b3_multi.sampled.take(value.and_then(b3::sampled));
        } else if is("x-b3-flags") {
            self.b3_multi.is_debug |= value == Some(b"1");
        } else if is("uber-trace-id") {
            self.jaeger.take(value.and_then(jaeger::parse));
        } else if is("x-amzn-trace-id") {
            self.xray.take(value.and_then(xray::parse));
        } else if is(REQUEST_ID) {
            self.request_id.take(value.and_then(number));
        } else {
            return;
        }
        self.has_any = true;
    }

    /// Whether nothing was taken.
    pub fn is_empty(&self) -> bool {
        !self.has_any
    }

    /// Whether there is a `traceparent` that can be read.
    pub fn has_trace_context(&self) -> bool {
        matches!(self.trace_context, Once::Read(_))
    }

    /// What all of them say; `trace_state` is what goes with `traceparent`.
    pub fn finish(&self, trace_state: Option<&str>) -> TraceHeaders {
        if self.is_empty() {
            return TraceHeaders::default();
        }
        let found = [
            (Format::TraceContext, self.trace_context.read()),
            (Format::B3, self.b3.read()),
            (Format::B3Multi, self.b3_multi.read()),
            (Format::Jaeger, self.jaeger.read()),
            (Format::XRay, self.xray.read()),
        ];
        let mut found = found
            .into_iter()
            .filter_map(|(format, parent)| Some((format, parent?)));
        let first = found.next();
        let others = std::array::from_fn(|_| found.next());
        let more = More {
            others,
            request_id: self.request_id.read(),
            randomness: trace_state.and_then(trace_state::randomness),
        };
        TraceHeaders {
            first,
            more: (more != More::default()).then(|| Box::new(more)),
        }
    }
}

/// A number that stands for a request id.
fn number(id: &[u8]) -> Option<u64> {
    REQUEST_ID_BYTES.contains(&id.len()).then(|| {
        let mut hasher = DefaultHasher::new();
        hasher.write(id);
        hasher.finish()
    })
}

/// Hex digits to bytes, aligned right: so many at most, one at least. Letters of either case where
/// the format has both.
fn hex<const N: usize>(digits: &[u8], takes_upper: bool) -> Option<[u8; N]> {
    if digits.is_empty() || digits.len() > 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (place, digit) in digits.iter().rev().enumerate() {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' if takes_upper => digit - b'A' + 10,
            _ => return None,
        };
        bytes[N - 1 - place / 2] |= nibble << (4 * (place % 2));
    }
    Some(bytes)
}

/// A context, unless an id is zero, which no format allows.
fn context(trace_id: [u8; 16], parent_id: [u8; 8], sampled: Option<bool>) -> Option<TraceParent> {
    let is_valid = trace_id != [0; 16] && parent_id != [0; 8];
    is_valid.then(|| TraceParent {
        trace_id,
        parent_id,
        flags: u8::from(sampled.unwrap_or_default()),
        is_deferred: sampled.is_none(),
    })
}

#[cfg(test)]
mod tests;
