//! The contract of `parser.rs`, promise by promise, over every protocol of the registry. The valid
//! messages are the files in `tests/data/<protocol>/requests` and `responses`.
//!
//! A protocol with streams tells bodies in parts, as they come: parts of one body that follow each
//! other count as one here. Its heads may come in several frames, so that their first step need not
//! tell anything; and a capture that cuts one does not take its framing.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use proptest::prelude::*;
use wirespan_protocols::http1;
use wirespan_protocols::http2::{Frames, What};
use wirespan_protocols::message::{Message, Then};
use wirespan_protocols::parser::{Crossed, Flow, Gap, Parsed, Parser};
use wirespan_protocols::probe::{Probe, ProbeFound};
use wirespan_protocols::protocol::{Detected, Pairing, Protocol};
use wirespan_protocols::registry::PROTOCOLS;

struct Sample {
    protocol: &'static Protocol,
    flow: Flow,
    name: String,
    bytes: Vec<u8>,
}

impl Sample {
    fn reader(&self) -> Box<dyn Probe> {
        (self.protocol.probe)(self.flow)
    }
}

/// Adds what was found; a part of a body joins the one before it.
fn add(messages: &mut Vec<ProbeFound>, found: ProbeFound) {
    if let Some((stream, len)) = found.data
        && let Some(last) = messages.last_mut()
        && let Some((before, total)) = &mut last.data
        && *before == stream
        && !last.is_end
    {
        *total += len;
        last.is_end = found.is_end;
        return;
    }
    messages.push(found);
}

fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for protocol in PROTOCOLS {
        for (flow, folder) in [(Flow::Requests, "requests"), (Flow::Responses, "responses")] {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            let folder = data.join(protocol.name).join(folder);
            // uwsgi's responses are those of HTTP/1, and known as such.
            if (protocol.name, flow) == ("uwsgi", Flow::Responses) {
                continue;
            }
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
    messages: Vec<ProbeFound>,
    /// Bytes that no step took, and whether they are invalid.
    left: usize,
    invalid: bool,
}

/// Offers `parts` one after the other, as a conversation does; checks promise 2 at every step.
fn run<'a>(parser: &mut dyn Probe, parts: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut held = Vec::new();
    for part in parts {
        held.extend_from_slice(part);
        let mut used = 0;
        while used < held.len() && !outcome.invalid {
            let rest = &held[used..];
            let taken = match parser.offer(rest) {
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
fn has_ended(messages: &[ProbeFound]) -> bool {
    messages.last().is_some_and(|last| last.is_end)
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
        let outcome = run(&mut *sample.reader(), [&sample.bytes[..]]);
        assert!(!outcome.invalid && outcome.left == 0, "{}", sample.name);
        assert!(has_ended(&outcome.messages), "{}", sample.name);
        let detected = (sample.protocol.detect)(&sample.bytes);
        // A head in many frames proves them, but not which way they go.
        let is_either = detected == Detected::Either;
        let is_streams = matches!(sample.protocol.kind, Pairing::Multiplexed { .. });
        assert!(
            detected == Detected::Match(sample.flow) || is_either && is_streams,
            "{}: {detected:?}",
            sample.name
        );
        for other in PROTOCOLS.iter().filter(|p| p.name != sample.protocol.name) {
            let detected = (other.detect)(&sample.bytes);
            // Three bytes may begin any length.
            let is_no = match sample.bytes.len() {
                ..4 => matches!(detected, Detected::No | Detected::NotYet),
                _ => detected == Detected::No,
            };
            assert!(is_no, "{} as {}: {detected:?}", sample.name, other.name);
        }
    }
}

#[test]
fn every_prefix_is_incomplete() {
    for sample in samples() {
        let head = match sample.reader().offer(&sample.bytes) {
            Parsed::Message { consumed, .. } => consumed,
            Parsed::Skipped { consumed } if is_streams(&sample) => consumed,
            other => panic!("{}: {other:?}", sample.name),
        };
        for len in 1..sample.bytes.len() {
            let prefix = &sample.bytes[..len];
            if len < head {
                let parsed = sample.reader().offer(prefix);
                assert_eq!(parsed, Parsed::Incomplete, "{} at {len}", sample.name);
            }
            let outcome = run(&mut *sample.reader(), [prefix]);
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
        let whole = run(&mut *sample.reader(), [&twice[..]]);
        for cut in 1..twice.len() {
            let (left, right) = twice.split_at(cut);
            let split = run(&mut *sample.reader(), [left, right]);
            assert_eq!(split, whole, "{} at {cut}", sample.name);
        }
        let bytewise = run(&mut *sample.reader(), twice.chunks(1));
        assert_eq!(bytewise, whole, "{} byte by byte", sample.name);
    }
}

/// What is true of every head of HTTP/1 that was cut behind its first line.
#[test]
fn a_head_cut_by_the_capture_is_reported_as_truncated() {
    for sample in samples()
        .iter()
        .filter(|sample| sample.protocol.name == "http1")
    {
        match sample.flow {
            Flow::Requests => cut_heads::<http1::Requests, _, _>(sample, |message| match message {
                Message::Request { request, then } => (request.truncated, request.body_size, *then),
                other => panic!("{}: {other:?}", sample.name),
            }),
            Flow::Responses => {
                cut_heads::<http1::Responses, _, _>(sample, |message| match message {
                    Message::Response { response, then } => {
                        (response.truncated, response.body_size, *then)
                    }
                    other => panic!("{}: {other:?}", sample.name),
                })
            }
        }
    }
}

fn cut_heads<P, Q, S>(sample: &Sample, told: impl Fn(&Message<Q, S>) -> (bool, Option<u64>, Then))
where
    P: Parser<Message = Message<Q, S>> + Default,
    Q: std::fmt::Debug + PartialEq,
    S: std::fmt::Debug + PartialEq,
{
    let Parsed::Message { message, consumed } = P::default().parse(&sample.bytes) else {
        panic!("{}", sample.name)
    };
    let first_line = sample.bytes.iter().position(|&byte| byte == b'\n').unwrap();
    for cut in first_line + 1..consumed {
        let mut parser = P::default();
        let pending = &sample.bytes[..cut];
        assert_eq!(parser.parse(pending), Parsed::Incomplete);
        match (&message, parser.cross(pending, gap(1000))) {
            (Message::Interim, crossed) => assert_eq!(crossed, Crossed::Lost),
            (
                Message::Response {
                    then: Then::Foreign | Then::Upgrade(_),
                    ..
                },
                Crossed::Lost,
            ) => {}
            (_, Crossed::Cut(message)) => {
                assert_eq!(
                    told(&message),
                    (true, None, Then::Unknown),
                    "{}",
                    sample.name
                );
            }
            (_, crossed) => panic!("{} cut at {cut}: {crossed:?}", sample.name),
        }
    }
}

fn is_streams(sample: &Sample) -> bool {
    matches!(sample.protocol.kind, Pairing::Multiplexed { .. })
}

#[test]
fn a_head_cut_where_its_length_is_known_is_truncated_and_takes_no_framing() {
    for sample in samples().iter().filter(|sample| is_streams(sample)) {
        let Parsed::Message { message, consumed } = Frames::default().parse(&sample.bytes, None)
        else {
            continue;
        };
        // The frame header is there.
        for cut in 10..consumed {
            let mut parser = Frames::default();
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
                What::Request(request) => assert!(request.truncated),
                What::Response(response) => assert!(response.truncated),
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
                let mut parser = (protocol.probe)(flow);
                let mut rest = &bytes[..];
                // Every step takes a byte at least, so this ends.
                while !rest.is_empty() {
                    match parser.offer(rest) {
                        Parsed::Message { consumed, .. } | Parsed::Skipped { consumed } => {
                            prop_assert!((1..=rest.len()).contains(&consumed));
                            rest = &rest[consumed..];
                        }
                        Parsed::Incomplete => {
                            parser.miss(rest, gap(gap_len));
                            break;
                        }
                        Parsed::Invalid => match parser.resume(rest) {
                            Some(at) => {
                                prop_assert!((1..=rest.len()).contains(&at), "promise 5");
                                rest = &rest[at..];
                            }
                            None => break,
                        },
                    }
                }
                let len_max = bytes.len().max(1);
                let mut points: Vec<usize> = cuts.iter().map(|cut| cut.index(len_max)).collect();
                points.extend([0, bytes.len()]);
                points.sort_unstable();
                let parts = points.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
                let split = run(&mut *(protocol.probe)(flow), parts);
                let whole = run(&mut *(protocol.probe)(flow), [&bytes[..]]);
                prop_assert!(split.messages.len() <= whole.messages.len() || whole.invalid);
                if !whole.invalid {
                    prop_assert_eq!(split, whole, "promise 4");
                }
            }
        }
    }
}
