//! A span as a tree shows it, in less memory than the span takes.

use super::super::line::{Line, Tint, attribute};
use crate::semconv;
use crate::span::{Span, SpanKind, Status, Value};

/// Columns that what was asked for may take: more would tear the picture.
const OPERATION_COLUMNS_MAX: usize = 120;

/// Part of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub span: [u8; 8],
    pub parent: Option<[u8; 8]>,
    /// How it is known who asked for it, if that was found out here: then its parent is told, too.
    pub link: Option<&'static str>,
    /// Nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    pub end_unix_ns: u64,
    pub is_failed: bool,
    /// Service, side, what and outcome.
    pub text: Vec<u8>,
}

impl Branch {
    pub fn of(span: &Span, colours: bool) -> Self {
        let mut text = Vec::new();
        let mut line = Line {
            to: &mut text,
            colours,
        };
        line.service(span);
        line.word(match span.kind {
            SpanKind::Server => " SERVER ",
            SpanKind::Client => " CLIENT ",
            SpanKind::Internal => " INTERNAL ",
        });
        let begin = line.to.len();
        line.operation(span);
        shorten(line.to, begin);
        line.outcome(span);
        let link = match attribute(span, semconv::WIRESPAN_LINK) {
            Some(Value::Static(link)) => Some(*link),
            _ => None,
        };
        if let Some(link) = link {
            line.tinted(Tint::Aside, |line| line.format(format_args!(" [{link}]")));
        }
        text.shrink_to_fit();
        Self {
            span: span.span_id,
            parent: span.parent_span_id,
            link,
            start_unix_ns: span.start_unix_ns,
            end_unix_ns: span.end_unix_ns,
            is_failed: span.status == Status::Error,
            text,
        }
    }
}

/// Cuts what was written from `begin` on.
fn shorten(text: &mut Vec<u8>, begin: usize) {
    let written = std::str::from_utf8(&text[begin..]).unwrap_or_default();
    if let Some((at, _)) = written.char_indices().nth(OPERATION_COLUMNS_MAX) {
        text.truncate(begin + at);
        text.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let mut text = "ab".repeat(60).into_bytes();
        shorten(&mut text, 0);
        assert_eq!(text.len(), 120);
        let mut text = format!("svc {}", "ä".repeat(130)).into_bytes();
        shorten(&mut text, 4);
        let text = String::from_utf8(text).expect("it is text");
        assert_eq!(text, format!("svc {}…", "ä".repeat(120)));
    }
}
