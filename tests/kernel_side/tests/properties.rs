//! What holds of the kernel side's copying, whatever a program does.
#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use wirespan_kernel_side::reference::{Budgets, PREFACE, call, kept};
use wirespan_kernel_side::{
    Buffer, Direction, Moved, PART_MAX, Program, Sent, Shape, VerdictKind, Watch,
};

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)]
}

fn shape() -> impl Strategy<Value = Shape> {
    use Shape::{Message, Messages, One, Unmapped, Vector};
    prop_oneof![
        3 => Just(One),
        3 => Just(Vector),
        2 => Just(Message),
        1 => Just(Messages),
        1 => Just(Unmapped),
    ]
}

/// What a process says its last buffer is longer than what was moved.
fn slack() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 2 => 1..100_000_u64, 1 => Just(u64::MAX)]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..20_000)
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..20_usize, 1..5000_usize], 1..4)
}

/// Pieces so long that there are no more than `count` of them.
fn at_most(count: usize, pieces: &[usize], len: usize) -> Vec<usize> {
    let least = len.div_ceil(count);
    pieces.iter().map(|len| *len.max(&least)).collect()
}

/// A frame that keeps to the rules.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![Just(0_usize), 1..100_usize, 1..20_000_usize];
    let kind = prop_oneof![4 => Just(0_u8), 2 => Just(1), 1 => Just(9), 1 => Just(5)];
    let long = (kind, len, 1..9_u32).prop_map(|(kind, len, stream)| {
        let mut frame = (len as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0]);
        frame.extend(stream.to_be_bytes());
        frame.extend((0..len).map(|index| index as u8 ^ kind));
        frame
    });
    let short = prop_oneof![
        Just(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff".to_vec()),
        Just(b"\0\0\x08\x06\0\0\0\0\0pingping".to_vec()),
        Just(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01".to_vec()),
        Just(b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08".to_vec()),
    ];
    prop_oneof![2 => long, 1 => short]
}

/// That records tell of this transfer, in order, what was said; and nothing beside it.
fn check(sent: &[Sent], position: u64, bytes: &[u8]) {
    let mut from = 0;
    for record in sent {
        let start = usize::try_from(record.position - position).unwrap();
        assert!(start >= from, "records overlap");
        assert!(record.len as usize >= record.bytes.len());
        assert!(
            start + record.len as usize <= bytes.len(),
            "beyond the transfer"
        );
        assert!(
            record.bytes == bytes[start..start + record.bytes.len()],
            "other bytes"
        );
        assert!(record.bytes.len() <= PART_MAX);
        from = start + record.bytes.len();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(200)
    })]

    #[test]
    fn what_is_copied_is_what_was_moved_and_no_byte_more(
        transfers in prop::collection::vec(
            (direction(), shape(), bytes(), pieces(), slack()),
            1..8,
        ),
        is_http2: bool,
    ) {
        let mut program = Program::new(Watch::default());
        let mut budgets = Budgets::new(Watch::default());
        if is_http2 {
            program.decide(VerdictKind::Http2, [None, None]);
        }
        for (direction, shape, bytes, pieces, slack) in transfers {
            // Of a call with more parts or messages than are looked at, the rest is counted.
            let pieces = at_most(100, &pieces, bytes.len());
            let (moved, mapped) = call(direction, shape, &bytes, &pieces, slack);
            let position = program.position(direction);
            let sent = program.moves(&moved, &mapped);
            prop_assert_eq!(program.went_astray(), vec![]);
            check(&sent, position, &bytes);
            let expected = budgets.take(&moved) as usize;
            if !is_http2 {
                let copied: usize = sent.iter().map(|record| record.bytes.len()).sum();
                prop_assert_eq!(copied, expected);
            }
            prop_assert_eq!(program.position(direction), position + bytes.len() as u64);
        }
    }

    #[test]
    fn a_walk_keeps_what_a_reader_of_whole_streams_keeps(
        frames in [prop::collection::vec(frame(), 1..30), prop::collection::vec(frame(), 1..30)],
        cuts in prop::collection::vec((direction(), 1..30_000_usize, pieces(), slack()), 1..40),
        shapes in prop::collection::vec(
            prop_oneof![Just(Shape::One), Just(Shape::Vector), Just(Shape::Message)],
            40,
        ),
    ) {
        let [answers, asks] = frames.map(|frames| frames.concat());
        let streams = [answers, [&PREFACE[..], &asks].concat()];
        let starts = [0, PREFACE.len()];
        let mut program = Program::new(Watch::default());
        let mut copied = [vec![], vec![]];
        let first = (Direction::Egress, 24, vec![24], 0);
        let mut moved_len = [0, 0];
        for ((direction, len, pieces, slack), shape) in
            std::iter::once(first).chain(cuts).zip(shapes)
        {
            let index = direction as usize;
            let rest = &streams[index][moved_len[index]..];
            let bytes = &rest[..len.min(rest.len())];
            if bytes.is_empty() {
                continue;
            }
            // With more parts and frames than rounds the walk is lost.
            let pieces = at_most(2000, &pieces, bytes.len());
            let (moved, mapped) = call(direction, shape, bytes, &pieces, slack);
            let sent = program.moves(&moved, &mapped);
            prop_assert!(program.speaks_http2());
            prop_assert_eq!(program.went_astray(), vec![]);
            check(&sent, moved_len[index] as u64, bytes);
            moved_len[index] += bytes.len();
            let ranges = sent.iter().map(|record| {
                let start = record.position as usize;
                start..start + record.bytes.len()
            });
            copied[index].extend(ranges.flatten());
        }
        for index in [0, 1] {
            let stream = &streams[index][..moved_len[index]];
            let expected: Vec<_> = kept(stream, starts[index]).into_iter().flatten().collect();
            prop_assert!(copied[index] == expected, "of stream {index}");
        }
    }

    #[test]
    fn a_process_that_lies_about_its_memory_is_survived(
        transfers in prop::collection::vec(
            (
                direction(),
                shape(),
                prop::collection::vec((any::<u64>(), any::<u64>()), 1..6),
                1..40_000_u32,
                any::<bool>(),
            ),
            1..8,
        ),
        bytes in prop::collection::vec(any::<u8>(), 40_000),
        is_http2: bool,
        boundaries: [Option<u16>; 2],
    ) {
        let mut program = Program::new(Watch::default());
        if is_http2 {
            program.decide(VerdictKind::Http2, boundaries.map(|at| at.map(u64::from)));
        }
        let mapped = [Buffer { address: 1 << 32, bytes }];
        for (direction, shape, mut parts, len, is_mapped) in transfers {
            for (address, _) in &mut parts {
                if is_mapped {
                    *address = (1 << 32) + *address % 40_000;
                }
            }
            let moved = Moved { direction, shape, parts, len };
            let position = program.position(direction);
            for record in program.moves(&moved, &mapped) {
                prop_assert!(record.bytes.len() <= record.len as usize);
                prop_assert!(record.position >= position);
                prop_assert!(record.position + u64::from(record.len) <= position + u64::from(len));
            }
        }
    }
}
