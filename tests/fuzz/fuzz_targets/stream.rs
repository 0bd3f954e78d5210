//! The stream buffer against a model that only counts: every byte is handed out once, in order, at
//! its own position, or is part of a gap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::conversation::{Chunk, Direction, Extent};
use wirespan_protocols::parser::Gap;
use wirespan_protocols::stream::Stream;

/// What stands at a position, so that a misplaced byte shows.
fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fuzz_target!(|bytes: &[u8]| {
    let mut stream = Stream::default();
    let mut model_end = 0u64;
    let mut times_of_end = 0u64;
    for (at, step) in bytes.chunks_exact(6).enumerate() {
        let &[kind, jump, len, captured, used, tail_len] = step else {
            return;
        };
        let time_ns = at as u64 + 1;
        let reach = stream.reach();
        let position = match kind >> 4 {
            0 => u64::MAX - u64::from(jump),
            1..=3 => reach.saturating_sub(u64::from(jump)),
            4..=6 => reach.saturating_add(u64::from(jump)),
            _ => model_end,
        };
        match kind & 3 {
            0 => {
                let extent = Extent {
                    position,
                    last_ns: time_ns,
                    tail: [1; 8],
                    tail_len: tail_len % 9,
                };
                assert_eq!(stream.extent(&extent), position > reach);
                assert_eq!(stream.reach(), reach.max(position));
            }
            1 => {
                if let Some(gap) = stream.take_ahead(u64::from(len)) {
                    assert!((1..=u64::from(len)).contains(&gap.len));
                    over(&mut stream, gap, &mut model_end);
                }
            }
            _ => {
                let held: Vec<u8> = (0..u64::from(captured.min(len)))
                    .map(|offset| byte_at(position.wrapping_add(offset)))
                    .collect();
                let arrival = stream.chunk(&Chunk {
                    direction: Direction::Ingress,
                    position,
                    len: if tail_len == 255 {
                        u64::MAX
                    } else {
                        u64::from(len)
                    },
                    bytes: &held,
                    tail: [2; 8],
                    tail_len,
                    time_ns,
                    tid: 1,
                    after_loss: kind & 4 != 0,
                });
                if let Some(gap) = arrival.before {
                    over(&mut stream, gap, &mut model_end);
                }
                let mut held = stream.take_held();
                held.extend_from_slice(arrival.bytes);
                model_end += arrival.bytes.len() as u64;
                for (offset, &byte) in held.iter().enumerate() {
                    assert_eq!(byte, byte_at(stream.cursor() + offset as u64), "misplaced");
                }
                let used = usize::from(used).min(held.len());
                stream.advance(used as u64);
                held.drain(..used);
                stream.hold(held);
                if let Some(gap) = arrival.after {
                    over(&mut stream, gap, &mut model_end);
                }
                assert!(stream.reach() >= model_end);
            }
        }
        let moved = stream.moved_at(stream.cursor());
        assert!(moved.time_ns <= time_ns);
        times_of_end = times_of_end.max(moved.time_ns);
        assert!(stream.reach() >= reach, "a stream never goes back");
    }
});

/// A gap ends what is held.
fn over(stream: &mut Stream, gap: Gap, model_end: &mut u64) {
    assert!(gap.len > 0);
    let held = stream.take_held();
    *model_end += gap.len;
    stream.advance(held.len() as u64 + gap.len);
    assert_eq!(stream.cursor(), *model_end);
    stream.hold(Vec::new());
}
