//! One direction for who checks what every parser promises. Parts of one body tell how long they
//! are, so that they can be put together.

use super::parser::{Frames, Search};
use super::part::{Part, What};
use crate::parser::{Crossed, Flow, Gap, Parsed};
use crate::probe::{Probe, ProbeFound};

/// It finds out by itself which way it goes.
pub fn probe(_flow: Flow) -> Box<dyn Probe> {
    Box::new(Frames::default())
}

impl Probe for Frames {
    fn offer(&mut self, buf: &[u8]) -> Parsed<ProbeFound> {
        Frames::parse(self, buf, None).map(found)
    }

    fn miss(&mut self, pending: &[u8], gap: Gap) -> Crossed<ProbeFound> {
        let len = self.bytes_left().map_or(gap.len, |left| left.min(gap.len));
        let gap = Gap {
            len: len.max(1),
            ..gap
        };
        Frames::cross(self, pending, gap, None).map(found)
    }

    fn resume(&mut self, buf: &[u8]) -> Option<usize> {
        match self.find(&buf[1..], false) {
            Search::At(at) => {
                self.lose();
                Some(at + 1)
            }
            Search::Maybe | Search::Nowhere => None,
        }
    }
}

fn found(part: Part) -> ProbeFound {
    let data = match &part.what {
        What::Data { len, .. } => Some((part.stream, *len as u64)),
        _ => None,
    };
    ProbeFound {
        said: match data {
            Some(_) => String::new(),
            None => format!("{part:?}"),
        },
        is_end: part.ends,
        data,
    }
}
