//! One frame after the other: what its header asks for, and what is known of it where it was not
//! captured whole. Header blocks and DATA are read elsewhere.

use super::super::PREFACE;
use super::super::frame::{HEADER_BYTES, Header, flag, kind};
use super::super::hpack::LearntHeaders;
use super::{BlockState, Frames, ParserPlace, is_pushed, told};
use crate::http2::part::{Part, What};
use crate::parser::{Crossed, Gap, Parsed};
use crate::stream::HELD_BYTES_MAX;

/// Number of SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;

/// What is read of a GOAWAY frame: the last stream and the error code.
const GOAWAY_BYTES: usize = 8;

impl Frames {
    pub(super) fn frame(&mut self, buf: &[u8], learnt: Option<&mut LearntHeaders>) -> Parsed<Part> {
        let common = buf.len().min(PREFACE.len());
        if buf[0] == PREFACE[0] && buf[..common] == PREFACE[..common] {
            if common < PREFACE.len() {
                return Parsed::Incomplete;
            }
            self.begin();
            self.has_begun = true;
            return Parsed::Skipped {
                consumed: PREFACE.len(),
            };
        }
        let Some(header) = Header::read(buf) else {
            return Parsed::Incomplete;
        };
        if !header.is_valid() || !self.is_in_order(&header) {
            return Parsed::Invalid;
        }
        match header.kind {
            kind::DATA => self.begin_data(header, buf),
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                if header.frame_len() > HELD_BYTES_MAX {
                    return self.give_up_block(header);
                }
                match self.whole(header, buf) {
                    Some(payload) => self.headers(header, payload, learnt),
                    None => Parsed::Incomplete,
                }
            }
            kind::RST_STREAM => match self.whole(header, buf) {
                Some([a, b, c, d]) => told(
                    header,
                    What::Aborted {
                        code: u32::from_be_bytes([*a, *b, *c, *d]),
                    },
                    true,
                ),
                _ => Parsed::Incomplete,
            },
            kind::SETTINGS if header.len > 0 && header.frame_len() <= HELD_BYTES_MAX => {
                match self.whole(header, buf) {
                    Some(payload) => settings(header, payload),
                    None => Parsed::Incomplete,
                }
            }
            kind::GOAWAY => self.going_away(header, buf),
            _ => self.pass_over(header, 0),
        }
    }

    /// Between the frames of a header block there are none but those (RFC 9113 §6.10).
    pub(super) fn is_in_order(&self, header: &Header) -> bool {
        let is_continuation = header.kind == kind::CONTINUATION;
        match self.block.state {
            BlockState::None => !is_continuation,
            BlockState::Perhaps => true,
            BlockState::Open | BlockState::Pushed | BlockState::Broken => {
                is_continuation && u64::from(header.stream) == self.block.stream
            }
        }
    }

    /// The payload of a frame, if all of it is there; else what it wants is noted.
    pub(super) fn whole<'b>(&mut self, header: Header, buf: &'b [u8]) -> Option<&'b [u8]> {
        let payload = buf.get(HEADER_BYTES..header.frame_len());
        if payload.is_none() {
            self.wanted = Some((header.frame_len() - buf.len()) as u64);
        }
        payload
    }

    /// Takes the header of a frame and `taken` bytes of its payload; the rest is skipped.
    pub(super) fn pass_over(&mut self, header: Header, taken: usize) -> Parsed<Part> {
        self.skip(header.len - taken as u32);
        Parsed::Skipped {
            consumed: HEADER_BYTES + taken,
        }
    }

    pub(super) fn skip(&mut self, left: u32) {
        self.place = match left {
            0 => ParserPlace::Frame,
            left => ParserPlace::Skip { left },
        };
    }

    pub(super) fn going_away(&mut self, header: Header, buf: &[u8]) -> Parsed<Part> {
        let Some(&[a, b, c, d, ..]) = buf
            .get(HEADER_BYTES..HEADER_BYTES + GOAWAY_BYTES)
            .and_then(|payload| payload.first_chunk::<GOAWAY_BYTES>())
        else {
            self.wanted = Some((header.frame_len() - buf.len()) as u64);
            return Parsed::Incomplete;
        };
        self.skip(header.len - GOAWAY_BYTES as u32);
        Parsed::Message {
            message: Part {
                stream: u64::from(u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff),
                what: What::GoingAway,
                ends: false,
            },
            consumed: HEADER_BYTES + GOAWAY_BYTES,
        }
    }

    /// A gap within a frame whose header was seen, or before one.
    pub(super) fn cross_frame(
        &mut self,
        pending: &[u8],
        gap: Gap,
        learnt: Option<&mut LearntHeaders>,
    ) -> Crossed<Part> {
        let Some(header) = Header::read(pending) else {
            return Crossed::Lost;
        };
        let left = (header.frame_len() as u64)
            .checked_sub(pending.len() as u64)
            .and_then(|left| left.checked_sub(gap.len));
        let Some(left) = left else {
            return Crossed::Lost;
        };
        self.skip(left as u32);
        match header.kind {
            kind::HEADERS if !is_pushed(header.stream) => {
                let whole = block_start(&header, &pending[HEADER_BYTES..]);
                let what = self.decode(whole, learnt, true);
                self.decoder.missed_blocks();
                self.break_block(&header);
                Crossed::Ended(Part {
                    stream: header.stream.into(),
                    what: what.unwrap_or(What::Unclear),
                    ends: header.has(flag::END_STREAM),
                })
            }
            kind::HEADERS | kind::PUSH_PROMISE | kind::CONTINUATION => {
                self.decoder.missed_blocks();
                self.break_block(&header);
                Crossed::Over
            }
            // Its first byte is not known, so neither is how much of it is padding.
            kind::DATA => Crossed::Ended(Part {
                stream: header.stream.into(),
                what: What::Data {
                    start: 0,
                    len: 0,
                    missed: header.len.into(),
                },
                ends: header.has(flag::END_STREAM),
            }),
            kind::RST_STREAM => Crossed::Ended(Part {
                stream: header.stream.into(),
                what: What::Aborted { code: 0 },
                ends: true,
            }),
            _ => Crossed::Over,
        }
    }
}

fn settings(header: Header, payload: &[u8]) -> Parsed<Part> {
    let table_size = payload.chunks_exact(6).rev().find_map(|setting| {
        let [i0, i1, v0, v1, v2, v3] = *setting.first_chunk()?;
        (u16::from_be_bytes([i0, i1]) == HEADER_TABLE_SIZE)
            .then(|| u32::from_be_bytes([v0, v1, v2, v3]))
    });
    match table_size {
        Some(size) => told(header, What::TableSize(size), false),
        None => Parsed::Skipped {
            consumed: header.frame_len(),
        },
    }
}

/// What is there of a header block whose frame was cut.
fn block_start<'b>(header: &Header, payload: &'b [u8]) -> &'b [u8] {
    let before =
        usize::from(header.has(flag::PADDED)) + if header.has(flag::PRIORITY) { 5 } else { 0 };
    payload.get(before..).unwrap_or(&[])
}
