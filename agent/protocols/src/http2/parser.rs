//! One direction of HTTP/2, frame by frame. Which direction it is shows in what it reads, so it
//! need not be told. Header blocks are decoded whole, DATA is passed over as it comes.

mod frame;
mod payload;

use super::frame::{HEADER_BYTES, Header, flag, kind};
use super::head::{Head, Memory};
use super::hpack::{Decoder, HpackError, LearntHeaders};
use super::part::{Part, What};
use super::proof::{Proof, block_of, prove};
use crate::heap;
use crate::parser::{Crossed, Gap, Parsed};

/// Bytes of a header block that comes in several frames.
pub const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// A block's buffer that held more than this is not kept for later.
const BLOCK_BYTES_KEPT: usize = 4 * 1024;

/// Reads one direction.
#[derive(Debug)]
pub struct Frames {
    place: ParserPlace,
    decoder: Decoder,
    memory: Memory,
    block: Block,
    /// Bytes that the frame last called incomplete still needs.
    wanted: Option<u64>,
    /// The preface was read.
    has_begun: bool,
    /// A header block was.
    has_blocks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParserPlace {
    /// Before a frame header.
    Frame,
    /// In the payload of a DATA frame.
    Data {
        stream: u64,
        left: u32,
        padding: u32,
        ends: bool,
    },
    /// In a payload that nobody asks for.
    Skip { left: u32 },
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug, Default)]
struct Block {
    state: BlockState,
    bytes: Vec<u8>,
    stream: u64,
    ends: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum BlockState {
    /// There is none.
    #[default]
    None,
    /// It is gathered.
    Open,
    /// The same, but what it promises is of no interest.
    Pushed,
    /// Part of it was not captured.
    Broken,
    /// There may be one whose start was not seen.
    Perhaps,
}

impl Default for Frames {
    /// In the middle of a connection.
    fn default() -> Self {
        Self {
            place: ParserPlace::Frame,
            decoder: Decoder::joined(),
            memory: Memory::default(),
            block: Block {
                state: BlockState::Perhaps,
                ..Block::default()
            },
            wanted: None,
            has_begun: false,
            has_blocks: false,
        }
    }
}

/// The promises are those of a [`Parser`](crate::parser::Parser), but for these: it keeps its
/// framing over a gap that ends within a frame; bodies are told in parts, as they come.
impl Frames {
    /// Looks for one part at the start of `buf`; `buf` is never empty.
    #[inline]
    pub fn parse(&mut self, buf: &[u8], learnt: Option<&mut LearntHeaders>) -> Parsed<Part> {
        self.wanted = None;
        match self.place {
            ParserPlace::Frame => self.frame(buf, learnt),
            ParserPlace::Data { .. } => self.data(0, buf),
            ParserPlace::Skip { left } => {
                let consumed = buf.len().min(left as usize);
                self.skip(left - consumed as u32);
                Parsed::Skipped { consumed }
            }
        }
    }

    /// Moves over bytes that nobody captured, no more than [`Frames::bytes_left`] says; `pending`
    /// are the bytes directly before them that were last called incomplete. [`Crossed::Cut`] is
    /// never returned.
    pub fn cross(
        &mut self,
        pending: &[u8],
        gap: Gap,
        learnt: Option<&mut LearntHeaders>,
    ) -> Crossed<Part> {
        self.wanted = None;
        match self.place {
            ParserPlace::Data {
                stream,
                left,
                padding,
                ends,
            } => {
                let len = u32::try_from(gap.len).unwrap_or(u32::MAX);
                let of_data = len.min(left);
                let of_padding = (len - of_data).min(padding);
                let is_over = self.go_on(stream, left - of_data, padding - of_padding, ends);
                Crossed::Ended(Part {
                    stream,
                    what: What::Data {
                        start: 0,
                        len: 0,
                        missed: of_data.into(),
                    },
                    ends: is_over && ends,
                })
            }
            ParserPlace::Skip { left } => {
                self.skip(left.saturating_sub(gap.len.try_into().unwrap_or(u32::MAX)));
                Crossed::Over
            }
            ParserPlace::Frame => self.cross_frame(pending, gap, learnt),
        }
    }

    /// Bytes behind those that were offered with which the frame under way certainly ends.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        match self.place {
            ParserPlace::Data { left, padding, .. } => Some(u64::from(left) + u64::from(padding)),
            ParserPlace::Skip { left } => Some(left.into()),
            ParserPlace::Frame => self.wanted,
        }
    }

    /// After framing was lost: finds the start of a frame, and proves it. `is_start`: the bytes are
    /// those of one call from its first one on.
    #[must_use]
    pub fn find(&self, buf: &[u8], is_start: bool) -> Search {
        match prove(buf) {
            Proof::Frames(_) => return Search::At(0),
            // Calls begin and end where frames do, as a rule.
            Proof::Whole if is_start => return Search::At(0),
            Proof::Open if is_start => return Search::Maybe,
            Proof::Whole | Proof::Open | Proof::None => {}
        }
        (1..buf.len().saturating_sub(HEADER_BYTES))
            .find(|&at| matches!(prove(&buf[at..]), Proof::Frames(_)))
            .map_or(Search::Nowhere, Search::At)
    }

    /// Framing is lost: forgets what was begun.
    pub fn lose(&mut self) {
        self.place = ParserPlace::Frame;
        self.wanted = None;
        self.block.state = BlockState::Perhaps;
        self.block.bytes.clear();
        self.decoder.missed_blocks();
    }

    /// Nothing was sent before: what this parser will be shown is everything.
    pub fn begin(&mut self) {
        if self.has_blocks {
            return;
        }
        self.decoder = Decoder::from_start();
        self.block.state = BlockState::None;
    }

    /// Whether it read what every connection begins with.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes notice of what the other direction said about this one.
    pub fn hear(&mut self, what: &What) {
        if let What::TableSize(size) = what {
            self.decoder.allow_table_size(*size);
        }
    }

    /// Bytes of a block that is gathered, and of the table.
    #[must_use]
    pub fn growing_bytes(&self) -> usize {
        self.block.bytes.capacity() + self.decoder.growing_bytes()
    }

    /// Bytes of heap that it takes. Asked after each call, so nothing is walked for it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<u8>(self.block.bytes.capacity())
            + self.decoder.heap_bytes()
            + self.memory.heap_bytes()
    }
}

