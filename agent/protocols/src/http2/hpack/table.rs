//! The dynamic table (RFC 7541 §2.3.2 and §4), as far as it is known. Entries are counted from the
//! newest, so what is known needs no knowledge of what is older.

use std::collections::VecDeque;
use std::ops::Range;

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
    Inferred,
    Unknown,
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

    pub fn value(&self) -> Range<usize> {
        let at = self.at as usize + self.name_len as usize;
        at..at + self.value_len as usize
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
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Sum over `entries`.
    size: usize,
    /// What the sender keeps the size under, once that is known.
    size_max: Option<usize>,
    /// Whether there may be entries older than these.
    older: bool,
    /// Insertions since the start of knowledge.
    pub inserted: u64,
}

impl Table {
    /// The table of a new connection.
    pub fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            size: 0,
            size_max: Some(SIZE_DEFAULT),
            older: false,
            inserted: 0,
        }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.size = 0;
        self.size_max = None;
        self.older = true;
        self.inserted = 0;
    }

    /// Whether every entry is known to be there or not.
    pub fn is_complete(&self) -> bool {
        !self.older
    }

    /// Entries that are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry that is so many older than the newest.
    #[inline]
    pub fn entry(&self, age: usize) -> Option<Entry> {
        let at = self.entries.len().checked_sub(age + 1)?;
        self.entries.get(at).copied()
    }

    /// Whether an entry of this age can exist at all. Each counts at least 32.
    pub fn can_reach(&self, age: usize) -> bool {
        let size_max = self
            .size_max
            .unwrap_or(super::integer::INTEGER_MAX as usize);
        self.older && age < size_max / ENTRY_OVERHEAD
    }

    /// The text at a place that came from an [`Entry`].
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
        self.entries.push_back(entry);
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
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.size();
        }
    }

    /// Takes the texts of evicted entries away, once they are more than those that are left.
    fn compact(&mut self) {
        let Some(oldest) = self.entries.front() else {
            return self.bytes.clear();
        };
        let dead = oldest.at;
        if dead as usize > SIZE_DEFAULT && dead as usize > self.bytes.len() / 2 {
            self.bytes.drain(..dead as usize);
            for entry in &mut self.entries {
                entry.at -= dead;
            }
        }
    }
}
