//! The HTTP header fields that matter here, picked out of a head in one pass: what all versions
//! share. Values are borrowed; the rest is not looked at. A field that is not UTF-8 is read
//! lossily, never an error.

pub(crate) mod forwarded;

use std::borrow::Cow;
use std::sync::Arc;

use crate::trace_headers::{Collector, TraceHeaders};
use forwarded::Forwarded;

/// Longest target, host, user agent or trace state that is kept, in bytes; longer ones are cut and
/// marked. RFC 9110 §4.1 recommends that targets of 8000 be taken.
pub(crate) const VALUE_BYTES_MAX: usize = 8 * 1024;

/// The part of a value that is kept.
pub(crate) fn shortened(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_BYTES_MAX)]
}

/// What the fields of one head say.
#[derive(Debug, Default)]
pub(crate) struct Fields<'b> {
    pub host: Option<&'b [u8]>,
    pub user_agent: Option<&'b [u8]>,
    pub content_type: Option<&'b [u8]>,
    pub grpc_status: Option<&'b [u8]>,
    /// The protocols that `Upgrade` names.
    pub upgrade: Option<&'b [u8]>,
    pub length: Length,
    /// Whether the last transfer coding is `chunked`; `None` without `Transfer-Encoding`.
    pub chunked: Option<bool>,
    forwarded: Option<&'b [u8]>,
    x_forwarded_for: Option<&'b [u8]>,
    x_forwarded_host: Option<&'b [u8]>,
    x_forwarded_proto: Option<&'b [u8]>,
    traces: Collector,
    trace_state: Vec<&'b [u8]>,
}

/// `Content-Length` (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    #[default]
    Absent,
    Bytes(u64),
    /// Not a number, or two that differ.
    Invalid,
}

impl<'b> Fields<'b> {
    /// Takes one field in the order of the head, with white space around its value or without.
    #[inline(always)]
    pub fn take(&mut self, name: &[u8], value: &'b [u8]) {
        // Nearly every field is told from these by its length and first letter; most of the others
        // are spelt as usual.
        let is = |usual: &[u8]| name == usual || name.eq_ignore_ascii_case(usual);
        let Some(first) = name.first() else { return };
        match (name.len(), first | 0x20) {
            (4, b'h') if is(b"Host") => keep_first(&mut self.host, value),
            (7, b'u') if is(b"Upgrade") => keep_first(&mut self.upgrade, value),
            (9, b'f') if is(b"Forwarded") => keep_first(&mut self.forwarded, value),
            (10, b'u') if is(b"User-Agent") => keep_first(&mut self.user_agent, value),
            (10, b't') if is(b"tracestate") => self.trace_state.push(value.trim_ascii()),
            (11, b'g') if is(b"grpc-status") => keep_first(&mut self.grpc_status, value),
            (12, b'c') if is(b"Content-Type") => keep_first(&mut self.content_type, value),
            (14, b'c') if is(b"Content-Length") => self.length.take(value.trim_ascii()),
            (15, b'x') if is(b"X-Forwarded-For") => keep_first(&mut self.x_forwarded_for, value),
            (16, b'x') if is(b"X-Forwarded-Host") => keep_first(&mut self.x_forwarded_host, value),
            (17, b'x') if is(b"X-Forwarded-Proto") => {
                keep_first(&mut self.x_forwarded_proto, value);
            }
            (17, b't') if is(b"Transfer-Encoding") => {
                if let Some(last) = last_coding(value) {
                    self.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
                }
            }
            (len, first) if Collector::may_take(len, first) => self.traces.take(name, Some(value)),
            _ => {}
        }
    }

    /// Takes a field only if it says where the body ends.
    pub fn take_framing(&mut self, name: &[u8], value: &'b [u8]) {
        const FRAMING: [&[u8]; 2] = [b"Content-Length", b"Transfer-Encoding"];
        if FRAMING.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            self.take(name, value);
        }
    }

    /// What the head says of the trace that it belongs to, and `tracestate` where it has one that
    /// counts.
    pub fn traces(&self) -> (TraceHeaders, Option<Box<str>>) {
        if self.traces.is_empty() {
            return Default::default();
        }
        let has_context = self.traces.has_trace_context();
        let state = has_context.then(|| self.trace_state()).flatten();
        (self.traces.finish(state.as_deref()), state)
    }

    /// All `tracestate` fields, joined (W3C Trace Context §3.3.1.1). What has other characters than
    /// it may have, or too many members, is none.
    fn trace_state(&self) -> Option<Box<str>> {
        const MEMBERS_MAX: usize = 32;
        let filled = self.trace_state.iter().filter(|value| !value.is_empty());
        let values: Vec<&str> = filled
            .map(|value| std::str::from_utf8(value).ok())
            .collect::<Option<_>>()?;
        let joined = values.join(",");
        let is_printable = joined
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
        let has_room = (1..VALUE_BYTES_MAX).contains(&joined.len())
            && joined.split(',').count() <= MEMBERS_MAX;
        (is_printable && has_room).then(|| joined.into_boxed_str())
    }

    /// What proxies noted of the request that the first of them received, `Forwarded` before its
    /// older siblings.
    pub fn forwarded(&self) -> Forwarded<'b> {
        if self.forwarded.is_none()
            && self.x_forwarded_for.is_none()
            && self.x_forwarded_host.is_none()
            && self.x_forwarded_proto.is_none()
        {
            return Forwarded::default();
        }
        let standard = self.forwarded.map(Forwarded::standard).unwrap_or_default();
        standard.or(Forwarded {
            client: self.x_forwarded_for.and_then(forwarded::first_client),
            host: self.x_forwarded_host.and_then(forwarded::first_host),
            scheme: self.x_forwarded_proto.and_then(forwarded::first_scheme),
        })
    }
}

