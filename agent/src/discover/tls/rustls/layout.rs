//! What rustls's functions are given, read off their code. Rust promises no layout, and an
//! optimiser may hand over what a pointer points to in place of the pointer; so the first
//! instructions of a function have to show that they use their arguments as is believed, or it is
//! refused.

use super::super::image::Image;
use crate::arch::{Use, Value, uses_of_arguments};

/// How a function that takes from a `ChunkVecBuffer` is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffer {
    /// The first argument points to it.
    Direct,
    /// The first argument points to a `Reader`, whose first word points to it.
    ByReader,
}

/// What [`takes_from`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferTaken {
    pub buffer: Buffer,
    /// The function that was called or jumped to before anything was done, if any.
    pub by: Option<u64>,
}

/// Bytes of code that are read at a time.
const CODE_LEN: u64 = 512;

/// Whether the function at an address takes `OutboundChunks` by its second argument: it has to
/// compare word 0 with null and to compute a length as the difference of word 3 and word 2.
pub(super) fn takes_chunks(image: &Image<'_>, address: u64) -> bool {
    let mut is_tested = false;
    let mut is_subtracted = false;
    let code = |address| code(image, address);
    uses_of_arguments(address, code, |what| {
        is_tested |= what == Use::Null(Value::OfSecond(0));
        is_subtracted |= what == Use::Difference(Value::OfSecond(24), Value::OfSecond(16));
    });
    is_tested && is_subtracted
}

/// How the function at an address is given a `ChunkVecBuffer`, if it uses it as one: it has to read
/// the length of a chunk, word 2 of 3, in the ring that word 3 points to, and words 4 and 6.
pub(super) fn takes_from(image: &Image<'_>, address: u64) -> Option<BufferTaken> {
    let mut uses = Vec::new();
    let code = |address| code(image, address);
    let by = uses_of_arguments(address, code, |what| uses.push(what));
    let is_used = |of: fn(u64) -> Value| {
        uses.contains(&Use::Element(of(24), 16))
            && [24, 32, 48]
                .iter()
                .all(|at| uses.contains(&Use::Word(of(*at))))
    };
    let buffer = if is_used(Value::OfFirst) {
        Buffer::Direct
    } else if is_used(Value::OfInner) {
        Buffer::ByReader
    } else {
        return None;
    };
    Some(BufferTaken { buffer, by })
}

/// Code from an address on, as far as it is read at a time.
fn code(image: &Image<'_>, address: u64) -> Option<Vec<u8>> {
    let lens = [CODE_LEN, CODE_LEN / 4, 16];
    lens.into_iter().find_map(|len| {
        let offset = image.code_offset(address, len)?;
        image.read(offset, len as usize)
    })
}
