//! The dynamic table (RFC 7541 §2.3.2 and §4), as far as it is known. Entries are counted from the
//! newest, so what is known needs no knowledge of what is older.

use std::ops::Range;

use crate::heap;

/// What an entry counts beyond its texts (§4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Bytes of entries, counted as the standard does, that are remembered for one direction of a
/// connection. A peer may use a larger table; what is older is then unknown.
pub const TABLE_SIZE_MAX: usize = 64 << 10;

/// What a table holds before anybody changes that (RFC 9113 §6.5.2).
pub(super) const SIZE_DEFAULT: usize = 4096;

/// How far the name of an entry is known. Its value was always seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameIs {
    Known,
    /// It is that of an entry which was not seen, and which has this place among those (see
    /// [`Listener`](super::listener::HpackListener)).
    Unseen(u64),
}

/// An entry, whose bytes stand in [`Table::bytes`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    at: u32,
    name_len: u32,
    value_len: u32,
    pub name_is: NameIs,
}

impl Entry {
    pub fn name(&self) -> Range<usize> {
        let at = self.at as usize;
        at..at + self.name_len as usize
    }

    /// §4.1; too small if the name is unknown.
    fn size(&self) -> usize {
        self.name_len as usize + self.value_len as usize + ENTRY_OVERHEAD
    }
}

#[derive(Debug)]
pub(super) struct Table {
    /// The texts of the entries, one behind the other, oldest first; before them those of evicted
    /// entries, behind them those of an entry that is being read.
    pub bytes: Vec<u8>,
    /// Oldest first. A plain vector is indexed faster than a ring.
    entries: Vec<Entry>,
    /// So many of them are evicted, the oldest ones: `evicted <= entries.len()`.
    evicted: usize,
    /// Sum over those that are not.
    size: usize,
    /// What the sender keeps the size under, once that is known.
    size_max: Option<usize>,
    /// Whether there may be entries older than these.
    older: bool,
    /// Entries whose name was not seen.
    nameless: usize,
    /// Insertions since the start of knowledge.
    pub inserted: u64,
}

impl Table {
    /// The table of a new connection.
    pub fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            evicted: 0,
            size: 0,
            size_max: Some(SIZE_DEFAULT),
            older: false,
            nameless: 0,
            inserted: 0,
        }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.evicted = 0;
        self.size = 0;
        self.size_max = None;
        self.older = true;
        self.nameless = 0;
        self.inserted = 0;
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        heap::vec::<u8>(self.bytes.capacity()) + heap::vec::<Entry>(self.entries.capacity())
    }

    /// Bytes of texts that it has room for.
    pub fn text_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether every entry that can be referred to was seen.
    pub fn is_complete(&self) -> bool {
        !self.older && self.nameless == 0
    }

    /// Entries that are known.
    pub fn len(&self) -> usize {
        self.entries.len() - self.evicted
    }

    /// The entry that is so many older than the newest.
    #[inline]
    pub fn entry(&self, age: usize) -> Option<&Entry> {
        // An age that no table has wraps to an index that is too large.
        let at = self.entries.len().wrapping_sub(age).wrapping_sub(1);
        self.entries.get(at).filter(|_| at >= self.evicted)
    }

    /// The name and the value of an entry; the name is empty if it was not seen.
    #[inline]
    pub fn texts(&self, entry: &Entry) -> (&[u8], &[u8]) {
        let texts = self.bytes.get(entry.at as usize..).unwrap_or_default();
        let (name, rest) = texts
            .split_at_checked(entry.name_len as usize)
            .unwrap_or_default();
        (
            name,
            rest.get(..entry.value_len as usize).unwrap_or_default(),
        )
    }

    /// Whether an entry of this age can exist at all. Each counts at least 32.
    pub fn can_reach(&self, age: usize) -> bool {
        let size_max = self
            .size_max
            .unwrap_or(super::integer::INTEGER_MAX as usize);
        self.older && age < size_max / ENTRY_OVERHEAD
    }

    /// Where an entry of this age stands among those that were inserted before anybody listened:
    /// the last one of them has place 0.
    pub fn place(&self, age: usize) -> u64 {
        (age as u64).wrapping_sub(self.inserted)
    }

    /// The text at a range that came from an [`Entry`].
    #[inline]
    pub fn text(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The sender changes the size (§4.3, §6.3).
    pub fn resize(&mut self, size_max: usize) {
        self.size_max = Some(size_max);
        self.evict();
        if size_max < ENTRY_OVERHEAD {
            self.older = false;
        }
    }

    /// Makes an entry of the bytes from `at` on, its name first (§4.4).
    pub fn insert(&mut self, at: usize, name_len: usize, name_is: NameIs) {
        let entry = Entry {
            at: at as u32,
            name_len: name_len as u32,
            value_len: (self.bytes.len() - at - name_len) as u32,
            name_is,
        };
        self.size += entry.size();
        self.nameless += usize::from(name_is != NameIs::Known);
        self.entries.push(entry);
        self.inserted += 1;
        self.evict();
        self.compact();
    }

    /// What the sender evicted is counted from the newest entry as well: if the entries down to
    /// this one do not fit, neither it nor anything older is there.
    fn evict(&mut self) {
        if let Some(size_max) = self.size_max
            && self.size > size_max
        {
            self.older = false;
            self.evict_to(size_max);
        }
        if self.size > TABLE_SIZE_MAX {
            self.older = true;
            self.evict_to(TABLE_SIZE_MAX);
        }
    }

    fn evict_to(&mut self, size_max: usize) {
        while self.size > size_max
            && let Some(entry) = self.entries.get(self.evicted)
        {
            self.evicted += 1;
            self.size -= entry.size();
            self.nameless -= usize::from(entry.name_is != NameIs::Known);
        }
    }

    /// Takes evicted entries away, once there are more of them than of others.
    fn compact(&mut self) {
        let Some(oldest) = self.entries.get(self.evicted) else {
            self.bytes.clear();
            self.entries.clear();
            self.evicted = 0;
            return;
        };
        let dead = oldest.at;
        if dead as usize > SIZE_DEFAULT && dead as usize > self.bytes.len() / 2 {
            self.bytes.drain(..dead as usize);
            self.entries.drain(..self.evicted);
            self.evicted = 0;
            for entry in &mut self.entries {
                entry.at -= dead;
            }
        }
    }
}
