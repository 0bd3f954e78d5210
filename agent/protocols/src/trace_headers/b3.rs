//! B3, as Zipkin specifies it (openzipkin/b3-propagation, README): in one field, or in several. A
//! decision without ids makes no context: the trace is a new one.

use super::{Once, context, hex};
use crate::trace_parent::TraceParent;

/// `b3: TRACE-SPAN`, or `b3: TRACE-SPAN-SAMPLED`, or that with a parent's id behind it.
pub(super) fn single(value: &[u8]) -> Option<TraceParent> {
    let mut parts = value.split(|byte| *byte == b'-');
    let (trace, span) = (trace_id(parts.next()?)?, span_id(parts.next()?)?);
    let (sampled, parent) = match (parts.next(), parts.next()) {
        (None, _) => (None, None),
        (Some(b"1" | b"d"), parent) => (Some(true), parent),
        (Some(b"0"), parent) => (Some(false), parent),
        // Without a decision, the parent's id stands in its place.
        (parent, None) => (None, parent),
        (Some(_), Some(_)) => return None,
    };
    if parts.next().is_some() || parent.is_some_and(|parent| span_id(parent).is_none()) {
        return None;
    }
    context(trace, span, sampled)
}

/// The several fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Multi {
    pub trace_id: Once<[u8; 16]>,
    pub span_id: Once<[u8; 8]>,
    pub sampled: Once<bool>,
    /// `X-B3-Flags: 1`, which implies that it is sampled.
    pub is_debug: bool,
}

impl Multi {
    pub(super) fn read(self) -> Option<TraceParent> {
        let sampled = match self.sampled {
            _ if self.is_debug => Some(true),
            Once::Void => return None,
            Once::Absent => None,
            Once::Read(sampled) => Some(sampled),
        };
        context(self.trace_id.read()?, self.span_id.read()?, sampled)
    }
}

/// 16 digits or 32, of which the left half may be left out.
pub(super) fn trace_id(digits: &[u8]) -> Option<[u8; 16]> {
    matches!(digits.len(), 16 | 32).then(|| hex(digits, true))?
}

/// 16 digits.
pub(super) fn span_id(digits: &[u8]) -> Option<[u8; 8]> {
    (digits.len() == 16).then(|| hex(digits, true))?
}

/// `1` or `0`; early tracers wrote words.
pub(super) fn sampled(value: &[u8]) -> Option<bool> {
    match value {
        b"1" => Some(true),
        b"0" => Some(false),
        _ if value.eq_ignore_ascii_case(b"true") => Some(true),
        _ if value.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}
