//! Requests of HTTP/2 (RFC 9113): the block of fields that opens a stream gets one field more at
//! its end, as a literal that is never indexed (RFC 7541, 6.2.3), which leaves the tables of both
//! ends as they are.
//!
//! Frames are walked from the preface on, or not at all. A block is looked at only if its frame
//! lies whole in one message, and what names a trace is looked for in each: once it was told in
//! full, it may be told by a number, which nobody here knows. So a block that could not be looked
//! at, and one that names a trace, are the last of their connection.

use wirespan_common::carriers::{
    Carried, HEAD_MAX, HeadPhase, LITERAL_LEN, OF_STREAM, Talk, client_span_id,
};

use super::{field, headers, room};
use crate::context;
use crate::maps::count_carried;
use crate::memory::{NotDone, SentMessage, repeat};

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113, 3.4).
const PREFACE_LEN: u32 = 24;
/// A frame's head (RFC 9113, 4.1).
const FRAME_LEN: u32 = 9;
/// What every peer takes (`SETTINGS_MAX_FRAME_SIZE`, RFC 9113, 6.5.2).
const FRAME_MAX: u64 = 16_384;
/// Types of frames (RFC 9113, 6).
const HEADERS: u64 = 1;
const SETTINGS: u64 = 4;
const CONTINUATION: u64 = 9;
/// Flags of HEADERS (RFC 9113, 6.2).
const END_HEADERS: u64 = 0x4;
const PADDED: u64 = 0x8;

/// What a round works on.
struct FrameRound<'a> {
    message: SentMessage,
    talk: &'a mut Talk,
    /// Bytes of the message that can be seen.
    window: u32,
}

/// Whether a connection of HTTP/2 begins with this message.
#[inline(always)]
pub fn begins(message: SentMessage) -> bool {
    let is = |at, word: &[u8; 8]| message.word(at) == Some(u64::from_le_bytes(*word));
    is(0, b"PRI * HT") && is(8, b"TP/2.0\r\n") && is(16, b"\r\nSM\r\n\r\n")
}

/// Passes over the preface, and looks at what follows it.
#[inline(always)]
pub fn begin(message: SentMessage, talk: &mut Talk, size: u32) -> bool {
    next_frame(talk);
    frames_from(message, talk, size, PREFACE_LEN)
}

/// The head of a frame comes next.
#[inline(always)]
fn next_frame(talk: &mut Talk) {
    talk.phase = HeadPhase::Frame as u8;
    talk.name = [0; 2];
    talk.name_len = 0;
}

/// Frames are sent. Returns whether they may be.
#[inline(always)]
pub fn frames_sent(message: SentMessage, talk: &mut Talk, size: u32) -> bool {
    if talk.phase == HeadPhase::Payload as u8 {
        payload_sent(message, talk, size);
        return true;
    }
    frames_from(message, talk, size, 0)
}

/// What lies from `first` on are frames, which are walked until a request is met, and from there
/// on. In one message, because Nagle holds the second of two back.
#[inline(always)]
fn frames_from(message: SentMessage, talk: &mut Talk, size: u32, first: u32) -> bool {
    if message.show(seen_of(size)).is_err() {
        return headers::leave(talk, Carried::NoMemory);
    }
    talk.cursor = first;
    talk.has_context = 0;
    walk(message, talk, size);
    if talk.phase != HeadPhase::Block as u8 {
        return frames_passed(message, talk, size);
    }
    let added = match block_sent(message, talk, size) {
        Ok(Some(added)) => added,
        Ok(None) => return true,
        Err(NotDone) => {
            let _ = headers::leave(talk, Carried::Refused);
            return false;
        }
    };
    next_frame(talk);
    let size = size + added;
    talk.cursor = talk.block_end + added;
    walk(message, talk, size);
    if talk.phase == HeadPhase::Block as u8 {
        return block_apart(message, talk);
    }
    frames_passed(message, talk, size)
}

/// How much of a message of this size is looked at.
#[inline(always)]
fn seen_of(size: u32) -> u32 {
    if size < HEAD_MAX { size } else { HEAD_MAX }
}

#[inline(always)]
fn walk(message: SentMessage, talk: &mut Talk, size: u32) {
    let mut round = FrameRound {
        message,
        talk,
        window: seen_of(size),
    };
    repeat(HEAD_MAX, step, &mut round);
}

