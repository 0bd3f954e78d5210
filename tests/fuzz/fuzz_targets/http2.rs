//! HTTP/2: one parser on raw bytes, then a whole conversation that is told them in chunks, with
//! gaps, jumps, extents and ends where the input says so.
#![no_main]

mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::conversation::{Chunk, Conversation, Direction, End, Extent, Understanding};
use wirespan_protocols::http2::Frames;
use wirespan_protocols::parser::Parsed;

use told::Told;

fuzz_target!(|bytes: &[u8]| {
    parser(Frames::default(), bytes);
    conversation(bytes);
});

fn parser(mut parser: Frames, mut rest: &[u8]) {
    parser.begin();
    while !rest.is_empty() {
        let taken = match parser.parse(rest, None) {
            Parsed::Message { consumed, .. } | Parsed::Skipped { consumed } => consumed,
            Parsed::Incomplete | Parsed::Invalid => break,
        };
        assert!((1..=rest.len()).contains(&taken));
        rest = &rest[taken..];
    }
}

/// The first byte says whether the preface is put before the rest, which is a list of steps: four
/// bytes that say what happens (kind, length, bytes that are not captured, jump), then the bytes of
/// the chunk.
fn conversation(bytes: &[u8]) {
    let Some((begins, mut rest)) = bytes.split_first() else {
        return;
    };
    let mut conversation = Conversation::new();
    let mut told = Told::default();
    let mut extents = [Extent::default(); 2];
    let mut time_ns = 0;
    if begins & 1 == 1 {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        extents[0].position = preface.len() as u64;
        let chunk = Chunk {
            direction: Direction::Ingress,
            position: 0,
            len: preface.len() as u64,
            bytes: preface,
            tail: [0; 8],
            tail_len: 0,
            time_ns,
            tid: 1,
            after_loss: false,
        };
        conversation.chunk(chunk, &mut told);
    }
    while let [kind, len, missing, jump, behind @ ..] = rest {
        time_ns += 1 << (kind >> 5) * 6;
        let len = usize::from(*len).min(behind.len());
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
        let moved = (bytes.len() as u64).saturating_add(missing);
        let extent = Extent {
            position: position.saturating_add(moved),
            last_ns: time_ns,
            tail: [0; 8],
            tail_len: 0,
        };
        extents[this] = extent;
        match kind >> 1 & 0xf {
            0 => conversation.end(end_of(bytes), time_ns, &mut told),
            1 => conversation.extent(direction, extent, &mut told),
            _ => {
                conversation.extent(direction.opposite(), extents[1 - this], &mut told);
                let chunk = Chunk {
                    direction,
                    position,
                    len: moved,
                    bytes,
                    tail: [0; 8],
                    tail_len: 0,
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
        for direction in [Direction::Ingress, Direction::Egress] {
            let _ = conversation.boundary(direction);
        }
    }
    conversation.end(End::Closed, time_ns + 1, &mut told);
    assert!(!conversation.has_open_exchange(), "nothing is left open");
    told.check_over();
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
