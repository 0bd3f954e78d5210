//! The kernel side's copying and its walk over frames: whatever a program does with its memory,
//! what is copied was moved, in order, and no byte beside it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirespan_kernel_side::reference::{Budgets, call};
use wirespan_kernel_side::{Direction, PART_MAX, Program, Shape, VerdictKind, Watch};

const SHAPES: [Shape; 5] = [
    Shape::One,
    Shape::Vector,
    Shape::Message,
    Shape::Messages,
    Shape::Unmapped,
];
const SLACKS: [u64; 4] = [0, 1, 70_000, u64::MAX];
/// Parts and messages of a call of which all are looked at.
const PARTS_MAX: usize = 100;

// The first byte says whether user space knows of HTTP/2, and where its frames begin; the rest is a
// list of calls: four bytes that say how (direction, shape and what is wrong with it; length;
// length of its pieces), then the bytes that it moves, over and over if they are few.
fuzz_target!(|input: &[u8]| {
    let Some((begins, mut rest)) = input.split_first() else {
        return;
    };
    let mut program = Program::new(Watch::default());
    let mut budgets = Budgets::new(Watch::default());
    if begins & 1 != 0 {
        let boundary = (begins & 2 != 0).then_some(u64::from(begins >> 2));
        program.decide(VerdictKind::Http2, [boundary, None]);
    }
    let mut was_http2 = program.speaks_http2();
    while let [how, times, len, piece, behind @ ..] = rest {
        let len = usize::from(*len)
            .clamp(1, behind.len().max(1))
            .min(behind.len());
        let (bytes, behind) = behind.split_at(len);
        rest = behind;
        if bytes.is_empty() {
            return;
        }
        let bytes = bytes.repeat(usize::from(*times) + 1);
        let direction = if how & 1 == 0 {
            Direction::Ingress
        } else {
            Direction::Egress
        };
        let shape = SHAPES[usize::from(how >> 1 & 7) % SHAPES.len()];
        let slack = SLACKS[usize::from(how >> 4 & 3)];
        let piece = usize::from(*piece).max(bytes.len().div_ceil(PARTS_MAX));
        let (mut moved, mapped) = call(direction, shape, &bytes, &[piece], slack);
        // The process changes what it wrote down, after the kernel read it.
        let is_lying = how >> 6 == 3;
        if is_lying && let Some((address, len)) = moved.parts.first_mut() {
            *address = address.wrapping_sub(u64::from(*times) << (*times % 60));
            *len = len.wrapping_mul(u64::from(*times) << (*times % 60));
        }
        let position = program.position(direction);
        let sent = program.moves(&moved, &mapped);
        let astray = program.went_astray();
        let mut from = 0;
        let mut copied = 0;
        for record in &sent {
            let start = (record.position - position) as usize;
            assert!(start >= from && start + record.len as usize <= bytes.len());
            assert!(record.bytes.len() <= record.len as usize && record.bytes.len() <= PART_MAX);
            from = start + record.bytes.len();
            copied += record.bytes.len();
            assert!(is_lying || record.bytes == bytes[start..from]);
        }
        let expected = budgets.take(&moved) as usize;
        was_http2 |= program.speaks_http2();
        assert!(is_lying || astray.is_empty());
        if is_lying {
            // What could not be read was not paid for.
            return;
        }
        assert!(was_http2 || copied == expected);
        assert_eq!(program.position(direction), position + bytes.len() as u64);
    }
});
