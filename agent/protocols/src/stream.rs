//! One direction of a connection: chunks to contiguous bytes or gaps, and when which byte moved.
//! It reads no bytes, and orders nothing: what comes late, or twice, is dropped.

use crate::heap;
use crate::parser::Gap;
use crate::transport::{Chunk, Extent};

/// Bytes of an incomplete message that are kept for one direction.
pub const HELD_BYTES_MAX: usize = 64 * 1024;

/// Calls whose times are remembered for bytes that nobody has consumed yet.
pub const MARKS_MAX: usize = 32;

/// A buffer that held more than this is not kept for later.
const HELD_BYTES_KEPT: usize = 4 * 1024;

/// What a chunk adds to its stream, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Bytes between the last chunk and this one.
    pub before: Option<Gap>,
    /// Bytes behind all that came earlier.
    pub bytes: &'a [u8],
    /// Bytes of the call that were not captured.
    pub after: Option<Gap>,
}

/// A byte: where in its stream it stands, when it moved, and who moved it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes of the stream before it.
    pub position: u64,
    /// When the call returned.
    pub time_ns: u64,
    /// Which thread called; 0 if that was not captured.
    pub tid: u32,
}

/// A call.
#[derive(Clone, Copy, Debug, Default)]
struct MovedIn {
    time_ns: u64,
    tid: u32,
}

#[derive(Clone, Copy, Debug)]
struct CallMark {
    /// One past the last byte that moved then.
    end: u64,
    call: MovedIn,
}

/// One direction. Its owner takes the bytes held, lets a parser have them together with those that
/// arrived, advances the stream by what was consumed and gives the rest back.
#[derive(Debug, Default)]
pub struct Stream {
    /// Position of the first byte that was not consumed.
    cursor: u64,
    /// Bytes from `cursor` on.
    held: Vec<u8>,
    /// The furthest that was ever told; behind the end of what is held, or of no interest.
    ahead: Extent,
    /// In order of `end`; all of them beyond `cursor`.
    marks: Vec<CallMark>,
    /// Of the furthest mark there ever was.
    last: MovedIn,
}

impl Stream {
    /// Takes notice of a chunk: what of it is new. The gaps and bytes returned are to be passed on
    /// and [`Stream::advance`]d over, or held.
    pub fn chunk<'a>(&mut self, chunk: &Chunk<'a>) -> Arrival<'a> {
        let end = self.end();
        let chunk_end = chunk.position.saturating_add(chunk.len);
        if chunk_end <= end {
            return Arrival {
                before: None,
                bytes: &[],
                after: None,
            };
        }
        let before = (chunk.position > end).then(|| {
            let told = self.ahead.position == chunk.position;
            if self.ahead.position > end && self.ahead.position <= chunk.position {
                self.mark(self.ahead.position, self.ahead.last_ns, 0);
            }
            Gap {
                len: chunk.position - end,
                tail: self.ahead.tail,
                tail_len: if told { self.ahead.tail_len } else { 0 },
                lost: chunk.after_loss,
            }
        });
        self.mark(chunk_end, chunk.time_ns, chunk.tid);

        let start = chunk.position.max(end);
        let captured = clamped(chunk.bytes, chunk_end - chunk.position);
        let bytes = usize::try_from(start - chunk.position)
            .ok()
            .and_then(|known| captured.get(known..))
            .unwrap_or(&[]);
        let uncaptured = chunk_end - start - bytes.len() as u64;
        let after = (uncaptured > 0).then_some(Gap {
            len: uncaptured,
            tail: chunk.tail,
            tail_len: chunk.tail_len,
            lost: false,
        });
        Arrival {
            before,
            bytes,
            after,
        }
    }

    /// Takes notice of how far the stream is; whether that is news.
    pub fn extent(&mut self, extent: &Extent) -> bool {
        let news = extent.position > self.reach();
        if news {
            self.ahead = *extent;
        }
        news
    }

    /// The bytes between the end of what arrived and the furthest extent, `len_max` at most. To be
    /// advanced over at once.
    pub fn take_ahead(&mut self, len_max: u64) -> Option<Gap> {
        let whole = self.ahead.position.saturating_sub(self.end());
        let len = whole.min(len_max);
        (len > 0).then(|| {
            self.mark(self.ahead.position, self.ahead.last_ns, 0);
            Gap {
                len,
                tail: self.ahead.tail,
                tail_len: if len == whole { self.ahead.tail_len } else { 0 },
                lost: false,
            }
        })
    }

    /// Position of the first byte that was not consumed.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// How far the stream is known to have come.
    #[must_use]
    pub fn reach(&self) -> u64 {
        self.end().max(self.ahead.position)
    }

    /// When the last byte moved that is known of.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        if self.ahead.position > self.end() {
            self.ahead.last_ns.max(self.last.time_ns)
        } else {
            self.last.time_ns
        }
    }

    /// When the byte at `position` moved; `cursor` and later only.
    #[must_use]
    pub fn moved_at(&self, position: u64) -> Moved {
        let mut marks = self.marks.iter();
        let MovedIn { time_ns, tid } = marks
            .find(|mark| mark.end > position)
            .map_or(self.last, |mark| mark.call);
        Moved {
            position,
            time_ns,
            tid,
        }
    }

    /// Moves the cursor over bytes or a gap.
    pub fn advance(&mut self, len: u64) {
        self.cursor = self.cursor.saturating_add(len);
        let is_passed = |mark: &CallMark| mark.end <= self.cursor;
        // As a rule all are.
        if self.marks.last().is_none_or(is_passed) {
            self.marks.clear();
        } else {
            let passed = self.marks.iter().take_while(|mark| is_passed(mark)).count();
            self.marks.drain(..passed);
        }
    }

    /// Drops what is held and goes on where the stream is now.
    pub fn skip_to_reach(&mut self) {
        let len = self.reach() - self.cursor;
        self.last.time_ns = self.last_ns();
        self.held.clear();
        self.advance(len);
    }

    /// Whether bytes are held.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<u8>(self.held.capacity()) + heap::vec::<CallMark>(self.marks.capacity())
    }

    /// Bytes that there is room for without growing.
    #[must_use]
    pub fn held_room(&self) -> usize {
        self.held.capacity()
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held_len(&self) -> u64 {
        self.held.len() as u64
    }

    /// Hands out the bytes that are held; [`Stream::hold`] must follow.
    #[must_use]
    pub fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Keeps the bytes from the cursor on, and with them the allocation.
    pub fn hold(&mut self, mut held: Vec<u8>) {
        if held.is_empty() && held.capacity() > HELD_BYTES_KEPT {
            held = Vec::new();
        }
        self.held = held;
    }

    fn end(&self) -> u64 {
        self.cursor.saturating_add(self.held.len() as u64)
    }

    fn mark(&mut self, end: u64, time_ns: u64, tid: u32) {
        if self.marks.last().is_some_and(|mark| mark.end >= end) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            // The first stays, for the start of a message; its neighbours become a little late.
            self.marks.remove(1);
        }
        let call = MovedIn { time_ns, tid };
        self.last = call;
        self.marks.push(CallMark { end, call });
    }
}