/// No request was met, up to where the message is being read.
#[inline(always)]
fn frames_passed(message: SentMessage, talk: &mut Talk, size: u32) -> bool {
    if talk.phase == HeadPhase::Blind as u8 {
        return headers::leave(talk, Carried::Unknown);
    }
    let at = talk.cursor;
    if at > size {
        talk.body_left = u64::from(at - size);
        talk.phase = HeadPhase::Payload as u8;
    } else if at < size {
        // A frame's head is looked at whole.
        let begins = at.wrapping_sub(talk.name_len);
        next_frame(talk);
        message.applies_to(begins);
    }
    true
}

/// A block is looked at from the beginning of its frame on, as a message of its own.
#[inline(always)]
fn block_apart(message: SentMessage, talk: &mut Talk) -> bool {
    let begins = talk.block_end.wrapping_sub(talk.length as u32);
    talk.stream -= 1;
    next_frame(talk);
    message.applies_to(begins.wrapping_sub(FRAME_LEN));
    true
}

/// A piece of what a frame carries goes by.
#[inline(always)]
fn payload_sent(message: SentMessage, talk: &mut Talk, size: u32) {
    if talk.body_left > size.into() {
        talk.body_left -= u64::from(size);
        return;
    }
    if talk.body_left < size.into() {
        message.applies_to(talk.body_left as u32);
    }
    talk.body_left = 0;
    next_frame(talk);
}

/// Takes a byte of a frame's head, or looks at a place of a block. Returns 1 where there is nothing
/// more to look at.
extern "C" fn step(_: u32, round: &mut FrameRound<'_>) -> u64 {
    let message = round.message;
    let window = round.window;
    let talk = &mut *round.talk;
    let at = talk.cursor;
    if talk.phase == HeadPhase::Block as u8 {
        return look(message, talk, at);
    }
    if talk.phase != HeadPhase::Frame as u8 || at >= window {
        return 1;
    }
    let Some(byte) = message.byte(at) else {
        return 1;
    };
    talk.cursor = at + 1;
    talk.name_len += 1;
    if talk.name_len < FRAME_LEN {
        talk.name[0] = talk.name[0] << 8 | u64::from(byte);
        return 0;
    }
    let head = talk.name[0];
    let stream = ((head as u32) << 8 | u32::from(byte)) & 0x7fff_ffff;
    frame(
        talk,
        at + 1,
        head >> 40,
        head >> 32 & 0xff,
        head >> 24 & 0xff,
        stream,
    );
    u64::from(talk.phase == HeadPhase::Blind as u8)
}

/// The head of a frame was read, whose payload has this length and begins at `at`.
#[inline(always)]
fn frame(talk: &mut Talk, at: u32, len: u64, kind: u64, flags: u64, stream: u32) {
    let is_first = talk.has_settings == 0;
    talk.has_settings = 1;
    if is_first && kind != SETTINGS || kind == CONTINUATION {
        talk.phase = HeadPhase::Blind as u8;
        return;
    }
    if kind == HEADERS && stream > talk.stream {
        talk.stream = stream;
        talk.phase = HeadPhase::Block as u8;
        talk.length = len;
        talk.digits = flags as u32;
        talk.block_end = at + len as u32;
        return;
    }
    next_frame(talk);
    talk.cursor = at + len as u32;
}

/// Names by which a request may name its trace, where they are told in full: as they are, and by
/// Huffman's code (RFC 7541, appendix B), or as much of that as no other name begins with.
const NAMES: [[u8; 8]; 9] = [
    *b"tracepar",
    *b"tracesta",
    *b"x-b3-tra",
    *b"uber-tra",
    *b"x-amzn-t",
    [0x4d, 0x83, 0x21, 0x6b, 0x1d, 0x85, 0xa9, 0x3f],
    [0xf2, 0xb4, 0x6c, 0xac, 0x9b, 0x06, 0x42, 0x9a],
    [0xb6, 0x32, 0xd8, 0xb2, 0x6c, 0x19, 0x0a, 0xb1],
    [0xf2, 0xb0, 0xe9, 0xf7, 0x52, 0xc9, 0xb0, 0x64],
];
/// The same of `b3`, with its length, and of the part of `tracestate` that a length begins.
const SHORT_NAMES: [u32; 3] = [0x02_62_33, 0x82_8d_9f, 0x87_4d_83];

