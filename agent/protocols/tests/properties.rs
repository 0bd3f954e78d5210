//! The contract of `parser.rs`, promise by promise, over every protocol of the registry. The valid
//! messages are the files in `tests/data/<protocol>/requests` and `responses`.
//!
//! A protocol with streams tells bodies in parts, as they come: parts of one body that follow each
//! other count as one here. Its heads may come in several frames, so that their first step need not
//! tell anything; and a capture that cuts one does not take its framing.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use proptest::prelude::*;
use wirespan_protocols::message::{Message, Request, Response, Then};
use wirespan_protocols::message::{Part, What};
use wirespan_protocols::parser::{AnyParser, AnyStreamParser, Crossed, Flow, Gap, Parsed, Search};
use wirespan_protocols::protocol::Detected;
use wirespan_protocols::protocol::{Kind, Protocol};
use wirespan_protocols::registry::PROTOCOLS;

struct Sample {
    protocol: &'static Protocol,
    flow: Flow,
    name: String,
    bytes: Vec<u8>,
}

impl Sample {
    fn reader(&self) -> Reader {
        Reader::new(self.protocol, self.flow)
    }
}

/// A parser of either kind.
enum Reader {
    Dialogue(AnyParser),
    Streams(AnyStreamParser),
}

/// What either kind finds.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Message(Message),
    Part(Part),
}

impl Reader {
    fn new(protocol: &Protocol, flow: Flow) -> Self {
        match protocol.kind {
            Kind::Dialogue(parser) => Self::Dialogue(parser(flow)),
            Kind::Multiplexed(parser) => Self::Streams(parser()),
        }
    }

    fn parse(&mut self, buf: &[u8]) -> Parsed<Found> {
        match self {
            Self::Dialogue(parser) => wrap(parser.parse(buf), Found::Message),
            Self::Streams(parser) => wrap(parser.parse(buf, None), Found::Part),
        }
    }

    fn cross(&mut self, pending: &[u8], gap: Gap) {
        match self {
            Self::Dialogue(parser) => drop(parser.cross(pending, gap)),
            Self::Streams(parser) => {
                let len = parser
                    .bytes_left()
                    .map_or(gap.len, |left| left.min(gap.len));
                drop(parser.cross(
                    pending,
                    Gap {
                        len: len.max(1),
                        ..gap
                    },
                    None,
                ));
            }
        }
    }

    fn resync(&mut self, buf: &[u8]) -> Option<usize> {
        match self {
            Self::Dialogue(parser) => parser.resync(buf),
            // What was just refused is not looked at again.
            Self::Streams(parser) => match parser.find(&buf[1..], false) {
                Search::At(at) => {
                    parser.lose();
                    Some(at + 1)
                }
                Search::Maybe | Search::Nowhere => None,
            },
        }
    }
}

fn wrap<T>(parsed: Parsed<T>, found: impl Fn(T) -> Found) -> Parsed<Found> {
    match parsed {
        Parsed::Message { message, consumed } => Parsed::Message {
            message: found(message),
            consumed,
        },
        Parsed::Skipped { consumed } => Parsed::Skipped { consumed },
        Parsed::Incomplete => Parsed::Incomplete,
        Parsed::Invalid => Parsed::Invalid,
    }
}

/// Adds what was found; a part of a body joins the one before it.
fn add(messages: &mut Vec<Found>, mut found: Found) {
    if let Found::Part(part) = &mut found
        && let What::Data { start, len, .. } = &mut part.what
    {
        *start = 0;
        if let Some(Found::Part(last)) = messages.last_mut()
            && let What::Data { len: before, .. } = &mut last.what
            && last.stream == part.stream
            && !last.ends
        {
            *before += *len;
            last.ends = part.ends;
            return;
        }
    }
    messages.push(found);
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
    messages: Vec<Found>,
    /// Bytes that no step took, and whether they are invalid.
    left: usize,
    invalid: bool,
}

