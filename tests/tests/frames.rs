//! The kernel side's walk along HTTP/2 frames, without the rest of the daemon: whatever frames go
//! through a socket, in whatever pieces, exactly the bytes that are worth it are copied. The
//! processes on both ends are this one.

use std::collections::BTreeMap;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use wirespan::capture::Capture;
use wirespan::config::{CaptureConfig, Strategy, Targets};
use wirespan_common::record::{Body, Direction, Record};
use wirespan_common::watch::{NO_BOUNDARY, Verdict};
use wirespan_tests::daemon::forced_capture;

const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// What a client begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn strategies() -> Vec<Strategy> {
    match forced_capture().as_deref() {
        Some("fexit") => vec![Strategy::Fexit],
        Some("syscall_tracepoints") => vec![Strategy::SyscallTracepoints],
        Some("socket_tracepoints") => vec![Strategy::SocketTracepoints],
        // They are versions for kernels that can't walk frames.
        Some(_) => Vec::new(),
        None => vec![Strategy::SocketTracepoints, Strategy::SyscallTracepoints],
    }
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// A stream of frames, and for each of its bytes whether it should be copied.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    is_wanted: Vec<bool>,
}

impl Stream {
    fn push(&mut self, kind: u8, len: usize, numbers: &mut Numbers) {
        let copied = match kind {
            DATA if len > 2048 => 64,
            _ => len,
        };
        let stream: u32 = if matches!(kind, DATA | HEADERS) { 1 } else { 0 };
        self.bytes.extend(&(len as u32).to_be_bytes()[1..]);
        self.bytes.extend([kind, 0]);
        self.bytes.extend(stream.to_be_bytes());
        self.bytes
            .extend((0..len).map(|_| numbers.below(256) as u8));
        self.is_wanted.extend([true; 9]);
        self.is_wanted.extend((0..len).map(|index| index < copied));
    }

    fn of_all_sizes(numbers: &mut Numbers) -> Self {
        let mut stream = Self::default();
        for len in [
            0, 1, 8, 63, 64, 65, 1000, 2047, 2048, 2049, 3000, 16_384, 20_000,
        ] {
            stream.push(DATA, len, numbers);
            stream.push(HEADERS, len.min(4000), numbers);
            stream.push(4, 6 * numbers.below(4), numbers);
            stream.push(6, 8, numbers);
        }
        stream
    }
}

/// Both ends of a connection, watched.
struct Pair {
    capture: Capture,
    ends: [UnixStream; 2],
    ids: [u64; 2],
    /// What was copied, by end and direction: bytes by position.
    copied: BTreeMap<(u64, u8), BTreeMap<u64, u8>>,
}

impl Pair {
    /// User space has said what they speak.
    fn new(strategy: Strategy, boundary: u64) -> Self {
        let mut pair = Self::unjudged(strategy);
        for id in pair.ids {
            let verdict = Verdict::Http2 {
                ingress_boundary: boundary,
                egress_boundary: boundary,
            };
            pair.capture.feeds[0].set_verdict(id, verdict);
        }
        pair
    }

