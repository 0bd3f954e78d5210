//! The head of a request of HTTP/1.x (RFC 9112), read across messages, byte by byte where names
//! are and in words where they are not. What is not as it should be makes a connection blind: none
//! of its bytes is looked at any more.

use wirespan_common::carriers::{HEAD_MAX, HeadPhase, NOWHERE, Talk};

use crate::memory::{SentMessage, repeat};

/// `HTTP/1.` and the line's end.
const VERSION_LEN: u32 = 10;
/// Content-Length with more digits than this is nobody's.
const DIGITS_MAX: u32 = 15;
/// In [`Talk::digits`]: blanks came behind them.
const ENDED: u32 = 1 << 8;

/// What a round works on.
struct HeadRound<'a> {
    message: SentMessage,
    talk: &'a mut Talk,
}

/// Whether a request begins with this message.
#[inline(always)]
pub fn begins(message: SentMessage) -> bool {
    let Some(word) = message.word(0) else {
        return false;
    };
    let is = |method: &[u8; 8], len: u32| {
        let mask = u64::MAX >> (64 - 8 * len);
        word & mask == u64::from_le_bytes(*method) & mask
    };
    is(b"GET     ", 4)
        || is(b"POST    ", 5)
        || is(b"PUT     ", 4)
        || is(b"HEAD    ", 5)
        || is(b"DELETE  ", 7)
        || is(b"PATCH   ", 6)
        || is(b"OPTIONS ", 8)
}

/// Nothing is known of the request that begins.
#[inline(always)]
pub fn begin(talk: &mut Talk) {
    next_name(talk);
    talk.phase = HeadPhase::Line as u8;
    talk.length = 0;
    talk.digits = 0;
    talk.lengths = 0;
    talk.head_len = 0;
    talk.has_context = 0;
    talk.is_last = 0;
}

/// Reads on from the message's first byte, until the head ends or the message does.
#[inline(always)]
pub fn read(message: SentMessage, talk: &mut Talk) {
    talk.cursor = 0;
    talk.empty_line = NOWHERE;
    talk.is_over = 0;
    let mut round = HeadRound { message, talk };
    repeat(HEAD_MAX, step, &mut round);
}

/// Looks at a byte, or at eight. Returns 1 where there is nothing more to look at.
extern "C" fn step(_: u32, round: &mut HeadRound<'_>) -> u64 {
    let message = round.message;
    let talk = &mut *round.talk;
    let at = talk.cursor;
    if at >= HEAD_MAX {
        return 1;
    }
    let phase = talk.phase;
    if phase == HeadPhase::Value as u8 || phase == HeadPhase::Line as u8 {
        return pass_line(message, talk, at);
    }
    let Some(byte) = message.byte(at) else {
        return 1;
    };
    talk.cursor = at + 1;
    if phase == HeadPhase::Name as u8 {
        name_byte(talk, byte, at);
    } else if phase == HeadPhase::Length as u8 {
        length_byte(talk, byte);
    } else {
        // HeadPhase::End
        talk.is_over = u8::from(byte == b'\n');
        if byte != b'\n' {
            talk.phase = HeadPhase::Blind as u8;
        }
        return 1;
    }
    u64::from(talk.phase == HeadPhase::Blind as u8)
}

/// Passes over what is left of a line.
#[inline(always)]
fn pass_line(message: SentMessage, talk: &mut Talk, at: u32) -> u64 {
    let Some(passed) = line_end(message, at, talk) else {
        return u64::from(message.byte(at).is_none());
    };
    if talk.phase == HeadPhase::Line as u8 && !names_version(message, passed) {
        talk.phase = HeadPhase::Blind as u8;
        return 1;
    }
    next_name(talk);
    0
}