/// Offers `parts` one after the other, as a conversation does; checks promise 2 at every step.
fn run<'a>(parser: &mut Reader, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut held = Vec::new();
    for part in parts {
        held.extend_from_slice(part);
        let mut used = 0;
        while used < held.len() && !outcome.invalid {
            let rest = &held[used..];
            let taken = match parser.parse(rest) {
                Parsed::Message { message, consumed } => {
                    add(&mut outcome.messages, message);
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
fn has_ended(messages: &[Found]) -> bool {
    match messages.last() {
        None => false,
        Some(Found::Message(Message::Request { then, .. } | Message::Response { then, .. })) => {
            *then != Then::Body
        }
        Some(Found::Message(Message::Interim | Message::End { .. })) => true,
        Some(Found::Part(part)) => part.ends,
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
        let outcome = run(&mut sample.reader(), [&sample.bytes[..]]);
        assert!(!outcome.invalid && outcome.left == 0, "{}", sample.name);
        assert!(has_ended(&outcome.messages), "{}", sample.name);
        let detected = (sample.protocol.detect)(&sample.bytes);
        // A head in many frames proves them, but not which way they go.
        let is_either = detected == Detected::Either;
        let is_streams = matches!(sample.protocol.kind, Kind::Multiplexed(_));
        assert!(
            detected == Detected::Match(sample.flow) || is_either && is_streams,
            "{}: {detected:?}",
            sample.name
        );
        for other in PROTOCOLS.iter().filter(|p| p.name != sample.protocol.name) {
            let detected = (other.detect)(&sample.bytes);
            assert_eq!(detected, Detected::No, "{} as {}", sample.name, other.name);
        }
    }
}

#[test]
fn every_prefix_is_incomplete() {
    for sample in samples() {
        let head = match sample.reader().parse(&sample.bytes) {
            Parsed::Message { consumed, .. } => consumed,
            Parsed::Skipped { consumed } if is_streams(&sample) => consumed,
            other => panic!("{}: {other:?}", sample.name),
        };
        for len in 1..sample.bytes.len() {
            let prefix = &sample.bytes[..len];
            if len < head {
                let parsed = sample.reader().parse(prefix);
                assert_eq!(parsed, Parsed::Incomplete, "{} at {len}", sample.name);
            }
            let outcome = run(&mut sample.reader(), [prefix]);
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
        let whole = run(&mut sample.reader(), [&twice[..]]);
        for cut in 1..twice.len() {
            let (left, right) = twice.split_at(cut);
            let split = run(&mut sample.reader(), [left, right]);
            assert_eq!(split, whole, "{} at {cut}", sample.name);
        }
        let bytewise = run(&mut sample.reader(), twice.chunks(1));
        assert_eq!(bytewise, whole, "{} byte by byte", sample.name);
    }
}

#[test]
fn a_head_cut_by_the_capture_is_reported_as_truncated() {
    for sample in samples() {
        let Kind::Dialogue(parser) = sample.protocol.kind else {
            continue;
        };
        let mut whole = parser(sample.flow);
        let Parsed::Message { message, consumed } = whole.parse(&sample.bytes) else {
            panic!("{}", sample.name)
        };
        let Some(first_line) = sample.bytes.iter().position(|&byte| byte == b'\n') else {
            continue;
        };
        for cut in first_line + 1..consumed {
            let mut parser = parser(sample.flow);
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

fn is_streams(sample: &Sample) -> bool {
    matches!(sample.protocol.kind, Kind::Multiplexed(_))
}

#[test]
fn a_head_cut_where_its_length_is_known_is_truncated_and_takes_no_framing() {
    for sample in samples() {
        let Kind::Multiplexed(parser) = sample.protocol.kind else {
            continue;
        };
        let Parsed::Message { message, consumed } = parser().parse(&sample.bytes, None) else {
            continue;
        };
        // The frame header is there.
        for cut in 10..consumed {
            let mut parser = parser();
            let pending = &sample.bytes[..cut];
            assert_eq!(parser.parse(pending, None), Parsed::Incomplete);
            let left = parser.bytes_left();
            assert_eq!(left, Some((consumed - cut) as u64), "{}", sample.name);
            let crossed = parser.cross(pending, gap((consumed - cut) as u64), None);
            let Crossed::Ended(part) = crossed else {
                panic!("{} cut at {cut}: {crossed:?}", sample.name)
            };
            assert_eq!((part.stream, part.ends), (message.stream, message.ends));
            match part.what {
                What::Request(Request::Http(request)) => assert!(request.truncated),
                What::Response(Response::Http(response)) => assert!(response.truncated),
                What::Unclear => {}
                other => panic!("{} cut at {cut}: {other:?}", sample.name),
            }
            assert_eq!(parser.bytes_left(), None, "at a boundary");
            let again = parser.parse(&sample.bytes[..consumed], None);
            assert!(
                matches!(again, Parsed::Message { .. }),
                "{}: {again:?}",
                sample.name
            );
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
                let mut parser = Reader::new(protocol, flow);
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
                if let Reader::Dialogue(parser) = &mut parser {
                    let _ = parser.end(&[]);
                }

                let len_max = bytes.len().max(1);
                let mut points: Vec<usize> = cuts.iter().map(|cut| cut.index(len_max)).collect();
                points.extend([0, bytes.len()]);
                points.sort_unstable();
                let parts = points.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
                let split = run(&mut Reader::new(protocol, flow), parts);
                let whole = run(&mut Reader::new(protocol, flow), [&bytes[..]]);
                prop_assert!(split.messages.len() <= whole.messages.len() || whole.invalid);
                if !whole.invalid {
                    prop_assert_eq!(split, whole, "promise 4");
                }
            }
        }
    }
}
