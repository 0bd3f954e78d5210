//! A connection that begins with a request and is told the rest in calls of either side, with gaps.

use wirespan_protocols::conversation::{Chunk, Conversation, Direction, End, Understanding};
use wirespan_protocols::parser::{Gap, Parser};

use crate::parsing::parse_all;
use crate::told::Told;

/// A parser on raw bytes, over a gap and to the end.
pub fn parser(mut parser: impl Parser, bytes: &[u8]) {
    let rest = parse_all(&mut parser, bytes);
    let gap = Gap::unknown(parser.bytes_left().unwrap_or(1));
    let _ = parser.cross(rest, gap);
    let _ = parser.end(&[]);
}

/// The input is a list of calls: a byte that says whose it is and how it was captured, one with its
/// length in units of sixteen, and its bytes.
pub fn conversation(request: &[u8], mut rest: &[u8]) {
    let mut conversation = Conversation::new();
    let mut told = Told::default();
    let mut positions = [0u64; 2];
    let mut time_ns = 0;
    let mut call = |is_answer: bool, bytes: &[u8], missing: u64, told: &mut Told| {
        time_ns += 10;
        let position = &mut positions[usize::from(is_answer)];
        let len = bytes.len() as u64 + missing;
        let chunk = Chunk {
            direction: if is_answer {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            position: *position,
            len,
            bytes,
            tail: [0; 8],
            tail_len: 0,
            time_ns,
            tid: 1,
            after_loss: false,
        };
        *position += len;
        conversation.chunk(chunk, told);
    };
    call(false, request, 0, &mut told);
    while let [kind, len, behind @ ..] = rest {
        let (bytes, after) = behind.split_at(behind.len().min(usize::from(*len) * 16));
        rest = after;
        let missing = if kind & 2 == 0 {
            0
        } else {
            u64::from(kind >> 2)
        };
        call(kind & 1 == 1, bytes, missing, &mut told);
    }
    assert_ne!(conversation.verdict(), Understanding::Undecided);
    conversation.end(End::Closed, time_ns + 1, &mut told);
    assert!(!conversation.has_open_exchange());
    told.check_over();
}
