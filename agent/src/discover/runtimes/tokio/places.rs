//! Where tasks are bound to their runtime and values put into channels, and in which registers what
//! is wanted is there. Generic functions are compiled for each type, and inlined or not as the
//! compiler likes, so that all code is looked through for the few instructions that bind a task.

use std::collections::BTreeMap;

use wirespan_common::tokio::{OTHERS_MAX, OtherRegisters};

use crate::arch::tokio::{Binding, Putting, bindings, may_bind};
use crate::discover::tls::image::{Damaged, Image};
use crate::discover::tls::symbols::{self, Symbol};

/// Bytes of code that are looked through, and how many at a time.
const TEXT_LEN_MAX: u64 = 256 << 20;
const PIECE_LEN: usize = 128 * 1024;
/// Bytes of the instructions that are looked for.
const FOUND_LEN: usize = 16;
/// TaskPlaces that look like it, and bytes of the functions that they are in, all together.
const CANDIDATES_MAX: usize = 4096;
const FUNCTIONS_LEN_MAX: u64 = 8 << 20;

/// All places.
pub(super) struct TaskPlaces {
    /// Where tasks are bound.
    pub bound: Vec<Binding>,
    /// Where values are put into channels.
    pub put: Vec<Putting>,
    /// The register that most of the former have.
    pub born_register: u8,
    /// The same of the latter.
    pub put_register: u8,
    /// Those which have another one.
    pub others: OtherRegisters,
}

impl TaskPlaces {
    /// Leaves out those of which the kernel side can't be told the register.
    pub fn new(mut bound: Vec<Binding>, put: Vec<Putting>) -> Option<Self> {
        let born_register = most_frequent(bound.iter().map(|it| it.header)).unwrap_or(0);
        let put_register = most_frequent(put.iter().map(|it| it.slot)).unwrap_or(0);
        // The unusual ones first, so that no usual one is taken for one of them.
        bound.sort_unstable_by_key(|it| it.header == born_register);
        let unusual = |it: &Putting| it.slot != put_register;
        let (mut unusual_put, mut put): (Vec<_>, Vec<_>) = put.into_iter().partition(unusual);
        let mut others = Vec::new();
        unusual_put.retain(|it| is_told(&mut others, it.jump, it.slot, put_register));
        bound.retain(|it| is_told(&mut others, it.jump, it.header, born_register));
        put.retain(|it| is_told(&mut others, it.jump, it.slot, put_register));
        put.extend(unusual_put);
        Some(Self {
            bound,
            put,
            born_register,
            put_register,
            others: OtherRegisters::new(&others)?,
        })
    }
}

/// Where tasks are bound anywhere in the code, in the way that `known` does.
pub(super) fn bound_anywhere(image: &Image<'_>, known: Binding) -> Result<Vec<Binding>, Damaged> {
    let Some(text) = image.section(".text") else {
        return Ok(Vec::new());
    };
    if text.place.len > TEXT_LEN_MAX {
        return Ok(Vec::new());
    }
    let mut candidates = Vec::new();
    let mut piece = vec![0; PIECE_LEN + FOUND_LEN];
    for part in symbols::parts(text.place, PIECE_LEN) {
        let end = text.place.offset + text.place.len;
        let len = (part.len + FOUND_LEN as u64).min(end - part.offset) as usize;
        let piece = &mut piece[..len];
        image
            .read_into(part.offset, piece)
            .ok_or(Damaged("its code can't be read"))?;
        let found = piece.windows(FOUND_LEN).enumerate();
        let found = found.filter(|(_, code)| may_bind(code, known.id));
        let at = text.address + (part.offset - text.place.offset);
        candidates.extend(found.map(|(index, _)| at + index as u64));
        if candidates.len() > CANDIDATES_MAX {
            return Ok(Vec::new());
        }
    }
    let functions = symbols::around(image, ".symtab", &candidates)?;
    let mut len_left = FUNCTIONS_LEN_MAX;
    let mut found = Vec::new();
    for function in functions {
        let Some(left) = len_left.checked_sub(function.len) else {
            break;
        };
        len_left = left;
        if let Some(code) = code_of(image, &function) {
            found.extend(bindings(&code, function.address));
        }
    }
    found.retain(|it| (it.vtable, it.id) == (known.vtable, known.id));
    Ok(found)
}

/// All code of a function.
pub(super) fn code_of<T>(image: &Image<'_>, function: &Symbol<T>) -> Option<Vec<u8>> {
    let offset = image.code_offset(function.address, function.len)?;
    let len = function.len.min(FUNCTIONS_LEN_MAX);
    image.read(offset, len as usize)
}

/// Whether the kernel side can be told of a probe that it finds something in a register: it is the
/// usual one or there is room in `others`, and no two of them are taken for each other.
fn is_told(others: &mut Vec<(u64, u8)>, address: u64, register: u8, usual: u8) -> bool {
    let is_same = |(other, _): &(u64, u8)| (other ^ address) & 0xfff == 0;
    match others.iter().find(|other| is_same(other)) {
        Some((_, other)) => *other == register,
        None if register == usual => true,
        None if others.len() < OTHERS_MAX => {
            others.push((address, register));
            true
        }
        None => false,
    }
}

/// What most of them are.
fn most_frequent<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(most.0)
}