    /// User space has said nothing of them.
    fn unjudged(strategy: Strategy) -> Self {
        let config = CaptureConfig {
            strategy: Some(strategy),
            ..CaptureConfig::default()
        };
        let mut capture = Capture::start(&config, &Targets::default()).expect("capture starts");
        let (one, other) = UnixStream::pair().expect("two sockets");
        let ends = [one, other];
        let ids = [inode(&ends[0]), inode(&ends[1])];
        assert!(capture.watch_list.watch(std::process::id()));
        Self {
            capture,
            ends,
            ids,
            copied: BTreeMap::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.ends[0].write_all(bytes).expect("room in the socket");
    }

    fn read(&mut self, len: usize) {
        let mut buffer = vec![0; len];
        self.ends[1]
            .read_exact(&mut buffer)
            .expect("written before");
    }

    fn drain(&mut self) {
        let copied = &mut self.copied;
        let ids = self.ids;
        let most = 1_000_000;
        self.capture.feeds[0].drain(most, |bytes| {
            let (record, _) = Record::decode(bytes).expect("a record");
            let Body::Chunk {
                chunk,
                bytes: payload,
                ..
            } = record.body
            else {
                return;
            };
            if ids.contains(&chunk.connection) {
                let stream = copied
                    .entry((chunk.connection, chunk.direction))
                    .or_default();
                assert!(chunk.captured <= chunk.len);
                for (position, byte) in (chunk.position..).zip(payload) {
                    let before = stream.insert(position, *byte);
                    assert_eq!(before, None, "position {position} was copied twice");
                }
            }
        });
    }

    fn copied(&self, end: usize, direction: Direction) -> &BTreeMap<u64, u8> {
        &self.copied[&(self.ids[end], direction as u8)]
    }

    /// Both ends' records hold exactly what the stream wants.
    fn check(&self, stream: &Stream) {
        for (end, direction) in [(0, Direction::Egress), (1, Direction::Ingress)] {
            let copied = self.copied(end, direction);
            for (position, (byte, is_wanted)) in
                stream.bytes.iter().zip(&stream.is_wanted).enumerate()
            {
                let found = copied.get(&(position as u64));
                let expected = is_wanted.then_some(byte);
                assert_eq!(found, expected, "{direction:?}, position {position}");
            }
            assert!(copied.len() <= stream.bytes.len());
        }
    }
}

fn inode(socket: &UnixStream) -> u64 {
    rustix::fs::fstat(socket).expect("a descriptor").st_ino
}

/// Sends the stream in pieces up to `most` bytes, read in other pieces.
fn converse(pair: &mut Pair, stream: &Stream, most: usize, numbers: &mut Numbers) {
    let mut rest = stream.bytes.as_slice();
    while !rest.is_empty() {
        // One process may not fill the ring buffer alone.
        pair.drain();
        let (piece, behind) = rest.split_at(rest.len().min(1 + numbers.below(most)));
        rest = behind;
        pair.write(piece);
        let mut unread = piece.len();
        while unread > 0 {
            let len = unread.min(1 + numbers.below(most));
            pair.read(len);
            unread -= len;
        }
    }
    pair.drain();
}

#[test]
fn frames_in_pieces_of_any_size_are_copied_but_for_long_payloads() {
    for strategy in strategies() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for most in [3, 11, 100, 5000, 60_000] {
            let stream = Stream::of_all_sizes(&mut numbers);
            let mut pair = Pair::new(strategy, 0);
            converse(&mut pair, &stream, most, &mut numbers);
            pair.check(&stream);
        }
    }
}

#[test]
fn frames_in_scattered_buffers_are_walked_too() {
    for strategy in strategies() {
        let mut numbers = Numbers(7);
        let stream = Stream::of_all_sizes(&mut numbers);
        let mut pair = Pair::new(strategy, 0);
        let mut rest = stream.bytes.as_slice();
        while !rest.is_empty() {
            let mut parts = Vec::new();
            for _ in 0..1 + numbers.below(9) {
                let (part, behind) = rest.split_at(rest.len().min(numbers.below(3000)));
                parts.push(IoSlice::new(part));
                rest = behind;
            }
            let len: usize = parts.iter().map(|part| part.len()).sum();
            if len > 0 {
                let written = pair.ends[0].write_vectored(&parts).expect("written");
                assert_eq!(written, len);
                pair.read(len);
            }
        }
        pair.drain();
        pair.check(&stream);
    }
}

/// A burst is over before user space has looked at its first bytes.
#[test]
fn a_walk_begins_with_the_preface_before_anybody_asks_for_it() {
    for strategy in strategies() {
        for is_scattered in [false, true] {
            let mut numbers = Numbers(17);
            let mut stream = Stream {
                bytes: PREFACE.to_vec(),
                is_wanted: vec![true; PREFACE.len()],
            };
            for _ in 0..200 {
                stream.push(HEADERS, 900, &mut numbers);
                stream.push(DATA, 3000, &mut numbers);
            }
            let mut pair = Pair::unjudged(strategy);
            let (start, rest) = stream.bytes.split_at(PREFACE.len());
            if is_scattered {
                let parts = [IoSlice::new(start), IoSlice::new(&rest[..30_000])];
                let written = pair.ends[0].write_vectored(&parts).expect("written");
                assert_eq!(written, PREFACE.len() + 30_000);
                pair.read(written);
            } else {
                pair.write(&stream.bytes[..30_024]);
                pair.read(30_024);
            }
            for piece in stream.bytes[30_024..].chunks(60_000) {
                pair.write(piece);
                pair.read(piece.len());
            }
            pair.drain();
            pair.check(&stream);
        }
    }
}

