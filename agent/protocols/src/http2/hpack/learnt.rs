//! What connections between the same two programs have in common. It infers what an index meant
//! before somebody listened, from connections that were heard from their start; it never changes
//! what was sent.
//!
//! Programs fill the dynamic table in the order in which they first send things, and a library
//! always sends its fields in the same order. What real ones insert besides (deadlines, dates)
//! moves the indices, but neither the order of the fields nor the distances between the first
//! entries.
//!
//! **Evidence.** (1) An *order* is the names of a block. Where all orders that fit what is known of
//! a block agree on the rest, these are its names; a field that was always sent by an index of the
//! static table is not one that is sent by another. (2) Fields that say which program speaks how
//! (`CONSTANTS`) have the value that they always had. (3) Another entry is the one that stands at
//! the same distance from those known by (1) as on connections heard from their start; it stands
//! next to one of them, as what is sent at once does. (4) A *shape* is a block without its literal
//! values. Where all connections that were understood wrote a shape with the same meaning, a joined
//! connection that writes it means the same; only blocks with a pseudo-header field can begin this.
//! (5) What a joined connection inserts itself was not there before, and one entry is not there
//! twice; inferences that contradict each other are all dropped, and there are no further ones for
//! this connection.
//!
//! **What is asked of it.** One connection is enough for names, and for a value whose name never
//! had another one on any of them. Three must agree where a value varies, or is the outcome of a
//! call. Of outcomes, success alone may be told by one: once nine calls in a row ended with the
//! same entry, and none with another that was not seen. Once two connections put different values
//! of a name into one place, eight are needed for this name; once a shape or an insertion meant two
//! things, eight that agree since. Deadlines, dates and trace contexts are never inferred.
//!
//! **What is not promised.** A connection that did the same as the others in number and form, but
//! called in another order, called a path that was never seen, or ended its first call in another
//! way than all of them, cannot be told from them. Hence the mark.
//!
//! **How soon.** A connection is joined after 1,000 requests; how many of those to come are missing
//! something (`tests/hpack/libraries.rs`, encoders that order and insert as these libraries do).
//! "Never" ends with the connection; in brackets, when the path alone is known. nghttp2 and h2
//! never index a path. Deadlines of grpc-go and grpc-java are inserted each time, and push the
//! rest out of the table and back into sight.
//!
//! | client | calls | nothing learnt | from 1 connection | from 3 |
//! |---|---|---|---|---|
//! | grpc-go | one | never (never) | 0 | 0 |
//! | grpc-go, deadlines | one | never (36) | 0 | 0 |
//! | grpc-go | three | never (never) | never (never) | 0 |
//! | grpc-go, deadlines | three | never (8) | 8 | 0 |
//! | grpc-core, with and without deadlines | one | never (never) | 0 | 0 |
//! | grpc-core, with and without deadlines | three | never (never) | never (never) | 0 |
//! | grpc-java | one | never (never) | 0 | 0 |
//! | grpc-java, deadlines | one | never (22) | 0 | 0 |
//! | grpc-java | three | never (never) | never (never) | 0 |
//! | grpc-java, deadlines | three | never (8) | 8 | 8 |
//! | grpc-js, with and without deadlines | one, three | never (0) | 0 | 0 |
//! | tonic, with and without deadlines | one, three | never (0) | 0 | 0 |
//!
//! Evidence is bounded: see the constants. What was not used for long is forgotten first.

mod claim;
mod names;
mod orders;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use self::claim::Claim;
use self::names::CONFIRMED;
use self::names::Names;
use self::orders::Orders;
pub(super) use self::shape::Shape;
use super::slots::Slots;
use crate::heap;
use crate::trace_headers;

/// Shapes remembered for one pair of programs and direction, in each of two generations.
const SHAPES_MAX: usize = 256;

/// Bytes of names and values that these hold, in each generation, plus one shape.
const SHAPES_LEN_MAX: usize = 256 << 10;

/// Insertions remembered, from the start of connections.
const INSERTIONS_MAX: usize = 128;

