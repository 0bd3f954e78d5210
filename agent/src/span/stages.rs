//! How long a request waited for somebody to serve it, and how long it was served, as two spans
//! below that of the server. Names are those that users of Beyla know.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Span, SpanKind, Status};

/// From the first byte of a request until somebody begins to serve it.
const IN_QUEUE: &str = "in queue";
/// From then on.
const PROCESSING: &str = "processing";

/// The two stages of a server's span that was served from `served_unix_ns` on, in nanoseconds since
/// the Unix epoch; none if that is not within it.
#[must_use]
pub fn stages(server: &Span, served_unix_ns: u64) -> Option<[Span; 2]> {
    let [start, end] = [server.start_unix_ns, server.end_unix_ns];
    (start..=end).contains(&served_unix_ns).then(|| {
        [
            stage(server, IN_QUEUE, 1, [start, served_unix_ns]),
            stage(server, PROCESSING, 2, [served_unix_ns, end]),
        ]
    })
}

fn stage(server: &Span, name: &'static str, number: u64, [start, end]: [u64; 2]) -> Span {
    Span {
        resource: Arc::clone(&server.resource),
        name: Cow::Borrowed(name),
        kind: SpanKind::Internal,
        trace_id: server.trace_id,
        span_id: below(server.span_id, number),
        parent_span_id: Some(server.span_id),
        parent_is_remote: false,
        trace_flags: server.trace_flags,
        trace_state: server.trace_state.clone(),
        start_unix_ns: start,
        end_unix_ns: end,
        attributes: Vec::new(),
        events: Vec::new(),
        follows: None,
        status: Status::Unset,
    }
}

/// An id that follows from that of the span above, so that none has to be given out for what may
/// not come: one-to-one for each number (the finaliser of SplitMix64), and not zero.
fn below(span_id: [u8; 8], number: u64) -> [u8; 8] {
    let mut mixed = u64::from_be_bytes(span_id) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed.max(1).to_be_bytes()
}
