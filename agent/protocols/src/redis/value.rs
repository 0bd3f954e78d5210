//! Values of RESP2 and RESP3 (Redis serialization protocol specification): lines, lengths, and a
//! scan that passes over whole values, however they are nested, by counting. It keeps nothing that
//! a value holds.

use crate::parser::Gap;

/// Bytes of a line that holds a number; longer ones are none.
const NUMBER_BYTES_MAX: usize = 32;
/// Aggregates of unknown length within each other that are followed.
const STREAMED_MAX: usize = 8;
/// Values that a message may have: more than anybody sends.
const VALUES_MAX: u64 = 1 << 40;
/// Values of an aggregate of unknown length that are to come.
const ENDLESS: u64 = u64::MAX;

/// The line that `buf` begins with, without its end, and its length with that; `None` if it goes
/// on.
pub fn line(buf: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', buf)?;
    let text = &buf[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
}

/// A line that begins with a sign of its type and goes on with a length or a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// So many, and the bytes of the line.
    Of(u64, usize),
    /// There is no value (`-1`).
    Null(usize),
    /// Nobody knows yet (`?`).
    Streamed(usize),
    /// The line goes on.
    Partial,
    /// It is no such line.
    Invalid,
}

/// Reads the line at the start of `buf`, whose first byte is not looked at.
pub fn number(buf: &[u8]) -> Number {
    let Some((text, len)) = line(&buf[..buf.len().min(NUMBER_BYTES_MAX)]) else {
        let digits = &buf[1..];
        let may_go_on = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'?' | b'\r');
        return if buf.len() < NUMBER_BYTES_MAX && digits.iter().all(may_go_on) {
            Number::Partial
        } else {
            Number::Invalid
        };
    };
    match text.get(1..).unwrap_or_default() {
        b"-1" => Number::Null(len),
        b"?" => Number::Streamed(len),
        digits => match decimal(digits) {
            Some(number) => Number::Of(number, len),
            None => Number::Invalid,
        },
    }
}

/// A decimal number without sign, of 18 digits at most.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let add = |number: u64, digit: &u8| number * 10 + u64::from(digit - b'0');
    is_number.then(|| digits.iter().fold(0, add))
}

/// What became of bytes that were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// So many were, and the values go on.
    GoesOn(usize),
    /// The values ended with them.
    Ended(usize),
    /// More are needed to go on.
    Incomplete,
    /// They are no values.
    Invalid,
}

/// Values that are being passed over.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Values to come, or [`ENDLESS`] within an aggregate of unknown length, which a sign ends.
    left: u64,
    /// The same of what such aggregates are in.
    outer: [u64; STREAMED_MAX],
    depth: usize,
    /// Bytes of a string to come, with the end of its line.
    bytes: u64,
    /// It comes in pieces.
    in_pieces: bool,
    /// Nothing else than strings with a length is right: what clients send.
    strings_only: bool,
    passed: u64,
}

impl Scan {
    /// So many values.
    pub fn values(count: u64) -> Option<Self> {
        (count <= VALUES_MAX).then(|| Self {
            left: count,
            ..Self::default()
        })
    }

    /// So many strings with a length.
    pub fn strings(count: u64) -> Self {
        Self {
            left: count,
            strings_only: true,
            ..Self::default()
        }
    }

    /// One string of so many bytes, of which the line with the length was passed.
    pub fn string(len: u64) -> Self {
        Self {
            left: 1,
            bytes: len.saturating_add(2),
            ..Self::default()
        }
    }

    /// One string in pieces.
    pub fn pieces() -> Self {
        Self {
            left: 1,
            in_pieces: true,
            ..Self::default()
        }
    }

    /// What an aggregate of unknown length holds.
    pub fn streamed() -> Self {
        Self {
            left: ENDLESS,
            depth: 1,
            outer: [1; STREAMED_MAX],
            ..Self::default()
        }
    }

    /// Bytes that were passed over.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Bytes of the string to come.
    pub fn bytes_left(&self) -> Option<u64> {
        (self.bytes > 0).then_some(self.bytes)
    }

    /// Passes over what of the values is in `buf`.
    pub fn skip(&mut self, buf: &[u8]) -> PassedOver {
        let mut at = 0;
        let progress = loop {
            if self.bytes > 0 {
                let here = usize::try_from(self.bytes).map_or(buf.len(), |n| n.min(buf.len() - at));
                let here = here.min(buf.len() - at);
                let ends = here as u64 == self.bytes;
                at += here;
                self.bytes -= here as u64;
                if !ends {
                    break PassedOver::GoesOn(at);
                }
                if here >= 2 && !buf[..at].ends_with(b"\r\n") {
                    return PassedOver::Invalid;
                }
                self.string_ended();
            }
            if self.is_over() {
                break PassedOver::Ended(at);
            }
            if at == buf.len() {
                break PassedOver::GoesOn(at);
            }
            match self.begin_value(&buf[at..]) {
                ValueStart::Line(len) => at += len,
                ValueStart::Partial if at > 0 => break PassedOver::GoesOn(at),
                ValueStart::Partial => break PassedOver::Incomplete,
                ValueStart::Invalid => return PassedOver::Invalid,
            }
        };
        self.passed = self.passed.saturating_add(at as u64);
        progress
    }

    /// Passes over bytes that nobody saw; whether the values ended with them. `None` if they may
    /// have held a length.
    pub fn cross(&mut self, gap: Gap) -> Option<bool> {
        if gap.len > self.bytes {
            return None;
        }
        self.passed = self.passed.saturating_add(gap.len);
        self.bytes -= gap.len;
        if self.bytes == 0 {
            self.string_ended();
        }
        Some(self.is_over())
    }

