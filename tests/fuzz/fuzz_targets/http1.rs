//! HTTP/1: both parsers on raw bytes, then a whole conversation that is told them in chunks, with
//! gaps, jumps, extents and ends where the input says so.
#![no_main]

mod parsing;
mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::conversation::{Chunk, Conversation, Direction, End, Extent, Understanding};
use wirespan_protocols::http1::{Requests, Responses};
use wirespan_protocols::parser::Parser;

use parsing::parse_all;
use told::Told;

fuzz_target!(|bytes: &[u8]| {
    parser(Requests::default(), bytes);
    parser(Responses::default(), bytes);
    conversation(bytes);
});

fn parser(mut parser: impl Parser, bytes: &[u8]) {
    parse_all(&mut parser, bytes);
    let _ = parser.end(&[]);
}

/// The input is a list of steps: four bytes that say what happens (kind, length, bytes that are not
/// captured, jump), then the bytes of the chunk. A line feed in place of a kind makes plain text
/// useful input as well.
fn conversation(mut rest: &[u8]) {
    let mut conversation = Conversation::new();
    let mut told = Told::default();
    let mut extents = [Extent::default(); 2];
    let (mut time_ns, mut requests, mut moved) = (0, 0u64, 0u64);
    while let [kind, len, missing, jump, behind @ ..] = rest {
        time_ns += 1;
        let len = match kind & 0x40 {
            0 => usize::from(*len).min(behind.len()),
            _ => behind.len().min(usize::from(*len) * 64),
        };
        let (bytes, after) = behind.split_at(len);
        rest = after;
        let (direction, this) = match kind & 1 {
            0 => (Direction::Ingress, 0),
            _ => (Direction::Egress, 1),
        };
        let jump = match jump {
            0..=0xf0 => 0,
            0xff => u64::MAX,
            small => u64::from(small & 15),
        };
        let missing = match missing {
            0..=0xc0 => 0,
            0xff => u64::MAX,
            some => u64::from(some & 0x3f),
        };
        let position = extents[this].position.saturating_add(jump);
        let position = position.saturating_sub(u64::from(kind & 0x20 != 0));
        let moved_here = (bytes.len() as u64).saturating_add(missing);
        let mut tail = [0; 8];
        let tail_len = bytes.len().min(8);
        tail[8 - tail_len..].copy_from_slice(&bytes[bytes.len() - tail_len..]);
        let extent = Extent {
            position: position.saturating_add(moved_here),
            last_ns: time_ns,
            tail,
            tail_len: tail_len as u8,
        };
        extents[this] = extent;
        match kind >> 1 & 0xf {
            0 => conversation.end(end_of(bytes), time_ns, &mut told),
            1 => conversation.extent(direction, extent, &mut told),
            _ => {
                conversation.extent(direction.opposite(), extents[1 - this], &mut told);
                requests += bytes.windows(2).filter(|pair| pair[0] == b' ').count() as u64 + 1;
                moved = moved.saturating_add(moved_here).saturating_add(jump);
                let chunk = Chunk {
                    direction,
                    position,
                    len: moved_here,
                    bytes,
                    tail,
                    tail_len: tail_len as u8,
                    time_ns,
                    tid: 1,
                    after_loss: kind & 0x80 != 0,
                };
                conversation.chunk(chunk, &mut told);
            }
        }
        let _ = conversation.take_head_was_cut();
        let _ = conversation.awaits_progress();
        if conversation.verdict() == Understanding::Understood {
            assert!(conversation.protocol().is_some());
        }
    }
    conversation.end(End::Closed, time_ns + 1, &mut told);
    assert!(!conversation.awaits_progress(), "nothing is left open");
    told.check_over();
    // A request line has two spaces; one that was cut has one. A command of Redis may have none.
    if conversation.protocol() != Some("redis") {
        assert!(told.exchanges <= requests, "made up");
    }
}

fn end_of(bytes: &[u8]) -> End {
    match bytes.first().map_or(0, |byte| byte % 6) {
        0 => End::Ingress,
        1 => End::Egress,
        2 => End::Closed,
        3 => End::Reset,
        4 => End::ProcessExited,
        _ => End::Evicted,
    }
}