/// Where in bytes of unknown framing a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Here, for certain.
    At(usize),
    /// At the very start, as far as can be seen: ask again with more bytes behind them.
    Maybe,
    /// Nowhere that could be proved.
    Nowhere,
}

fn told(header: Header, what: What, ends: bool) -> Parsed<Part> {
    Parsed::Message {
        message: Part {
            stream: header.stream.into(),
            what,
            ends,
        },
        consumed: header.frame_len(),
    }
}

// === header blocks ===

impl Frames {
    fn headers(
        &mut self,
        header: Header,
        payload: &[u8],
        learnt: Option<&mut LearntHeaders>,
    ) -> Parsed<Part> {
        let skipped = Parsed::Skipped {
            consumed: header.frame_len(),
        };
        let is_last = header.has(flag::END_HEADERS);
        let Some(fragment) = block_of(&header, payload) else {
            return Parsed::Invalid;
        };
        if header.kind == kind::CONTINUATION {
            return self.go_on_block(header, fragment, learnt);
        }
        let is_pushed = header.kind == kind::PUSH_PROMISE || is_pushed(header.stream);
        if !is_last {
            self.block.state = if is_pushed {
                BlockState::Pushed
            } else {
                BlockState::Open
            };
            self.block.stream = header.stream.into();
            self.block.ends = header.kind == kind::HEADERS && header.has(flag::END_STREAM);
            self.block.bytes.clear();
            self.block.bytes.extend_from_slice(fragment);
            return skipped;
        }
        self.block.state = BlockState::None;
        if header.stream == 1 && !self.has_blocks && begins_request(fragment) {
            // The first stream of a client: nothing was sent before, whoever listened.
            self.decoder = Decoder::from_start();
        }
        let ends = header.has(flag::END_STREAM);
        match self.decode(fragment, learnt, false) {
            Some(_) if is_pushed => skipped,
            Some(what) => told(header, what, ends),
            None => Parsed::Invalid,
        }
    }

    fn go_on_block(
        &mut self,
        header: Header,
        fragment: &[u8],
        learnt: Option<&mut LearntHeaders>,
    ) -> Parsed<Part> {
        let state = self.block.state;
        let is_last = header.has(flag::END_HEADERS);
        if is_last {
            self.block.state = BlockState::None;
        }
        let skipped = Parsed::Skipped {
            consumed: header.frame_len(),
        };
        match state {
            BlockState::None => return Parsed::Invalid,
            BlockState::Perhaps | BlockState::Broken => return skipped,
            BlockState::Open | BlockState::Pushed => {}
        }
        if self.block.bytes.len() + fragment.len() > BLOCK_BYTES_MAX {
            return Parsed::Invalid;
        }
        self.block.bytes.extend_from_slice(fragment);
        if !is_last {
            return skipped;
        }
        let block = std::mem::take(&mut self.block.bytes);
        let what = self.decode(&block, learnt, false);
        if block.capacity() <= BLOCK_BYTES_KEPT {
            self.block.bytes = block;
        }
        let ends = self.block.ends;
        match what {
            Some(_) if state == BlockState::Pushed => skipped,
            Some(what) => told(header, what, ends),
            None => Parsed::Invalid,
        }
    }

    /// `None` if the block is an attack.
    fn decode(
        &mut self,
        block: &[u8],
        learnt: Option<&mut LearntHeaders>,
        is_cut: bool,
    ) -> Option<What> {
        self.has_blocks = true;
        let mut head = Head::new(&mut self.memory);
        let decoded = self
            .decoder
            .decode(block, learnt, &mut |field| head.take(field));
        match decoded {
            Ok(()) => Some(head.finish(is_cut)),
            Err(HpackError::ListTooLong | HpackError::StringTooLong) => None,
            // What was read before stands.
            Err(_) => Some(head.finish(true)),
        }
    }

    /// A frame of a header block that is longer than what is kept.
    fn give_up_block(&mut self, header: Header) -> Parsed<Part> {
        self.decoder.missed_blocks();
        self.block.bytes.clear();
        self.break_block(&header);
        self.skip(header.len);
        Parsed::Message {
            message: Part {
                stream: header.stream.into(),
                what: What::Unclear,
                ends: header.kind == kind::HEADERS && header.has(flag::END_STREAM),
            },
            consumed: HEADER_BYTES,
        }
    }

    fn break_block(&mut self, header: &Header) {
        self.block.stream = header.stream.into();
        self.block.state = if header.has(flag::END_HEADERS) {
            BlockState::None
        } else {
            BlockState::Broken
        };
    }
}

/// Whether the first field is one that only requests have (RFC 7541 appendix A, 1 to 7). They stand
/// before all others.
fn begins_request(block: &[u8]) -> bool {
    let index = block.first().map(|first| match first.leading_zeros() {
        0 => first & 0x7f,
        1 => first & 0x3f,
        _ => first & 0x0f,
    });
    index.is_some_and(|index| (1..=7).contains(&index))
}

/// Streams that a server opens have even numbers (RFC 9113 §5.1.1).
fn is_pushed(stream: u32) -> bool {
    stream.is_multiple_of(2)
}
