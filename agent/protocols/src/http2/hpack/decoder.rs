//! The decoder of one direction of one connection. It keeps the dynamic table and a buffer; fields
//! are borrowed from these and from the block.

use super::error::HpackError;
use super::field::{Field, Text};
use super::learnt::LearntHeaders;
use super::listener::HpackListener;
use super::string::Coded;
use super::table::{NameIs, Table};
use super::{integer, static_table};
use crate::heap;

/// Names, values and 32 for each field (as RFC 9113 §6.5.2 counts) of one block.
pub const LIST_SIZE_MAX: usize = 256 << 10;

/// A buffer for more than this is not kept for later.
const SCRATCH_KEPT: usize = 4 * 1024;

/// What a field counts beyond its texts.
const FIELD_OVERHEAD: usize = 32;

/// Decodes header blocks in the order in which they were sent.
///
/// A block is the payload of a HEADERS or PUSH_PROMISE frame and of its CONTINUATION frames,
/// without padding, priority and promised stream. All blocks of a direction share one table,
/// whatever their stream.
///
/// Indices count from the newest entry, and entries leave the table in the order in which they
/// came. Whatever was inserted while somebody listened is therefore found under the index that is
/// sent, however much there is behind it. Nor need it be known when the sender evicts, and thus how
/// large its table is: it refers only to entries that are still there, so keeping more of them than
/// the sender does changes no meaning. What lies behind is reported as [`Text::Unknown`], or as
/// [`Text::Inferred`].
///
/// Memory: at most about 2 × [`TABLE_SIZE_MAX`](super::table::TABLE_SIZE_MAX) for the table, and as
/// much for a buffer as one field needs.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The largest table that the receiver ever allowed, if all that it said was seen.
    size_allowed: Option<usize>,
    /// Decoded texts that do not go into the table.
    scratch: Vec<u8>,
    listener: HpackListener,
}

impl Decoder {
    /// Will be shown the first header block of the connection and all after it.
    pub fn from_start() -> Self {
        Self {
            table: Table::empty(),
            size_allowed: Some(super::table::SIZE_DEFAULT),
            scratch: Vec::new(),
            listener: HpackListener::new(),
        }
    }

    /// Blocks were sent before: what they put into the table is unknown.
    pub fn joined() -> Self {
        let mut decoder = Self::from_start();
        decoder.missed_blocks();
        decoder
    }

    /// Blocks were lost, or cut: all that was known of the dynamic table is unknown from here on.
    pub fn missed_blocks(&mut self) {
        self.table.forget();
        self.listener.missed_blocks();
        self.size_allowed = None;
    }

    /// The receiver of the blocks announced this SETTINGS_HEADER_TABLE_SIZE, in bytes. Only the
    /// largest one counts: an observer cannot tell which of them the sender has heard of.
    pub fn allow_table_size(&mut self, size: u32) {
        if let Some(allowed) = &mut self.size_allowed {
            *allowed = (*allowed).max(size as usize);
        }
    }

