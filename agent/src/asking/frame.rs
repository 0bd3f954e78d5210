//! What agents say to each other, as bytes. Nothing is sent or decided here, and nothing of the
//! rest of the program is known.
//!
//! ```text
//! frame      length: 2 bytes, of what follows: 1 to 16,384
//!            kind:   1 byte
//!            body
//!
//! 1 hello      the agent's name: 16 random bytes, new with each start;
//!              its proof of the secret: 32 bytes, or none (see `proof.rs`)
//! 2 addresses  of its node, any number, none too: a family (4 or 6) in 1 byte, then 4 or 16 bytes
//! 3 questions  at least one: number, starts, place
//!                number  what an answer refers to: less the one before it, modulo 2^32; before the
//!                        first there is 0
//!                starts  sequence numbers of the first bytes of client and server: 4 bytes each
//!                place   of the request in its connection, with its upper two bits as lower ones
//! 4 answers    at least one: number, known, context
//!                number  as in questions; a difference that is below 0 counts downwards (zigzag)
//!                known   1 byte: 0 the client is not known; 40 (hexadecimal) it is, and where it
//!                        stands will be answered later; else bit 0 is set, and a context follows:
//!                        bit 1 whoever began the trace decided on sampling, 2 in favour;
//!                        3 randomness, 4 a span id, 5 flags are in it
//!                context 16 bytes trace id; 1 byte flags, else 01; 8 bytes span id, else it is
//!                        that which follows from the request; 7 bytes randomness
//! ```
//!
//! Whole numbers of a fixed length are in network byte order; `number` and `place` are LEB128. The
//! version of all this is a name that TLS agrees on ([`ALPN`]): whoever knows another one alone is
//! not understood, and told so by the handshake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name and version of the protocol, for TLS (RFC 7301).
pub const ALPN: &[u8] = b"wirespan-asking/1";

/// Longest frame behind its length, in bytes: with TLS's own it fits one record (RFC 8446, 5.1).
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// A question takes at most 23 bytes, and an answer 39.
const ENTRIES_MAX: usize = 400;
const ADDRESSES_MAX: usize = 900;

const HELLO: u8 = 1;
const ADDRESSES: u8 = 2;
const QUESTIONS: u8 = 3;
const ANSWERS: u8 = 4;

const KNOWN: u8 = 1;
const DECIDED: u8 = 1 << 1;
const SAMPLED: u8 = 1 << 2;
const RANDOM: u8 = 1 << 3;
const SPAN: u8 = 1 << 4;
const FLAGS: u8 = 1 << 5;
const ALL: u8 = (1 << 6) - 1;
/// Alone.
const LATER: u8 = 1 << 6;

/// Flags that need no byte of their own: sampled, and nothing else.
const FLAGS_USUAL: u8 = 1;

const RANDOM_BITS: u64 = (1 << 56) - 1;

/// What an agent calls itself as long as it runs.
pub type AgentName = [u8; 16];

/// That an agent knows the secret.
pub type SecretProof = [u8; 32];

/// A request, as both ends of its connection know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskedRequest {
    /// Sequence numbers of the first byte that the client sent, and of the first that the server
    /// did.
    pub starts: [u32; 2],
    /// Which request of the connection.
    pub at: u64,
}

/// Where the client's span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldContext {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// `None` if it follows from the request.
    pub span_id: Option<[u8; 8]>,
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it is sampled, if whoever began the trace said so.
    pub decided: Option<bool>,
    /// 56 bits by which all who sample the trace decide.
    pub randomness: Option<u64>,
}

/// What is answered about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldAnswer {
    /// It is not known.
    Unknown,
    /// Its call was seen; where that stands is told as soon as it is known.
    Later,
    /// It stands there.
    Stands(ToldContext),
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFrame {
    /// The first one of each end.
    Hello {
        /// Who it is.
        name: AgentName,
        /// Where a secret is shared.
        proof: Option<SecretProof>,
    },
    /// Its node has these addresses, too.
    Addresses(Vec<IpAddr>),
    /// Who made these requests? Each with a number for the answer.
    Questions(Vec<(u32, AskedRequest)>),
    /// By these numbers.
    Answers(Vec<(u32, ToldAnswer)>),
}

