//! One readable line per span. It shows what helps at a glance and leaves the rest to `json`.

use super::line::{Line, Tint, attribute};
use crate::span::{Span, SpanKind};

const CLIENT_ADDRESS: &str = "client.address";
const SERVER_ADDRESS: &str = "server.address";
const SERVER_PORT: &str = "server.port";

/// Appends the line: when, how long, side, service, what, outcome, with whom.
pub(super) fn write(span: &Span, colours: bool, to: &mut Vec<u8>) {
    let mut line = Line { to, colours };
    line.tinted(Tint::Aside, |line| line.time(span.start_unix_ns));
    line.duration(span.end_unix_ns.saturating_sub(span.start_unix_ns));
    line.word(match span.kind {
        SpanKind::Server => " SERVER ",
        SpanKind::Client => " CLIENT ",
        SpanKind::Internal => " INTERNAL ",
    });
    line.service(span);
    line.word(" ");
    line.operation(span);
    line.outcome(span);
    peer(&mut line, span);
    line.word("\n");
}

fn peer(line: &mut Line<'_>, span: &Span) {
    let (arrow, address) = match span.kind {
        SpanKind::Server => (" <- ", attribute(span, CLIENT_ADDRESS)),
        SpanKind::Client => (" -> ", attribute(span, SERVER_ADDRESS)),
        SpanKind::Internal => return,
    };
    let Some(address) = address else { return };
    line.word(arrow);
    line.value(address);
    if span.kind == SpanKind::Client
        && let Some(port) = attribute(span, SERVER_PORT)
    {
        line.word(":");
        line.value(port);
    }
}