/// Looks whether a name begins here.
#[inline(always)]
fn look(message: SentMessage, talk: &mut Talk, at: u32) -> u64 {
    if at >= talk.block_end {
        return 1;
    }
    if message.byte(at).is_none() {
        return 1;
    }
    talk.cursor = at + 1;
    if let Some(word) = message.word(at)
        && is_name(word)
    {
        talk.has_context = 1;
        return 1;
    }
    let [Some(a), Some(b), Some(c)] =
        [message.byte(at), message.byte(at + 1), message.byte(at + 2)]
    else {
        return 0;
    };
    let short = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
    if short == SHORT_NAMES[0] || short == SHORT_NAMES[1] || short == SHORT_NAMES[2] {
        talk.has_context = 1;
        return 1;
    }
    0
}

#[inline(always)]
fn is_name(word: u64) -> bool {
    let mut index = 0;
    let mut is_one = false;
    while index < NAMES.len() {
        is_one |= word == u64::from_le_bytes(NAMES[index]);
        index += 1;
    }
    is_one
}

/// A block begins in this message, and was looked at as far as it can be seen. Returns by how much
/// the message is longer now; `None` where its frame is looked at no further.
#[inline(always)]
fn block_sent(message: SentMessage, talk: &mut Talk, size: u32) -> Result<Option<u32>, NotDone> {
    let len = talk.length as u32;
    let begins = talk.block_end.wrapping_sub(len);
    let reason = if talk.has_context != 0 {
        Carried::NamesTraces
    } else if begins > FRAME_LEN && talk.block_end > HEAD_MAX && talk.block_end <= size {
        block_apart(message, talk);
        return Ok(None);
    } else if begins < FRAME_LEN
        || talk.block_end > size
        || talk.cursor < talk.block_end
        || u64::from(talk.digits) & END_HEADERS == 0
    {
        Carried::SplitBlock
    } else {
        return insert(message, talk, begins, len, size).map(Some);
    };
    let _ = headers::leave(talk, reason);
    Ok(None)
}

/// Inserts the field at the end of the block, if it may be. Returns by how much the message is
/// longer now.
#[inline(always)]
fn insert(
    message: SentMessage,
    talk: &mut Talk,
    begins: u32,
    len: u32,
    size: u32,
) -> Result<u32, NotDone> {
    let declined = |reason| {
        count_carried(reason);
        Ok(0)
    };
    if !headers::knows_position(message, talk) {
        return declined(Carried::EarlyBytes);
    }
    let padding = if u64::from(talk.digits) & PADDED != 0 {
        1 + u32::from(message.byte(begins).unwrap_or(u8::MAX))
    } else {
        0
    };
    if padding > len || u64::from(len + LITERAL_LEN) > FRAME_MAX {
        return declined(Carried::SplitBlock);
    }
    let (starts, position, stream) = (talk.starts, talk.position, talk.stream);
    let known = || context::of_stream(starts, position, stream);
    let Some(context) = headers::context_by(known) else {
        return declined(Carried::NoContext);
    };
    // The length of the padding itself stands before the block.
    let at = talk.block_end - padding.saturating_sub(1);
    let head_at = begins - FRAME_LEN;
    if !room::make(message, at, LITERAL_LEN, 0, size)? {
        return declined(Carried::NoMemory);
    }
    let head = message.word(head_at).ok_or(NotDone)?;
    let told =
        (head as u32 & 0xff) << 16 | (head as u32 >> 8 & 0xff) << 8 | head as u32 >> 16 & 0xff;
    if told != len {
        return Err(NotDone);
    }
    let new = (len + LITERAL_LEN).swap_bytes() >> 8;
    message.write(head_at, [head & !0xff_ffff | u64::from(new)])?;
    let span_id = client_span_id(talk.starts, OF_STREAM | u64::from(talk.stream));
    field::write_literal(message, at, &context, span_id)?;
    room::was_filled(message, LITERAL_LEN);
    count_carried(Carried::Literal);
    Ok(LITERAL_LEN)
}