    /// Bytes of heap that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
            + heap::vec::<u8>(self.scratch.capacity())
            + self.listener.heap_bytes()
    }

    /// Bytes of texts in the table.
    pub fn growing_bytes(&self) -> usize {
        self.table.text_bytes()
    }

    /// Whether every index can be resolved without [`LearntHeaders`].
    pub fn is_complete(&self) -> bool {
        self.table.is_complete()
    }

    /// Decodes a whole block, and reports its fields in order.
    ///
    /// # Errors
    /// See [`HpackError`]. The decoder then goes on as after [`Self::missed_blocks`]; fields that
    /// were reported before the error are right. A block that was cut ends with
    /// [`HpackError::Truncated`], or, where it was cut between two fields, with nothing: whoever
    /// knows that it was cut calls [`Self::missed_blocks`].
    pub fn decode(
        &mut self,
        block: &[u8],
        mut learnt: Option<&mut LearntHeaders>,
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        if let Some(learnt) = &mut learnt {
            self.listener.before(block, &self.table, learnt);
        }
        let inserted = self.table.inserted;
        let result = self.decode_block(block, emit);
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        if result.is_err() {
            self.missed_blocks();
        } else if let Some(learnt) = &mut learnt
            && inserted != self.table.inserted
        {
            let inserted = (self.table.inserted - inserted) as usize;
            self.listener.after(inserted, &self.table, learnt);
        }
        result
    }

    fn decode_block(
        &mut self,
        block: &[u8],
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let mut at = 0;
        let mut list = FieldList::default();
        while let Some(first) = block.get(at) {
            // §6: one bit up to four say which representation it is.
            // Indices are most of what there is.
            if *first >= 0x80 {
                let index = match *first {
                    0xff => integer::read(block, &mut at, 7)?,
                    small => {
                        at += 1;
                        usize::from(small & 0x7f)
                    }
                };
                let (name, value) = self.entry(index)?;
                list.field(name, value, false, emit)?;
                continue;
            }
            match first.leading_zeros() {
                1 => self.insertion(block, &mut at, &mut list, emit)?,
                2 => {
                    let size = integer::read(block, &mut at, 5)?;
                    let too_large = self.size_allowed.is_some_and(|allowed| size > allowed);
                    if list.size > 0 || too_large {
                        return Err(HpackError::SizeUpdate);
                    }
                    self.table.resize(size);
                }
                _ => self.literal(block, &mut at, &mut list, emit)?,
            }
        }
        Ok(())
    }

    /// What an index means.
    #[inline]
    fn entry(&self, index: usize) -> Result<(Text<'_>, Text<'_>), HpackError> {
        if let Some((name, value)) = static_table::entry(index) {
            return Ok((Text::Known(name), Text::Known(value)));
        }
        // 0 is far beyond.
        let age = index.wrapping_sub(static_table::LEN + 1);
        if let Some(entry) = self.table.entry(age) {
            let (name, value) = self.table.texts(entry);
            return Ok((self.name(entry.name_is, name), Text::Known(value)));
        }
        self.unseen_entry(age)
    }

    /// The name of an entry, which stands there if it was sent.
    #[inline]
    fn name<'a>(&'a self, name_is: NameIs, name: &'a [u8]) -> Text<'a> {
        match name_is {
            NameIs::Known => Text::Known(name),
            NameIs::Unseen(place) => self.unseen_name(place),
        }
    }

    #[cold]
    fn unseen_name(&self, place: u64) -> Text<'_> {
        let inferred = self.listener.inferred(place);
        inferred.map_or(Text::Unknown, |inferred| Text::Inferred(&inferred.name))
    }

    #[cold]
    fn unseen_entry(&self, age: usize) -> Result<(Text<'_>, Text<'_>), HpackError> {
        if !self.table.can_reach(age) {
            return Err(HpackError::Index);
        }
        Ok(match self.listener.inferred(self.table.place(age)) {
            Some(inferred) => {
                let value = inferred.value.as_deref();
                let value = value.map_or(Text::Unknown, Text::Inferred);
                (Text::Inferred(&inferred.name), value)
            }
            None => (Text::Unknown, Text::Unknown),
        })
    }

    /// A literal field that becomes the newest entry (§6.2.1). Its texts are decoded to where the
    /// table keeps them.
    fn insertion(
        &mut self,
        block: &[u8],
        at: &mut usize,
        list: &mut FieldList,
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let start = self.table.bytes.len();
        let name_is = match integer::read(block, at, 6)? {
            0 => {
                Coded::read(block, at)?.append_to(&mut self.table.bytes)?;
                NameIs::Known
            }
            index => self.append_name(index)?,
        };
        let middle = self.table.bytes.len();
        Coded::read(block, at)?.append_to(&mut self.table.bytes)?;
        let name = self.name(name_is, self.table.text(start..middle));
        let value = Text::Known(self.table.text(middle..self.table.bytes.len()));
        list.field(name, value, false, emit)?;
        self.table.insert(start, middle - start, name_is);
        Ok(())
    }

    /// Appends the name of an entry to the texts of the table.
    fn append_name(&mut self, index: usize) -> Result<NameIs, HpackError> {
        if let Some((name, _)) = static_table::entry(index) {
            self.table.bytes.extend_from_slice(name);
            return Ok(NameIs::Known);
        }
        let age = index.wrapping_sub(static_table::LEN + 1);
        if let Some(entry) = self.table.entry(age) {
            let (name_is, name) = (entry.name_is, entry.name());
            self.table.bytes.extend_from_within(name);
            return Ok(name_is);
        }
        match self.table.can_reach(age) {
            true => Ok(NameIs::Unseen(self.table.place(age))),
            false => Err(HpackError::Index),
        }
    }

    /// A literal field that is not kept (§6.2.2, §6.2.3).
    fn literal(
        &mut self,
        block: &[u8],
        at: &mut usize,
        list: &mut FieldList,
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let never_indexed = block.get(*at).is_some_and(|first| first & 0x10 != 0);
        self.scratch.clear();
        let index = integer::read(block, at, 4)?;
        let name = match index {
            0 => Some(Coded::read(block, at)?.place(&mut self.scratch)?),
            _ => None,
        };
        let value = Coded::read(block, at)?.place(&mut self.scratch)?;
        let name = match &name {
            Some(name) => Text::Known(name.text(block, &self.scratch)),
            None => self.entry(index)?.0,
        };
        let value = Text::Known(value.text(block, &self.scratch));
        list.field(name, value, never_indexed, emit)
    }
}

/// The fields of a block so far.
#[derive(Default)]
struct FieldList {
    /// As RFC 9113 §6.5.2 counts; what is unknown counts nothing.
    size: usize,
}

impl FieldList {
    #[inline]
    fn field(
        &mut self,
        name: Text<'_>,
        value: Text<'_>,
        never_indexed: bool,
        emit: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let len = |text: Text<'_>| text.bytes().map_or(0, <[u8]>::len);
        self.size += len(name) + len(value) + FIELD_OVERHEAD;
        if self.size > LIST_SIZE_MAX {
            return Err(HpackError::ListTooLong);
        }
        emit(Field {
            name,
            value,
            never_indexed,
        });
        Ok(())
    }
}