/// Why bytes are no frame. Nothing after them can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// It says a length that none has.
    Length,
    /// It is of a kind that there is not.
    Kind,
    /// Its body is not what its kind asks for.
    Body,
}

/// Appends a hello.
pub fn put_hello(name: &AgentName, proof: Option<&SecretProof>, out: &mut Vec<u8>) {
    frame(HELLO, out, |out| {
        out.extend_from_slice(name);
        out.extend_from_slice(proof.map_or(&[][..], |proof| proof));
    });
}

/// Appends addresses, in as many frames as it takes; an empty one for none.
pub fn put_addresses(addresses: &[IpAddr], out: &mut Vec<u8>) {
    if addresses.is_empty() {
        return frame(ADDRESSES, out, |_| {});
    }
    for some in addresses.chunks(ADDRESSES_MAX) {
        frame(ADDRESSES, out, |out| {
            for address in some {
                match address {
                    IpAddr::V4(it) => {
                        out.push(4);
                        out.extend_from_slice(&it.octets());
                    }
                    IpAddr::V6(it) => {
                        out.push(6);
                        out.extend_from_slice(&it.octets());
                    }
                }
            }
        });
    }
}

/// Appends questions, in as many frames as it takes.
pub fn put_questions(questions: &[(u32, AskedRequest)], out: &mut Vec<u8>) {
    for some in questions.chunks(ENTRIES_MAX) {
        frame(QUESTIONS, out, |out| {
            let mut before = 0;
            for (number, request) in some {
                put_varint(u64::from(number.wrapping_sub(before)), out);
                before = *number;
                for start in request.starts {
                    out.extend_from_slice(&start.to_be_bytes());
                }
                put_varint(request.at.rotate_left(2), out);
            }
        });
    }
}

/// Appends answers, in as many frames as it takes.
pub fn put_answers(answers: &[(u32, ToldAnswer)], out: &mut Vec<u8>) {
    for some in answers.chunks(ENTRIES_MAX) {
        frame(ANSWERS, out, |out| {
            let mut before = 0;
            for (number, told) in some {
                let difference = number.wrapping_sub(before).cast_signed();
                let zigzag = (difference << 1) ^ (difference >> 31);
                put_varint(u64::from(zigzag.cast_unsigned()), out);
                before = *number;
                match told {
                    ToldAnswer::Unknown => out.push(0),
                    ToldAnswer::Later => out.push(LATER),
                    ToldAnswer::Stands(told) => put_context(told, out),
                }
            }
        });
    }
}

fn put_context(told: &ToldContext, out: &mut Vec<u8>) {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    let known = KNOWN
        | bit(told.decided.is_some(), DECIDED)
        | bit(told.decided == Some(true), SAMPLED)
        | bit(told.randomness.is_some(), RANDOM)
        | bit(told.span_id.is_some(), SPAN)
        | bit(told.flags != FLAGS_USUAL, FLAGS);
    out.push(known);
    out.extend_from_slice(&told.trace_id);
    if told.flags != FLAGS_USUAL {
        out.push(told.flags);
    }
    if let Some(span_id) = told.span_id {
        out.extend_from_slice(&span_id);
    }
    if let Some(randomness) = told.randomness {
        let [_, bytes @ ..] = (randomness & RANDOM_BITS).to_be_bytes();
        out.extend_from_slice(&bytes);
    }
}

/// Appends a frame of this kind, whose body fits by what its callers put there.
fn frame(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0, 0, kind]);
    body(out);
    let len = out.len() - begin - 2;
    debug_assert!(len <= FRAME_BYTES_MAX);
    out[begin..begin + 2].copy_from_slice(&(len as u16).to_be_bytes());
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Frames out of bytes as they come.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameReader {
    /// More bytes came.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn next_frame(&mut self) -> Result<Option<PeerFrame>, FrameError> {
        let rest = &self.bytes[self.read..];
        let Some((len, behind)) = rest.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*len));
        if !(1..=FRAME_BYTES_MAX).contains(&len) {
            return Err(FrameError::Length);
        }
        let Some([kind, body @ ..]) = behind.get(..len) else {
            return Ok(None);
        };
        let frame = read_frame(*kind, body)?;
        self.read += 2 + len;
        Ok(Some(frame))
    }

    /// Bytes that wait for the rest of their frame: fewer than two frames take.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.read
    }
}