/// Longer names and values are not remembered.
const TEXT_LEN_MAX: usize = 1024;

/// Fields that say which program speaks how to which. A client sends the same ones as a rule.
const CONSTANTS: [&[u8]; 9] = [
    b":authority",
    b":scheme",
    b":method",
    b"content-type",
    b"te",
    b"user-agent",
    b"accept-encoding",
    b"grpc-accept-encoding",
    b"grpc-encoding",
];

/// Fields that are different each time, beside those that name traces: nobody infers their values,
/// or anything from their places.
const VOLATILE: [&str; 3] = ["date", "grpc-timeout", trace_headers::REQUEST_ID];

fn is_volatile(name: &[u8]) -> bool {
    let mut all = VOLATILE.iter().chain(&trace_headers::NAMES);
    all.any(|volatile| volatile.as_bytes() == name)
}

/// One of the connections, so that none counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serial(u32);

/// What is known of the header blocks that one program sends to another, from all connections
/// between them. The owner keeps one for each pair of programs and direction, and hands it to
/// [`Decoder::decode`](super::Decoder::decode). At most about 700 KiB; commonly a few.
#[derive(Debug, Default)]
pub struct LearntHeaders {
    connections: u32,
    young: Shapes,
    old: Shapes,
    /// By number, from the first.
    insertions: Vec<Option<Meaning>>,
    /// What they own.
    insertions_heap_bytes: usize,
    names: Names,
    orders: Orders,
    disputes: u64,
}

#[derive(Debug, Default)]
struct Shapes {
    known: HashMap<Box<[u8]>, Evidence>,
    len: usize,
    /// What the entries own.
    heap_bytes: usize,
}

impl Shapes {
    fn heap_bytes(&self) -> usize {
        heap::table::<(Box<[u8]>, Evidence)>(self.known.capacity()) + self.heap_bytes
    }
}

impl Evidence {
    fn heap_bytes(&self, key: &[u8]) -> usize {
        let meanings = self.meanings.iter().map(Meaning::heap_bytes);
        heap::block(key.len()) + heap::vec::<Meaning>(self.meanings.len()) + meanings.sum::<usize>()
    }
}

/// What a shape meant.
#[derive(Debug)]
struct Evidence {
    /// One for each reference.
    meanings: Vec<Meaning>,
}

/// What an entry of the table is.
#[derive(Debug)]
struct Meaning {
    name: Claim<Arc<[u8]>>,
    value: Claim<Arc<[u8]>>,
}

impl Meaning {
    /// With room for all voices that count, as it will be.
    fn heap_bytes(&self) -> usize {
        let voices = 2 * heap::vec::<Serial>(claim::UNANIMOUS_AGAIN);
        heap::shared(self.name.said().len()) + heap::shared(self.value.said().len()) + voices
    }

    fn new((name, value): (&[u8], &[u8]), voice: Serial) -> Self {
        Self {
            name: Claim::new(name.into(), voice),
            value: Claim::new(value.into(), voice),
        }
    }

    /// Returns whether that is a new disagreement.
    fn hear(&mut self, (name, value): (&[u8], &[u8]), voice: Serial) -> bool {
        let same_name = **self.name.said() == *name;
        let same_value = same_name && **self.value.said() == *value;
        self.name.hear(same_name, voice, || name.into());
        self.value.hear(same_value, voice, || value.into())
    }

    fn inferred(&self, names: &Names) -> Option<Inferred> {
        let name = self.name.agreed(1)?.clone();
        let value = self.value.agreed(names.voices_min(&name)).cloned();
        let value = value.filter(|_| !is_volatile(&name));
        Some(Inferred { name, value })
    }
}

/// A value that the order of insertions tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aligned {
    pub value: Arc<[u8]>,
    /// Three connections say so.
    pub is_confirmed: bool,
}

/// What all evidence says of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inferred {
    pub name: Arc<[u8]>,
    pub value: Option<Arc<[u8]>>,
}