/// Moves behind the line's end, if it is among the next bytes, and says where that is; else behind
/// them.
#[inline(always)]
fn line_end(message: SentMessage, at: u32, talk: &mut Talk) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let Some(word) = message.word(at) else {
        let byte = message.byte(at)?;
        talk.cursor = at + 1;
        return (byte == b'\n').then_some(at + 1);
    };
    // The lowest byte that is a line's end has its highest bit set.
    let differs = word ^ (b'\n' as u64 * ONES);
    let mut found = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
    if found == 0 {
        talk.cursor = at + 8;
        return None;
    }
    let mut end = at + 1;
    if found as u32 == 0 {
        end += 4;
        found >>= 32;
    }
    if found as u16 == 0 {
        end += 2;
        found >>= 16;
    }
    if found as u8 == 0 {
        end += 1;
    }
    talk.cursor = end;
    Some(end)
}

/// Whether a line that ends before `end` says that it is of HTTP/1.x.
#[inline(always)]
fn names_version(message: SentMessage, end: u32) -> bool {
    if end < VERSION_LEN {
        return false;
    }
    let version = message.word(end - VERSION_LEN);
    let is_known = |version| {
        version == u64::from_le_bytes(*b"HTTP/1.1") || version == u64::from_le_bytes(*b"HTTP/1.0")
    };
    version.is_some_and(is_known) && message.byte(end - 2) == Some(b'\r')
}

/// A line begins.
#[inline(always)]
fn next_name(talk: &mut Talk) {
    talk.phase = HeadPhase::Name as u8;
    talk.name = [0; 2];
    talk.name_len = 0;
}

/// A byte of a field's name, or one that ends it.
#[inline(always)]
fn name_byte(talk: &mut Talk, byte: u8, at: u32) {
    if byte == b':' {
        return judge(talk);
    }
    if byte == b'\r' && talk.name_len == 0 {
        talk.empty_line = at;
        talk.phase = HeadPhase::End as u8;
        return;
    }
    let is_blank = byte == b' ' || byte == b'\t';
    if byte == b'\r' || byte == b'\n' || is_blank && talk.name_len == 0 {
        // A line without a name, one that ends alone, or one that is continued: what others make of
        // it is not known.
        talk.phase = HeadPhase::Blind as u8;
        return;
    }
    if is_blank {
        return;
    }
    let byte = u64::from(byte | 0x20);
    if talk.name_len < 8 {
        talk.name[0] = talk.name[0] << 8 | byte;
    } else if talk.name_len < 16 {
        talk.name[1] = talk.name[1] << 8 | byte;
    }
    talk.name_len += 1;
}

/// A field's name has ended.
#[inline(always)]
fn judge(talk: &mut Talk) {
    let [first, second] = talk.name;
    let len = talk.name_len;
    talk.phase = HeadPhase::Value as u8;
    let names_trace = (first == word(b"tracepar") && len == 11)
        || first == word(b"tracesta")
        || first == word(b"x-b3-tra")
        || first == word(b"uber-tra")
        || first == word(b"x-amzn-t")
        || (first == u64::from(u16::from_be_bytes(*b"b3")) && len == 2);
    if names_trace {
        talk.has_context = 1;
    } else if first == word(b"content-") && second == word(b"\0\0length") && len == 14 {
        talk.phase = HeadPhase::Length as u8;
        talk.lengths = talk.lengths.saturating_add(1);
        if talk.lengths > 1 {
            talk.phase = HeadPhase::Blind as u8;
        }
    } else if first == word(b"transfer") && second == word(b"-encodin") && len == 17
        || first == word(b"\0upgrade") && len == 7
    {
        talk.is_last = 1;
    }
}

#[inline(always)]
const fn word(name: &[u8; 8]) -> u64 {
    u64::from_be_bytes(*name)
}

/// A byte of what Content-Length says.
#[inline(always)]
fn length_byte(talk: &mut Talk, byte: u8) {
    let digit = byte.wrapping_sub(b'0');
    if digit < 10 && talk.digits < DIGITS_MAX {
        talk.length = talk.length * 10 + u64::from(digit);
        talk.digits += 1;
    } else if byte == b' ' || byte == b'\t' {
        if talk.digits != 0 {
            talk.digits |= ENDED;
        }
    } else if byte == b'\r' && talk.digits != 0 {
        talk.phase = HeadPhase::Value as u8;
    } else {
        talk.phase = HeadPhase::Blind as u8;
    }
}
