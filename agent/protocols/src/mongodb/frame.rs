//! Messages: the header that all have, how much of one is looked at, and the rest of it, which is
//! passed over. All numbers are little-endian.

use crate::message::{BodyEnd, Then};
use crate::parser::{Crossed, Gap, Parsed};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Most bytes that a server takes (`maxMessageSizeBytes`).
pub const MESSAGE_BYTES_MAX: u32 = 48_000_000;

/// Bytes of a message that are looked at: names stand at its beginning.
pub const HEAD_BYTES_MAX: usize = 2048;

/// `MsgHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// Bytes of the message, these included.
    pub len: u32,
    /// Of this message.
    pub id: u32,
    /// The id of the request that it answers; 0 in requests.
    pub answers: u32,
    /// What kind of message it is.
    pub opcode: Opcode,
}

/// Kinds of messages that are spoken today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A command, or an answer to one.
    Msg,
    /// A message that is compressed.
    Compressed,
    /// A question in the older form.
    Query,
    /// Its answer.
    Reply,
}

/// What begins here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// A message.
    Message(MessageHeader),
    /// Perhaps one.
    NotYet,
    /// None.
    No,
}

/// What the bytes begin with.
#[must_use]
pub fn begins(buf: &[u8]) -> Begins {
    let number = |at: usize| {
        let bytes = buf.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let Some(len) = number(0) else {
        return Begins::NotYet;
    };
    if !(HEADER_BYTES as u32..=MESSAGE_BYTES_MAX).contains(&len) {
        return Begins::No;
    }
    let (Some(id), Some(answers), Some(opcode)) = (number(4), number(8), number(12)) else {
        return Begins::NotYet;
    };
    let opcode = match opcode {
        2013 => Opcode::Msg,
        2012 => Opcode::Compressed,
        2004 => Opcode::Query,
        1 => Opcode::Reply,
        _ => return Begins::No,
    };
    let header = MessageHeader {
        len,
        id,
        answers,
        opcode,
    };
    Begins::Message(header)
}

impl MessageHeader {
    /// Bytes from the beginning of the message that are looked at.
    #[must_use]
    pub fn head_len(&self) -> usize {
        (self.len as usize).min(HEAD_BYTES_MAX)
    }
}

/// A message of which all is there that is looked at.
#[derive(Debug)]
pub struct MessageHead<'a> {
    /// Its header.
    pub header: MessageHeader,
    /// What is looked at, from the header on.
    pub bytes: &'a [u8],
    /// What is not.
    pub rest: Remainder,
}

impl MessageHead<'_> {
    /// What comes behind it.
    pub fn then(&self) -> Then {
        if self.rest.is_empty() {
            Then::Done
        } else {
            Then::Body
        }
    }
}

/// The head that `buf` begins with, if a message with such a header goes this way.
///
/// # Errors
/// What a parser says of the bytes instead.
pub fn head<T>(
    buf: &[u8],
    goes_this_way: impl FnOnce(MessageHeader) -> bool,
) -> Result<MessageHead<'_>, Parsed<T>> {
    let header = match begins(buf) {
        Begins::Message(header) if goes_this_way(header) => header,
        Begins::NotYet => return Err(Parsed::Incomplete),
        Begins::Message(_) | Begins::No => return Err(Parsed::Invalid),
    };
    let bytes = buf.get(..header.head_len()).ok_or(Parsed::Incomplete)?;
    let rest = Remainder::behind(header);
    Ok(MessageHead {
        header,
        bytes,
        rest,
    })
}

/// The part of a message that is passed over.
#[derive(Debug, Default)]
pub struct Remainder {
    bytes: u64,
}

impl Remainder {
    /// Begins behind the head of a message.
    pub fn behind(header: MessageHeader) -> Self {
        Self {
            bytes: u64::from(header.len) - header.head_len() as u64,
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes to come.
    pub fn left(&self) -> Option<u64> {
        (self.bytes > 0).then_some(self.bytes)
    }

    /// Passes over bytes of it.
    pub fn parse<T>(&mut self, buf: &[u8], end: impl FnOnce(BodyEnd) -> T) -> Parsed<T> {
        let consumed = usize::try_from(self.bytes).map_or(buf.len(), |left| left.min(buf.len()));
        self.bytes -= consumed as u64;
        if self.bytes > 0 {
            return Parsed::Skipped { consumed };
        }
        Parsed::Message {
            message: end(BodyEnd::default()),
            consumed,
        }
    }

    /// Passes over bytes of it that nobody saw.
    pub fn cross<T>(&mut self, gap: Gap, end: impl FnOnce(BodyEnd) -> T) -> Crossed<T> {
        if gap.len > self.bytes {
            self.bytes = 0;
            return Crossed::Lost;
        }
        self.bytes -= gap.len;
        if self.bytes > 0 {
            Crossed::Over
        } else {
            Crossed::Ended(end(BodyEnd::default()))
        }
    }
}
