//! DATA frames: how far their payloads go, and what of it is padding. Payloads are passed on as
//! they come.

use super::super::frame::{HEADER_BYTES, Header, flag};
use super::{Frames, ParserPlace, is_pushed};
use crate::http2::part::{Part, What};
use crate::parser::Parsed;

impl Frames {
    pub(super) fn begin_data(&mut self, header: Header, buf: &[u8]) -> Parsed<Part> {
        let mut taken = HEADER_BYTES;
        let mut padding = 0;
        let mut left = header.len;
        if header.has(flag::PADDED) {
            let Some(&len) = buf.get(HEADER_BYTES) else {
                self.wanted = Some(header.len.into());
                return Parsed::Incomplete;
            };
            padding = u32::from(len);
            taken += 1;
            left -= 1;
            if padding > left {
                return Parsed::Invalid;
            }
            left -= padding;
        }
        if is_pushed(header.stream) {
            return self.pass_over(header, taken - HEADER_BYTES);
        }
        self.place = ParserPlace::Data {
            stream: header.stream.into(),
            left,
            padding,
            ends: header.has(flag::END_STREAM),
        };
        self.data(taken, buf)
    }

    /// Takes what there is of the payload, from `start` on.
    pub(super) fn data(&mut self, start: usize, buf: &[u8]) -> Parsed<Part> {
        let ParserPlace::Data {
            stream,
            left,
            padding,
            ends,
        } = self.place
        else {
            return Parsed::Invalid;
        };
        let there = buf.len() - start;
        let of_data = there.min(left as usize);
        let of_padding = (there - of_data).min(padding as usize);
        let is_over = self.go_on(
            stream,
            left - of_data as u32,
            padding - of_padding as u32,
            ends,
        );
        Parsed::Message {
            message: Part {
                stream,
                what: What::Data {
                    start,
                    len: of_data,
                    missed: 0,
                },
                ends: is_over && ends,
            },
            consumed: start + of_data + of_padding,
        }
    }

    /// Whether the frame is over.
    pub(super) fn go_on(&mut self, stream: u64, left: u32, padding: u32, ends: bool) -> bool {
        let is_over = left == 0 && padding == 0;
        self.place = if is_over {
            ParserPlace::Frame
        } else {
            ParserPlace::Data {
                stream,
                left,
                padding,
                ends,
            }
        };
        is_over
    }
}