impl LearntHeaders {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of heap that it takes. Cheap: it may be asked after every header block.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.young.heap_bytes()
            + self.old.heap_bytes()
            + heap::vec::<Option<Meaning>>(self.insertions.capacity())
            + self.insertions_heap_bytes
            + self.names.heap_bytes()
            + self.orders.heap_bytes()
    }

    /// Forgets all that was learnt; connections that learnt from it infer anew.
    pub fn forget(&mut self) {
        *self = Self {
            connections: self.connections,
            disputes: self.disputes.wrapping_add(1),
            ..Self::default()
        };
    }

    /// A connection that was not heard before.
    pub(super) fn introduce(&mut self) -> Serial {
        self.connections = self.connections.wrapping_add(1);
        Serial(self.connections)
    }

    /// Disagreements so far. What was inferred before the last one needs another look.
    pub(super) fn disputes(&self) -> u64 {
        self.disputes
    }

    /// This shape meant this on a connection.
    pub(super) fn hear_shape(&mut self, shape: &Shape, meanings: &[(&[u8], &[u8])], voice: Serial) {
        let too_long = |text: &[u8]| text.len() > TEXT_LEN_MAX;
        if meanings
            .iter()
            .any(|(name, value)| too_long(name) || too_long(value))
        {
            return;
        }
        if let Some(evidence) = self.evidence(&shape.key) {
            let mut disputed = false;
            let before = evidence.heap_bytes(&shape.key);
            for (meaning, said) in evidence.meanings.iter_mut().zip(meanings) {
                disputed |= meaning.hear(*said, voice);
            }
            if disputed {
                let after = evidence.heap_bytes(&shape.key);
                self.young.heap_bytes = self.young.heap_bytes - before + after;
            }
            self.disputes += u64::from(disputed);
            return;
        }
        if self.young.known.len() >= SHAPES_MAX || self.young.len >= SHAPES_LEN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let texts = meanings
            .iter()
            .map(|(name, value)| name.len() + value.len());
        self.young.len += shape.key.len() + texts.sum::<usize>();
        let evidence = Evidence {
            meanings: meanings
                .iter()
                .map(|said| Meaning::new(*said, voice))
                .collect(),
        };
        self.young.heap_bytes += evidence.heap_bytes(&shape.key);
        self.young
            .known
            .insert(shape.key.as_slice().into(), evidence);
    }

    /// A connection inserted this; its number counts from 1 if the start of the connection was
    /// seen.
    pub(super) fn hear_insertion(
        &mut self,
        said: (&[u8], &[u8]),
        number: Option<u64>,
        voice: Serial,
    ) {
        let (name, value) = said;
        if name.len() > TEXT_LEN_MAX || value.len() > TEXT_LEN_MAX {
            return;
        }
        self.names.hear(name, value);
        let Some(at) = number.and_then(|number| usize::try_from(number.checked_sub(1)?).ok())
        else {
            return;
        };
        if at >= INSERTIONS_MAX {
            return;
        }
        if at >= self.insertions.len() {
            self.insertions.resize_with(at + 1, || None);
        }
        match &mut self.insertions[at] {
            Some(meaning) => {
                let before = meaning.heap_bytes();
                if meaning.hear(said, voice) {
                    self.insertions_heap_bytes =
                        self.insertions_heap_bytes - before + meaning.heap_bytes();
                    self.disputes += 1;
                    self.names.dispute(name);
                }
            }
            none => {
                let meaning = Meaning::new(said, voice);
                self.insertions_heap_bytes += meaning.heap_bytes();
                *none = Some(meaning);
            }
        }
    }

    /// The meanings of all references of a shape.
    pub(super) fn recall_shape(&mut self, shape: &Shape) -> Option<Vec<Option<Inferred>>> {
        self.evidence(&shape.key)?;
        let evidence = self.young.known.get(&*shape.key)?;
        let meanings = evidence.meanings.iter();
        Some(
            meanings
                .map(|meaning| meaning.inferred(&self.names))
                .collect(),
        )
    }

    /// A shape meant something else than what was remembered, on a connection that knows it only in
    /// part.
    pub(super) fn dispute_shape(&mut self, shape: &Shape) {
        if let Some(evidence) = self.evidence(&shape.key) {
            for meaning in &mut evidence.meanings {
                meaning.name.dispute();
                meaning.value.dispute();
            }
            self.disputes += 1;
        }
    }

    /// A block of a connection was that of these names.
    pub(super) fn hear_order(&mut self, slots: &Slots) {
        self.orders.hear(&slots.told());
    }

    /// The names of a block, by all orders that fit it.
    pub(super) fn recall_order(&self, slots: &Slots) -> Vec<Option<Arc<[u8]>>> {
        self.orders.recall(&slots.told())
    }

    /// The value of a field that says what a program is, if it never had another one.
    pub(super) fn recall_constant(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        CONSTANTS
            .contains(&name)
            .then(|| self.names.constant(name).map(Arc::from))?
    }

    /// The value of the entry at this place, which has this name, by the order of insertions:
    /// other entries stand as far from it as they do where connections begin. For an outcome these
    /// are all that never change; for others two at least, one of them next to it, so that both
    /// were sent at once.
    pub(super) fn recall_aligned(
        &self,
        place: u64,
        name: &[u8],
        around: &BTreeMap<u64, Inferred>,
    ) -> Option<Aligned> {
        let mut found: Option<Aligned> = None;
        for (at, meaning) in self.insertions.iter().enumerate() {
            let Some(meaning) = meaning else { continue };
            if **meaning.name.said() != *name
                || !self.is_aligned(place, at as u64, self.names.is_outcome(name), around)
            {
                continue;
            }
            let many = meaning.value.agreed(CONFIRMED);
            let voices_min = match self.names.is_outcome(name) {
                true => 1,
                false => self.names.voices_min(name),
            };
            let value = Arc::clone(meaning.value.agreed(voices_min)?);
            let aligned = Aligned {
                is_confirmed: many.is_some(),
                value,
            };
            if found.as_ref().is_some_and(|other| *other != aligned) {
                return None;
            }
            found = Some(aligned);
        }
        found
    }

    /// Whether `place` being the insertion with the index `at` agrees with what is around it.
    fn is_aligned(
        &self,
        place: u64,
        at: u64,
        is_outcome: bool,
        around: &BTreeMap<u64, Inferred>,
    ) -> bool {
        let (mut agree, mut differ, mut is_beside, mut is_anchored) = (0, 0, false, false);
        for (other, inferred) in around {
            if *other == place || is_volatile(&inferred.name) {
                continue;
            }
            // Places may be anywhere in their range; what comes before the first insertion wraps to
            // where there is none.
            let number = at.wrapping_add(place.wrapping_sub(*other));
            let there = usize::try_from(number)
                .ok()
                .and_then(|number| self.insertions.get(number)?.as_ref());
            let is_constant = CONSTANTS.contains(&&*inferred.name);
            if there.is_some_and(|there| there.name.said() == &inferred.name) {
                agree += 1;
                is_beside |= other.abs_diff(place) == 1;
                is_anchored |= is_constant;
            } else if is_constant {
                differ += 1;
            }
        }
        match is_outcome {
            // Outcomes are inserted together, again and again: these say nothing of each other.
            true => is_anchored && differ == 0,
            false => is_beside && agree >= 2 && agree > 2 * differ,
        }
    }

    /// What is known of a shape, among the young from now on.
    fn evidence(&mut self, key: &[u8]) -> Option<&mut Evidence> {
        if let Some((key, evidence)) = self.old.known.remove_entry(key) {
            let moved = evidence.heap_bytes(&key);
            self.old.heap_bytes = self.old.heap_bytes.saturating_sub(moved);
            self.young.heap_bytes += moved;
            self.young.known.insert(key, evidence);
        }
        self.young.known.get_mut(key)
    }
}
