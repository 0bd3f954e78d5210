//! The contract of `parser.rs`, promise by promise, over every protocol of the registry. The valid
//! messages are the files in `tests/data/<protocol>/requests` and `responses`.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use proptest::prelude::*;
use wirespan_protocols::detect::Detected;
use wirespan_protocols::message::{Message, Request, Response, Then};
use wirespan_protocols::parser::{AnyParser, Crossed, Flow, Gap, Parsed};
use wirespan_protocols::registry::{PROTOCOLS, Protocol};

struct Sample {
    protocol: &'static Protocol,
    flow: Flow,
    name: String,
    bytes: Vec<u8>,
}

impl Sample {
    fn parser(&self) -> AnyParser {
        (self.protocol.parser)(self.flow)
    }
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for protocol in PROTOCOLS {
        for (flow, folder) in [(Flow::Requests, "requests"), (Flow::Responses, "responses")] {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            let folder = data.join(protocol.name).join(folder);
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                samples.push(Sample {
                    protocol,
                    flow,
                    name: path.display().to_string(),
                    bytes: std::fs::read(&path).unwrap(),
                });
            }
        }
    }
    assert!(samples.len() >= 2 * PROTOCOLS.len());
    samples
}

/// What a parser made of bytes that came in parts.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    messages: Vec<Message>,
    /// Bytes that no step took, and whether they are invalid.
    left: usize,
    invalid: bool,
}

/// Offers `parts` one after the other, as a conversation does; checks promise 2 at every step.
fn run<'a>(parser: &mut AnyParser, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut held = Vec::new();
    for part in parts {
        held.extend_from_slice(part);
        let mut used = 0;
        while used < held.len() && !outcome.invalid {
            let rest = &held[used..];
            let taken = match parser.parse(rest) {
                Parsed::Message { message, consumed } => {
                    outcome.messages.push(message);
                    consumed
                }
                Parsed::Skipped { consumed } => consumed,
                Parsed::Incomplete => break,
                Parsed::Invalid => {
                    outcome.invalid = true;
                    break;
                }
            };
            assert!((1..=rest.len()).contains(&taken), "promise 2: {taken}");
            used += taken;
        }
        held.drain(..used);
    }
    outcome.left = held.len();
    outcome
}

/// Whether the last message is whole, its body included.
fn has_ended(messages: &[Message]) -> bool {
    match messages.last() {
        None => false,
        Some(Message::Request { then, .. } | Message::Response { then, .. }) => *then != Then::Body,
        Some(Message::Interim | Message::End { .. }) => true,
    }
}

fn gap(len: u64) -> Gap {
    Gap {
        len,
        tail: [0; 8],
        tail_len: 0,
        lost: false,
    }
}

#[test]
fn every_sample_is_one_message_and_is_detected() {
    for sample in samples() {
        let outcome = run(&mut sample.parser(), [&sample.bytes[..]]);
        assert!(!outcome.invalid && outcome.left == 0, "{}", sample.name);
        assert!(has_ended(&outcome.messages), "{}", sample.name);
        let detected = (sample.protocol.detect)(&sample.bytes);
        assert_eq!(detected, Detected::Match(sample.flow), "{}", sample.name);
        for other in PROTOCOLS.iter().filter(|p| p.name != sample.protocol.name) {
            let detected = (other.detect)(&sample.bytes);
            assert_eq!(detected, Detected::No, "{} as {}", sample.name, other.name);
        }
    }
}

#[test]
fn every_prefix_is_incomplete() {
    for sample in samples() {
        let head = match sample.parser().parse(&sample.bytes) {
            Parsed::Message { consumed, .. } => consumed,
            other => panic!("{}: {other:?}", sample.name),
        };
        for len in 1..sample.bytes.len() {
            let prefix = &sample.bytes[..len];
            if len < head {
                let parsed = sample.parser().parse(prefix);
                assert_eq!(parsed, Parsed::Incomplete, "{} at {len}", sample.name);
            }
            let outcome = run(&mut sample.parser(), [prefix]);
            assert!(!outcome.invalid, "{} at {len}", sample.name);
            assert!(!has_ended(&outcome.messages), "{} at {len}", sample.name);
            assert_ne!(
                (sample.protocol.detect)(prefix),
                Detected::No,
                "{} at {len}",
                sample.name
            );
        }
    }
}