fn read_frame(kind: u8, body: &[u8]) -> Result<PeerFrame, FrameError> {
    let mut body = FrameBody(body);
    let frame = match kind {
        HELLO => body.hello(),
        ADDRESSES => body.all(FrameBody::address).map(PeerFrame::Addresses),
        QUESTIONS => {
            let mut before = 0;
            body.some(|body| body.question(&mut before))
                .map(PeerFrame::Questions)
        }
        ANSWERS => {
            let mut before = 0;
            body.some(|body| body.answer(&mut before))
                .map(PeerFrame::Answers)
        }
        _ => return Err(FrameError::Kind),
    };
    frame.ok_or(FrameError::Body)
}

/// What is left of a frame.
struct FrameBody<'a>(&'a [u8]);

impl FrameBody<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// At most ten bytes, of which the last is not 0 unless it is the only one.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let shifted = part << shift;
            if shifted >> shift != part || (byte == 0 && shift > 0) {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn number(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// Entries until there is nothing left.
    fn all<T>(&mut self, mut entry: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut entries = Vec::new();
        while !self.0.is_empty() {
            entries.push(entry(self)?);
        }
        Some(entries)
    }

    /// The same, at least one.
    fn some<T>(&mut self, entry: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.all(entry).filter(|entries| !entries.is_empty())
    }

    fn hello(&mut self) -> Option<PeerFrame> {
        let name = self.bytes()?;
        let proof = match self.0.is_empty() {
            true => None,
            false => Some(self.bytes()?),
        };
        let is_over = self.0.is_empty();
        is_over.then_some(PeerFrame::Hello { name, proof })
    }

    fn address(&mut self) -> Option<IpAddr> {
        Some(match self.byte()? {
            4 => Ipv4Addr::from(self.bytes::<4>()?).into(),
            6 => Ipv6Addr::from(self.bytes::<16>()?).to_canonical(),
            _ => return None,
        })
    }

    fn question(&mut self, before: &mut u32) -> Option<(u32, AskedRequest)> {
        let number = before.wrapping_add(self.number()?);
        *before = number;
        let starts = [self.bytes()?, self.bytes()?].map(u32::from_be_bytes);
        let at = self.varint()?.rotate_right(2);
        Some((number, AskedRequest { starts, at }))
    }

    fn answer(&mut self, before: &mut u32) -> Option<(u32, ToldAnswer)> {
        let zigzag = self.number()?;
        let difference = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        let number = before.wrapping_add(difference);
        *before = number;
        Some((number, self.told()?))
    }

    fn told(&mut self) -> Option<ToldAnswer> {
        Some(match self.byte()? {
            0 => ToldAnswer::Unknown,
            LATER => ToldAnswer::Later,
            known => ToldAnswer::Stands(self.context(known)?),
        })
    }

    fn context(&mut self, known: u8) -> Option<ToldContext> {
        let has = |bit| known & bit != 0;
        if !has(KNOWN) || known & !ALL != 0 || (has(SAMPLED) && !has(DECIDED)) {
            return None;
        }
        let trace_id = self.bytes()?;
        let flags = if has(FLAGS) {
            self.byte()?
        } else {
            FLAGS_USUAL
        };
        let span_id = if has(SPAN) { Some(self.bytes()?) } else { None };
        let randomness = if has(RANDOM) {
            let [a, b, c, d, e, f, g] = self.bytes()?;
            Some(u64::from_be_bytes([0, a, b, c, d, e, f, g]))
        } else {
            None
        };
        if trace_id == [0; 16] || span_id == Some([0; 8]) {
            return None;
        }
        Some(ToldContext {
            trace_id,
            span_id,
            flags,
            decided: has(DECIDED).then_some(has(SAMPLED)),
            randomness,
        })
    }
}

#[cfg(test)]
mod tests;