/// A client that answers what the server said first, and a server that says a lot at once.
#[test]
fn a_preface_tells_that_the_other_direction_is_frames_too() {
    for strategy in strategies() {
        let mut numbers = Numbers(19);
        let mut pair = Pair::unjudged(strategy);
        let mut stream = Stream::default();
        stream.push(4, 12, &mut numbers);
        let settings_len = stream.bytes.len();
        pair.write(&stream.bytes);
        pair.read(settings_len);
        pair.ends[1].write_all(PREFACE).expect("room in the socket");
        let mut preface = [0; PREFACE.len()];
        pair.ends[0].read_exact(&mut preface).expect("written");
        for _ in 0..10 {
            stream.push(HEADERS, 900, &mut numbers);
            stream.push(DATA, 9000, &mut numbers);
        }
        let burst = stream.bytes[settings_len..].to_vec();
        pair.write(&burst);
        pair.read(burst.len());
        pair.drain();
        pair.check(&stream);
    }
}

/// An upgrade: the client's first request and its response are HTTP/1.1.
#[test]
fn after_an_upgrade_the_server_s_next_frame_begins_its_walk() {
    for strategy in strategies() {
        let mut numbers = Numbers(23);
        let mut pair = Pair::unjudged(strategy);
        pair.ends[1]
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("room");
        pair.ends[0].read_exact(&mut [0; 18]).expect("written");
        let response = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        let mut stream = Stream {
            bytes: response.to_vec(),
            is_wanted: vec![true; response.len()],
        };
        stream.push(4, 12, &mut numbers);
        let begun = stream.bytes.clone();
        pair.write(&begun);
        pair.read(begun.len());
        pair.ends[1].write_all(PREFACE).expect("room in the socket");
        pair.ends[0]
            .read_exact(&mut [0; PREFACE.len()])
            .expect("written");
        let before = stream.bytes.len();
        for _ in 0..10 {
            stream.push(DATA, 9000, &mut numbers);
            stream.push(HEADERS, 900, &mut numbers);
        }
        // In pieces that are longer than a record and end in the middle of frames.
        for piece in stream.bytes[before..].chunks(40_000) {
            pair.write(piece);
            pair.read(piece.len());
        }
        pair.drain();
        pair.check(&stream);
    }
}

#[test]
fn a_walk_without_a_known_boundary_begins_after_a_few_frames() {
    for strategy in strategies() {
        let mut numbers = Numbers(11);
        let mut pair = Pair::new(strategy, NO_BOUNDARY);
        let mut stream = Stream::default();
        let mut position = 0;
        for round in 0..12 {
            stream.push(HEADERS, 40, &mut numbers);
            stream.push(DATA, 10_000, &mut numbers);
            let bytes = stream.bytes[position..].to_vec();
            pair.write(&bytes);
            pair.read(bytes.len());
            pair.drain();
            for (end, direction) in [(0, Direction::Egress), (1, Direction::Ingress)] {
                let copied = pair.copied(end, direction).range(position as u64..).count();
                // Two frames each: four are enough to believe.
                let expected = if round < 2 {
                    bytes.len()
                } else {
                    9 + 40 + 9 + 64
                };
                assert_eq!(copied, expected, "{strategy} round {round}, {direction:?}");
            }
            position = stream.bytes.len();
        }
    }
}

#[test]
fn a_walk_that_meets_no_frame_stops_and_begins_again() {
    for strategy in strategies() {
        let mut numbers = Numbers(13);
        let mut pair = Pair::new(strategy, 0);
        let junk = vec![0xff; 1000];
        let mut frames = Stream::default();
        for _ in 0..4 {
            frames.push(HEADERS, 40, &mut numbers);
        }
        let mut long = Stream::default();
        long.push(DATA, 10_000, &mut numbers);
        let mut position = 0;
        for (bytes, expected) in [
            (&junk, junk.len()),
            (&frames.bytes, frames.bytes.len()),
            (&long.bytes, 9 + 64),
            (&junk, junk.len()),
            (&long.bytes, long.bytes.len()),
        ] {
            pair.write(bytes);
            pair.read(bytes.len());
            pair.drain();
            for (end, direction) in [(0, Direction::Egress), (1, Direction::Ingress)] {
                let copied = pair.copied(end, direction).range(position..).count();
                assert_eq!(
                    copied, expected,
                    "{strategy}, {direction:?} from {position}"
                );
            }
            position += bytes.len() as u64;
        }
    }
}