#[inline]
fn keep_first<'b>(kept: &mut Option<&'b [u8]>, value: &'b [u8]) {
    *kept = kept.or_else(|| Some(value.trim_ascii()));
}

impl Length {
    /// A list of equal numbers counts as that number; so do equal fields.
    fn take(&mut self, value: &[u8]) {
        if let Some(bytes) = digits(value) {
            return self.note(Some(bytes));
        }
        for number in value.split(|&byte| byte == b',') {
            self.note(digits(number.trim_ascii()));
        }
    }

    fn note(&mut self, number: Option<u64>) {
        *self = match (*self, number) {
            (Self::Absent, Some(bytes)) => Self::Bytes(bytes),
            (Self::Bytes(before), Some(bytes)) if before == bytes => Self::Bytes(bytes),
            _ => Self::Invalid,
        };
    }
}

/// Digits only, at least one, no more than fit.
pub(crate) fn digits(number: &[u8]) -> Option<u64> {
    number.first()?;
    number.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The last of a list of transfer codings, `identity` apart, which is none (RFC 2616 §3.6).
fn last_coding(list: &[u8]) -> Option<&[u8]> {
    let mut codings = list.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Gives `value` as a shared string, the one from last time where it is the same.
pub(crate) fn interned(known: &mut Option<Arc<str>>, value: Option<&[u8]>) -> Option<Arc<str>> {
    let value = value?;
    match known {
        Some(same) if same.as_bytes() == value => {}
        _ => *known = Some(lossy(value).into()),
    }
    known.clone()
}

/// Text, whatever the bytes are; looks for the common case first.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace_headers::Format;

    fn fields<'b>(pairs: &[(&str, &'b str)]) -> Fields<'b> {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.take(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn equal_lengths_agree_and_different_ones_do_not() {
        let length = |values: &[&'static str]| {
            let pairs: Vec<_> = values.iter().map(|v| ("Content-Length", *v)).collect();
            fields(&pairs).length
        };
        assert_eq!(length(&["5"]), Length::Bytes(5));
        assert_eq!(length(&["5", "5"]), Length::Bytes(5));
        assert_eq!(length(&["5, 5"]), Length::Bytes(5));
        for bad in ["5, 6", "", "-1", "+5", "0x5", "18446744073709551616"] {
            assert_eq!(length(&[bad]), Length::Invalid, "{bad}");
        }
        assert_eq!(length(&["5", "6", "6"]), Length::Invalid);
    }

    #[test]
    fn only_a_final_chunked_counts() {
        let chunked = |value| fields(&[("transfer-ENCODING", value)]).chunked;
        assert_eq!(chunked("gzip, Chunked"), Some(true));
        assert_eq!(chunked("chunked, gzip"), Some(false));
        assert_eq!(chunked("chunked, identity"), Some(true));
        for none in ["identity", "Identity, ", ""] {
            assert_eq!(chunked(none), None, "{none}");
        }
        assert_eq!(fields(&[]).chunked, None);
    }

    #[test]
    fn the_standard_field_is_worth_more_than_each_of_its_siblings() {
        let told = |pairs: &[(&str, &'static str)]| {
            let forwarded = fields(pairs).forwarded();
            let text = |value: Option<&'static [u8]>| value.map(|value| lossy(value).into_owned());
            (
                text(forwarded.client),
                text(forwarded.host),
                forwarded.scheme,
            )
        };
        let some = |client: &str, host: &str, scheme| {
            (Some(client.to_owned()), Some(host.to_owned()), Some(scheme))
        };
        let older = [
            ("X-Forwarded-For", "192.0.2.1, 10.0.0.1"),
            ("x-forwarded-host", "old.example, inner"),
            ("X-FORWARDED-PROTO", "https,http"),
        ];
        assert_eq!(told(&older), some("192.0.2.1", "old.example", "https"));
        let part = [&older[..], &[("Forwarded", "host=new.example:81")]].concat();
        assert_eq!(told(&part), some("192.0.2.1", "new.example:81", "https"));
        let all = "for=192.0.2.9;host=new.example;proto=http";
        let all = [&older[..], &[("Forwarded", all)]].concat();
        assert_eq!(told(&all), some("192.0.2.9", "new.example", "http"));
        assert_eq!(told(&[]), (None, None, None));
    }

    #[test]
    fn a_second_traceparent_makes_both_worthless() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let named = |pairs: &[(&str, &'static str)]| {
            let (traces, _) = fields(pairs).traces();
            traces.of(Format::TraceContext).is_some()
        };
        assert!(named(&[("traceparent", valid)]));
        assert!(!named(&[("traceparent", valid), ("TraceParent", valid)]));
    }

    #[test]
    fn tracestate_fields_are_joined() {
        let state = fields(&[
            ("tracestate", "a=1"),
            ("tracestate", ""),
            ("tracestate", "b=2"),
        ]);
        assert_eq!(state.trace_state().as_deref(), Some("a=1,b=2"));
        let many = ["a=1"; 33].join(",");
        for value in ["\u{1b}[31mred", "a=\u{e9}", "a=1\u{7}", &many] {
            let state = fields(&[("tracestate", value)]);
            assert_eq!(state.trace_state(), None, "{value:?}");
        }
    }
}