/// No more bytes than the call moved.
fn clamped(bytes: &[u8], len: u64) -> &[u8] {
    match usize::try_from(len) {
        Ok(len) => bytes.get(..len).unwrap_or(bytes),
        Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Direction;

    fn chunk(position: u64, len: u64, bytes: &[u8]) -> Chunk<'_> {
        Chunk {
            direction: Direction::Ingress,
            position,
            len,
            bytes,
            tail: *b"abcdefgh",
            tail_len: 8,
            time_ns: position.saturating_add(1),
            tid: 7,
            after_loss: false,
        }
    }

    fn lens(arrival: &Arrival<'_>) -> (u64, usize, u64) {
        let len = |gap: Option<Gap>| gap.map_or(0, |gap| gap.len);
        (len(arrival.before), arrival.bytes.len(), len(arrival.after))
    }

    #[test]
    fn what_came_before_is_dropped_and_what_is_missing_is_a_gap() {
        let mut stream = Stream::default();
        assert_eq!(lens(&stream.chunk(&chunk(0, 4, b"0123"))), (0, 4, 0));
        stream.advance(4);
        assert_eq!(lens(&stream.chunk(&chunk(2, 4, b"2345"))), (0, 2, 0));
        stream.advance(2);
        assert_eq!(lens(&stream.chunk(&chunk(0, 6, b"012345"))), (0, 0, 0));
        assert_eq!(lens(&stream.chunk(&chunk(9, 5, b"9ab"))), (3, 3, 2));
        stream.advance(8);
        assert_eq!(stream.reach(), 14);
    }

    #[test]
    fn a_jump_after_a_loss_is_told_from_one_that_was_meant() {
        let mut stream = Stream::default();
        let mut jumped = chunk(5, 1, b"x");
        jumped.after_loss = true;
        let gap = stream.chunk(&jumped).before.expect("a gap");
        assert!(gap.lost);
        assert_eq!(gap.tail(), b"");
    }

    #[test]
    fn an_extent_gives_a_gap_its_tail_and_its_time() {
        let mut stream = Stream::default();
        let told = Extent {
            position: 10,
            last_ns: 99,
            tail: *b"...0\r\n\r\n",
            tail_len: 5,
        };
        assert!(stream.extent(&told));
        assert!(!stream.extent(&told), "told before");
        let part = stream.take_ahead(4).expect("a part");
        assert_eq!((part.len, part.tail()), (4, &b""[..]));
        stream.advance(4);
        let rest = stream.take_ahead(u64::MAX).expect("the rest");
        assert_eq!((rest.len, rest.tail()), (6, &b"0\r\n\r\n"[..]));
        assert_eq!(stream.moved_at(9).time_ns, 99);

        let mut jumped = Stream::default();
        jumped.extent(&told);
        let gap = jumped.chunk(&chunk(10, 1, b"x")).before.expect("a gap");
        assert_eq!(gap.tail(), b"0\r\n\r\n");
    }

    #[test]
    fn the_first_and_the_last_byte_keep_their_times_however_many_calls_there_are() {
        let mut stream = Stream::default();
        for position in 0..1000 {
            stream.chunk(&chunk(position, 1, b"x"));
            let mut held = stream.take_held();
            held.push(b'x');
            stream.hold(held);
        }
        assert_eq!(stream.moved_at(0).time_ns, 1);
        assert_eq!(stream.moved_at(999).time_ns, 1000);
        assert!(stream.marks.len() <= MARKS_MAX);
    }

    #[test]
    fn numbers_at_the_end_of_their_range_do_no_harm() {
        let mut stream = Stream::default();
        let arrival = stream.chunk(&chunk(u64::MAX - 1, u64::MAX, b"xyz"));
        assert_eq!(lens(&arrival), (u64::MAX - 1, 1, 0));
        stream.advance(u64::MAX);
        stream.advance(u64::MAX);
        assert_eq!(lens(&stream.chunk(&chunk(u64::MAX, 9, b"x"))), (0, 0, 0));
    }
}
