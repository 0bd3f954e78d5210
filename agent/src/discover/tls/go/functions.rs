//! Go's own table of functions (`.gopclntab`), which its runtime needs for stack traces and which
//! is therefore there when symbols were stripped. Sources of the layouts: `internal/abi/symtab.go`,
//! `runtime/symtab.go` (`pcHeader`, `functab`, `_func`), `debug/gosym/pclntab.go`.
//!
//! Addresses in it count from where Go's code begins (Go 1.18), and where that is stands in memory
//! that needs relocation, or nowhere (Go 1.26). So it is tried: from the begin of `.text` on, where
//! the C linker may have put something first, up to the place from which the functions sought, and
//! most of their neighbours, begin as Go functions do.

use std::collections::HashMap;

use super::super::image::{Damaged, FileRange, Image, u32_at, u64_at};
use super::super::symbols::{Symbol, each_string, parts};
use crate::arch::GO_INSTRUCTION_LEN_MIN;

/// The table, with its parts found.
#[derive(Debug)]
pub(in crate::discover) struct FunctionTable {
    layout: TableLayout,
    names: FileRange,
    /// Pairs of a function's begin and the place of what is known about it, then an end.
    pairs: FileRange,
    /// To which those places are relative.
    about: FileRange,
    /// Where the code begins, if the header tells.
    text_start: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TableLayout {
    /// Go 1.16 and 1.17: pairs of addresses.
    Addresses,
    /// Go 1.18 and later: pairs of 32-bit offsets.
    Offsets,
}

/// A function, before it is known where the code begins.
#[derive(Clone, Copy, Debug)]
pub(in crate::discover) struct UnplacedFunction<T> {
    /// `None` for a neighbour, which only helps to find that out.
    what: Option<T>,
    begin: u64,
    len: u64,
}

/// As many neighbours are kept. Of code that is full of functions, every thirtieth place may be the
/// begin of one, so that a few would not prove anything; nearly all of these begin as is known.
const NEIGHBOURS_MAX: usize = 32;

const HEADER_LEN: usize = 8 + 8 * 8;
/// Kubernetes has 150,000.
const FUNCTIONS_MAX: u64 = 2_000_000;
const NAMES_LEN_MAX: u64 = 256 << 20;
const PIECE_LEN: usize = 64 * 1024;
/// What is known about functions is read so much at a time, in the order of functions.
const WINDOW_LEN: u64 = 4096;
/// Code of the C start-up files before Go's, at most, and the alignment of what follows.
const START_UP_LEN_MAX: u64 = 1 << 20;
const ALIGNMENT: u64 = 16;

impl FunctionTable {
    /// Finds the table by the name of its section, or else by its first bytes.
    pub fn find(image: &Image<'_>) -> Result<Option<Self>, Damaged> {
        for name in [".gopclntab", ".data.rel.ro.gopclntab"] {
            if let Some(section) = image.section(name) {
                return Ok(Self::at(image, section.place));
            }
        }
        for name in [".data.rel.ro", ".rodata"] {
            let Some(section) = image.section(name) else {
                continue;
            };
            if let Some(table) = Self::search(image, section.place)? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    fn search(image: &Image<'_>, within: FileRange) -> Result<Option<Self>, Damaged> {
        let mut piece = vec![0; PIECE_LEN];
        let mut tried = 0;
        for part in parts(within, PIECE_LEN) {
            let piece = &mut piece[..part.len as usize];
            image
                .read_into(part.offset, piece)
                .ok_or(Damaged("its constants can't be read"))?;
            // The linker aligns it, so that it begins within a piece whole.
            for (index, head) in piece.chunks_exact(8).enumerate() {
                if !is_head(head) || tried == SEARCHED_MAX {
                    continue;
                }
                tried += 1;
                let skipped = part.offset - within.offset + index as u64 * 8;
                let rest = FileRange {
                    offset: within.offset + skipped,
                    len: within.len - skipped,
                };
                if let Some(table) = Self::at(image, rest) {
                    return Ok(Some(table));
                }
            }
        }
        Ok(None)
    }

    /// The table that begins at a place and ends with it at the latest.
    fn at(image: &Image<'_>, place: FileRange) -> Option<Self> {
        let header = image.read(place.offset, HEADER_LEN)?;
        if !is_head(&header[..8]) {
            return None;
        }
        let word = |index: usize| u64_at(&header, 8 + 8 * index);
        // Words behind the two counts: [where the code begins,] names, compilation units, files,
        // program counters, functions.
        let (layout, first) = match u32_at(&header, 0) {
            GO_1_16 => (TableLayout::Addresses, 2),
            _ => (TableLayout::Offsets, 3),
        };
        let (functions, names, behind_names, about) =
            (word(0), word(first), word(first + 1), word(first + 4));
        let part = |from: u64, until: u64| {
            (from < until && until <= place.len).then(|| FileRange {
                offset: place.offset + from,
                len: until - from,
            })
        };
        let pairs_len = functions
            .checked_mul(2)?
            .checked_add(1)?
            .checked_mul(layout.field_len())?;
        if functions == 0 || functions > FUNCTIONS_MAX {
            return None;
        }
        Some(Self {
            layout,
            names: part(names, behind_names).filter(|names| names.len <= NAMES_LEN_MAX)?,
            pairs: part(about, about.checked_add(pairs_len)?)?,
            about: part(about, place.len)?,
            text_start: if layout == TableLayout::Offsets {
                word(2)
            } else {
                0
            },
        })
    }

    /// Functions with these names, and some of those whose names begin with `neighbours`.
    pub fn look_up<T: Copy>(
        &self,
        image: &Image<'_>,
        wanted: &[(&str, T)],
        neighbours: &str,
    ) -> Result<Vec<UnplacedFunction<T>>, Damaged> {
        let mut names = HashMap::new();
        let mut neighbours_left = NEIGHBOURS_MAX;
        each_string(image, self.names, |end, string| {
            let at = end - string.len() as u64;
            if let Some((_, what)) = wanted.iter().find(|(name, _)| name.as_bytes() == string) {
                names.insert(at, Some(*what));
            } else if neighbours_left > 0 && string.starts_with(neighbours.as_bytes()) {
                neighbours_left -= 1;
                names.insert(at, None);
            }
        })?;
        let mut found = Vec::new();
        if names.values().all(Option::is_none) {
            return Ok(found);
        }
        let field = self.layout.field_len() as usize;
        let mut window = Window::default();
        let mut pairs = vec![0; PIECE_LEN];
        let mut last: Option<(Option<T>, u64)> = None;
        for part in parts(self.pairs, PIECE_LEN) {
            let pairs = &mut pairs[..part.len as usize];
            image
                .read_into(part.offset, pairs)
                .ok_or(Damaged("its table of functions can't be read"))?;
            for pair in pairs.chunks(2 * field) {
                let begin = self.layout.field(pair, 0);
                if let Some((what, from)) = last.take() {
                    found.push(UnplacedFunction {
                        what,
                        begin: from,
                        len: begin.saturating_sub(from),
                    });
                }
                if pair.len() < 2 * field || found.len() >= names.len() {
                    continue;
                }
                let about = self.layout.field(pair, 1);
                // `_func`: its begin, as in the pair, then its name.
                let name = window.u32_at(image, self.about, about.saturating_add(field as u64));
                let what = name.and_then(|name| names.get(&u64::from(name)));
                last = what.map(|what| (*what, begin));
            }
        }
        Ok(found)
    }

    /// The functions sought at their addresses; `None` if it can't be told where the code begins:
    /// where each of them is, or is not, a function that begins as is known (`is_function`).
    pub fn placed<T: Copy>(
        &self,
        image: &Image<'_>,
        found: &[UnplacedFunction<T>],
        is_function: impl Fn(Option<T>, u64) -> bool,
    ) -> Option<Vec<Symbol<T>>> {
        let is_function_at = |start: u64, found: &UnplacedFunction<T>| {
            let address = start.checked_add(found.begin);
            address.is_some_and(|address| is_function(found.what, address))
        };
        let sought = || found.iter().filter(|found| found.what.is_some());
        let fits = |start: &u64| {
            let fit = || found.iter().filter(|it| is_function_at(*start, it)).count();
            sought().all(|found| is_function_at(*start, found)) && fit() * 4 >= found.len() * 3
        };
        let start = match self.layout {
            TableLayout::Addresses => 0,
            TableLayout::Offsets if self.text_start != 0 && fits(&self.text_start) => {
                self.text_start
            }
            TableLayout::Offsets => {
                let text = image.section(".text")?;
                let mut starts = (0..text.place.len.min(START_UP_LEN_MAX))
                    .step_by(ALIGNMENT as usize)
                    .filter_map(|skipped| text.address.checked_add(skipped));
                starts.find(fits)?
            }
        };
        let placed = sought().filter_map(|found| {
            Some(Symbol {
                what: found.what?,
                address: start.checked_add(found.begin)?,
                len: found.len,
            })
        });
        Some(placed.collect())
    }
}

impl TableLayout {
    fn field_len(self) -> u64 {
        match self {
            Self::Addresses => 8,
            Self::Offsets => 4,
        }
    }

    fn field(self, pair: &[u8], index: usize) -> u64 {
        match self {
            Self::Addresses => u64_at(pair, index * 8),
            Self::Offsets => u64::from(u32_at(pair, index * 4)),
        }
    }
}

const GO_1_16: u32 = 0xffff_fffa;
const GO_1_18: u32 = 0xffff_fff0;
const GO_1_20: u32 = 0xffff_fff1;

/// Places that look like the table's first bytes, before giving up.
const SEARCHED_MAX: usize = 64;

/// Magic, two zeros, the smallest length of an instruction, pointers of eight.
fn is_head(head: &[u8]) -> bool {
    matches!(u32_at(head, 0), GO_1_16 | GO_1_18 | GO_1_20)
        && head[4..8] == [0, 0, GO_INSTRUCTION_LEN_MIN, 8]
}

/// A piece of a place that was read, because the next thing sought is near the last.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn u32_at(&mut self, image: &Image<'_>, within: FileRange, at: u64) -> Option<u32> {
        if at.checked_add(4)? > within.len {
            return None;
        }
        let end = self.at + self.bytes.len() as u64;
        if at < self.at || at + 4 > end {
            let len = WINDOW_LEN.min(within.len - at) as usize;
            self.bytes = image.read(within.offset + at, len)?;
            self.at = at;
        }
        Some(u32_at(&self.bytes, (at - self.at) as usize))
    }
}
