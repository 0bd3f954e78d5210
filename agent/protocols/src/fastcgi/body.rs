//! What is behind a head, either way: records whose content is passed over, and whose framing a gap
//! may take. It knows neither which kinds they are of nor how a body ends.

use crate::parser::{Gap, Parsed};

use super::record::RecordHeader;

/// A body that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordBody {
    /// The number of its request.
    pub request: u16,
    /// Bytes of content and of padding that are to come of the present record.
    pub left: usize,
    /// Bytes of the body, those of the present record among them.
    pub size: u64,
    /// Framing was lost in a gap: the end is looked for.
    pub is_adrift: bool,
}

impl RecordBody {
    /// Moves over bytes that nobody captured, behind `pending` ones that were not taken.
    pub fn cross(&mut self, pending: &[u8], gap: Gap) {
        let left = u64::try_from(self.left).unwrap_or(u64::MAX);
        self.is_adrift |= gap.len > left || !pending.is_empty();
        self.left -= usize::try_from(left.min(gap.len)).unwrap_or(0);
    }

    /// Takes what has come of the present record; `None` between records.
    pub fn skip<T>(&mut self, buf: &[u8]) -> Option<Parsed<T>> {
        if self.left == 0 {
            return None;
        }
        let consumed = self.left.min(buf.len());
        self.left -= consumed;
        Some(Parsed::Skipped { consumed })
    }

    /// The header of the next record, which has to be one of the same request; else what became of
    /// the bytes.
    pub fn next<T>(&self, buf: &[u8]) -> Result<RecordHeader, Parsed<T>> {
        match RecordHeader::read(buf) {
            Some(Some(header)) if header.request == self.request => Ok(header),
            Some(None) => Err(Parsed::Incomplete),
            Some(Some(_)) | None => Err(Parsed::Invalid),
        }
    }
}

/// Passes over bytes without `wanted`, but for the last ones, where it may begin.
pub(super) fn skipped_but_for_begun<T>(buf: &[u8], wanted: &[u8]) -> Parsed<T> {
    let is_begun = |kept: &usize| buf.ends_with(&wanted[..*kept]);
    let kept = (1..wanted.len()).rev().find(is_begun).unwrap_or(0);
    match buf.len() - kept {
        0 => Parsed::Incomplete,
        consumed => Parsed::Skipped { consumed },
    }
}