#[test]
fn a_split_anywhere_changes_nothing() {
    for sample in samples() {
        let twice = [&sample.bytes[..], &sample.bytes[..]].concat();
        let whole = run(&mut sample.parser(), [&twice[..]]);
        for cut in 1..twice.len() {
            let (left, right) = twice.split_at(cut);
            let split = run(&mut sample.parser(), [left, right]);
            assert_eq!(split, whole, "{} at {cut}", sample.name);
        }
        let bytewise = run(&mut sample.parser(), twice.chunks(1));
        assert_eq!(bytewise, whole, "{} byte by byte", sample.name);
    }
}

#[test]
fn a_head_cut_by_the_capture_is_reported_as_truncated() {
    for sample in samples() {
        let Parsed::Message { message, consumed } = sample.parser().parse(&sample.bytes) else {
            panic!("{}", sample.name)
        };
        let Some(first_line) = sample.bytes.iter().position(|&byte| byte == b'\n') else {
            continue;
        };
        for cut in first_line + 1..consumed {
            let mut parser = sample.parser();
            let pending = &sample.bytes[..cut];
            assert_eq!(parser.parse(pending), Parsed::Incomplete);
            match (&message, parser.cross(pending, gap(1000))) {
                (Message::Interim, crossed) => assert_eq!(crossed, Crossed::Lost),
                (
                    Message::Response {
                        then: Then::Foreign,
                        ..
                    },
                    Crossed::Lost,
                ) => {}
                (_, Crossed::Cut(Message::Request { request, then })) => {
                    let Request::Http(request) = request;
                    assert!(request.truncated && then == Then::Unknown);
                    assert_eq!(request.body_size, None);
                }
                (_, Crossed::Cut(Message::Response { response, then })) => {
                    let Response::Http(response) = response;
                    assert!(response.truncated && then == Then::Unknown);
                    assert_eq!(response.body_size, None);
                }
                (_, crossed) => panic!("{} cut at {cut}: {crossed:?}", sample.name),
            }
        }
    }
}

/// Junk, sometimes with pieces of valid messages in it.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|index| {
            let samples = samples();
            index.get(&samples).bytes.clone()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::collection::vec(piece, 1..5), flips).prop_map(|(pieces, flips)| {
        let mut bytes = pieces.concat();
        for (at, byte) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn junk_does_no_harm_and_resync_makes_progress(
        bytes in junk(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        gap_len in 1u64..,
    ) {
        for protocol in PROTOCOLS {
            for flow in [Flow::Requests, Flow::Responses] {
                let _ = (protocol.detect)(&bytes);
                let mut parser = (protocol.parser)(flow);
                let mut rest = &bytes[..];
                // Every step takes a byte at least, so this ends.
                while !rest.is_empty() {
                    match parser.parse(rest) {
                        Parsed::Message { consumed, .. } | Parsed::Skipped { consumed } => {
                            prop_assert!((1..=rest.len()).contains(&consumed));
                            rest = &rest[consumed..];
                        }
                        Parsed::Incomplete => {
                            parser.cross(rest, gap(gap_len));
                            break;
                        }
                        Parsed::Invalid => match parser.resync(rest) {
                            Some(at) => {
                                prop_assert!((1..=rest.len()).contains(&at), "promise 5");
                                rest = &rest[at..];
                            }
                            None => break,
                        },
                    }
                }
                let _ = parser.end(&[]);

                let len_max = bytes.len().max(1);
                let mut points: Vec<usize> = cuts.iter().map(|cut| cut.index(len_max)).collect();
                points.extend([0, bytes.len()]);
                points.sort_unstable();
                let parts = points.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
                let split = run(&mut (protocol.parser)(flow), parts);
                let whole = run(&mut (protocol.parser)(flow), [&bytes[..]]);
                prop_assert!(split.messages.len() <= whole.messages.len() || whole.invalid);
                if !whole.invalid {
                    prop_assert_eq!(split, whole, "promise 4");
                }
            }
        }
    }
}