    fn is_over(&self) -> bool {
        self.left == 0 && self.depth == 0 && self.bytes == 0
    }

    fn string_ended(&mut self) {
        if !self.in_pieces {
            self.value_ended();
        }
    }

    fn value_ended(&mut self) {
        if self.left != ENDLESS {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Adds what an aggregate holds; whether that is possible.
    fn add(&mut self, count: u64, each: u64) -> bool {
        let more = count.saturating_mul(each);
        if more > VALUES_MAX {
            return false;
        }
        if self.left != ENDLESS {
            self.left += more;
        }
        self.left == ENDLESS || self.left <= VALUES_MAX
    }

    /// Takes the line that a value begins with, or a piece, or the end of an aggregate.
    fn begin_value(&mut self, buf: &[u8]) -> ValueStart {
        let sign = buf[0];
        if self.in_pieces {
            return match (sign, number(buf)) {
                (b';', Number::Of(0, len)) => {
                    self.in_pieces = false;
                    self.value_ended();
                    ValueStart::Line(len)
                }
                (b';', Number::Of(piece, len)) => {
                    self.bytes = piece + 2;
                    ValueStart::Line(len)
                }
                (b';', Number::Partial) => ValueStart::Partial,
                _ => ValueStart::Invalid,
            };
        }
        match sign {
            b'$' | b'=' | b'!' if sign == b'$' || !self.strings_only => match number(buf) {
                Number::Of(string, len) => {
                    self.bytes = string + 2;
                    ValueStart::Line(len)
                }
                _ if self.strings_only && !matches!(number(buf), Number::Partial) => {
                    ValueStart::Invalid
                }
                Number::Null(len) => self.whole(len),
                Number::Streamed(len) => {
                    self.in_pieces = true;
                    ValueStart::Line(len)
                }
                Number::Partial => ValueStart::Partial,
                Number::Invalid => ValueStart::Invalid,
            },
            _ if self.strings_only => ValueStart::Invalid,
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => match line(buf) {
                Some((_, len)) => self.whole(len),
                None => ValueStart::Partial,
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => self.begin_aggregate(buf),
            b'.' if self.depth > 0 => match line(buf) {
                Some((text, len)) if text.len() == 1 => {
                    self.depth -= 1;
                    self.left = self.outer[self.depth];
                    self.whole(len)
                }
                None if matches!(buf, b"." | b".\r") => ValueStart::Partial,
                _ => ValueStart::Invalid,
            },
            _ => ValueStart::Invalid,
        }
    }

    fn begin_aggregate(&mut self, buf: &[u8]) -> ValueStart {
        let each = 1 + u64::from(matches!(buf[0], b'%' | b'|'));
        match number(buf) {
            Number::Of(count, len) => {
                if !self.add(count, each) {
                    return ValueStart::Invalid;
                }
                // What an attribute belongs to follows it.
                if buf[0] != b'|' {
                    self.value_ended();
                }
                ValueStart::Line(len)
            }
            Number::Null(len) => self.whole(len),
            Number::Streamed(len) => {
                let Some(outer) = self.outer.get_mut(self.depth) else {
                    return ValueStart::Invalid;
                };
                *outer = self.left;
                self.depth += 1;
                self.left = ENDLESS;
                ValueStart::Line(len)
            }
            Number::Partial => ValueStart::Partial,
            Number::Invalid => ValueStart::Invalid,
        }
    }

    fn whole(&mut self, len: usize) -> ValueStart {
        self.value_ended();
        ValueStart::Line(len)
    }
}

enum ValueStart {
    /// A line of so many bytes.
    Line(usize),
    Partial,
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_counted_and_not_remembered() {
        for text in [
            "$5\r\nhello\r\n",
            "*2\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+a\r\n~2\r\n#t\r\n,1.5\r\n",
            "|1\r\n+ttl\r\n:3\r\n*1\r\n=7\r\ntxt:abc\r\n",
            "*?\r\n:1\r\n*2\r\n:2\r\n_\r\n%?\r\n+a\r\n(12\r\n.\r\n.\r\n",
            "*1\r\n$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
            "*-1\r\n",
            "*0\r\n",
        ] {
            for cut in 0..text.len() {
                let mut scan = Scan::values(1).expect("few");
                let mut held = text.as_bytes()[..cut].to_vec();
                if !held.is_empty() {
                    match scan.skip(&held) {
                        PassedOver::GoesOn(taken) => drop(held.drain(..taken)),
                        PassedOver::Incomplete => {}
                        other => panic!("{text:?} at {cut}: {other:?}"),
                    }
                }
                held.extend_from_slice(&text.as_bytes()[cut..]);
                let len = held.len();
                held.extend_from_slice(b":1\r\n");
                assert_eq!(
                    scan.skip(&held),
                    PassedOver::Ended(len),
                    "{text:?} at {cut}"
                );
            }
        }
    }

    #[test]
    fn depth_costs_nothing_where_lengths_are_known() {
        let text = "*1\r\n".repeat(100_000) + ":1\r\n";
        let mut scan = Scan::values(1).expect("few");
        assert_eq!(scan.skip(text.as_bytes()), PassedOver::Ended(text.len()));
        let endless = "*?\r\n".repeat(STREAMED_MAX + 1);
        let mut scan = Scan::values(1).expect("few");
        assert_eq!(scan.skip(endless.as_bytes()), PassedOver::Invalid);
    }

    #[test]
    fn counts_without_sense_are_refused() {
        for text in [
            "*99999999999999999\r\n",
            "$x\r\n",
            "*-2\r\n",
            "?",
            "$1\r\nabc",
        ] {
            let mut scan = Scan::values(1).expect("few");
            assert_eq!(scan.skip(text.as_bytes()), PassedOver::Invalid, "{text:?}");
        }
    }
}
