//! A decoder's side of [`LearntHeaders`]: what it tells of its connection, and what it was told
//! about the part of the table that it did not see.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::learnt::{Inferred, LearntHeaders, Serial, Shape};
use super::slots::Slots;
use super::table::{NameIs, Table};
use crate::heap;

/// Different blocks that one connection tells of. Those to come differ by their values.
const LESSONS_MAX: u16 = 512;

/// Blocks without news, after which a connection is silent until it inserts something.
const NO_NEWS_MAX: u16 = 64;

/// Blocks that were told of lately.
const TOLD_MAX: usize = 16;

/// Calls that must have ended with one entry before a single other connection may say what it is.
const OUTCOMES_MIN: u8 = 8;

/// Names of outcomes, with the value that most calls have.
const OUTCOMES: [(&[u8], &[u8]); 2] = [(b"grpc-status", b"0"), (b":status", b"200")];

/// Unseen entries about which something can be inferred.
const UNSEEN_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct HpackListener {
    serial: Option<Serial>,
    /// Whether the table counts insertions from the start of the connection.
    from_start: bool,
    shape: Shape,
    slots: Slots,
    told: [u64; TOLD_MAX],
    lessons: u16,
    no_news: u16,
    /// `Table::inserted` when there was news.
    inserted: u64,
    unseen: Unseen,
}

/// Entries that were inserted before anybody listened, counted from the newest of them: 0 was the
/// last one.
#[derive(Debug, Default)]
struct Unseen {
    inferred: BTreeMap<u64, Inferred>,
    /// Inferences that contradict each other: this connection is not like the others.
    distrusted: bool,
    /// [`LearntHeaders::disputes`] when something was inferred.
    disputes: u64,
    /// Where outcomes stand, by name.
    outcomes: [CallEnd; 2],
}

/// An entry that tells how calls end.
#[derive(Clone, Copy, Debug, Default)]
struct CallEnd {
    place: Option<u64>,
    /// Blocks in a row that referred to it.
    times: u8,
    /// There is another one.
    is_disputed: bool,
}

impl CallEnd {
    /// A call ended with the entry at this place. Returns whether all did, often enough.
    fn hear(&mut self, place: u64) -> bool {
        self.is_disputed |= self.place.is_some_and(|known| known != place);
        self.place = Some(place);
        self.times = self.times.saturating_add(1);
        !self.is_disputed && self.times > OUTCOMES_MIN
    }
}

impl HpackListener {
    pub fn new() -> Self {
        Self {
            serial: None,
            from_start: true,
            shape: Shape::default(),
            slots: Slots::default(),
            told: [0; TOLD_MAX],
            lessons: 0,
            no_news: 0,
            inserted: 0,
            unseen: Unseen::default(),
        }
    }

    /// The table was forgotten.
    pub fn missed_blocks(&mut self) {
        self.from_start = false;
        self.no_news = 0;
        self.inserted = 0;
        self.unseen = Unseen::default();
    }

    /// What is inferred of the entry at this place among those that were not seen.
    pub fn inferred(&self, place: u64) -> Option<&Inferred> {
        self.unseen.inferred.get(&place)
    }

    /// Bytes of heap that it takes; the texts of what is inferred belong to what was learnt.
    pub fn heap_bytes(&self) -> usize {
        self.shape.heap_bytes()
            + self.slots.heap_bytes()
            + heap::block(self.unseen.inferred.len() * size_of::<(u64, Inferred)>() * 3 / 2)
    }

    /// A block is about to be decoded.
    pub fn before(&mut self, block: &[u8], table: &Table, learnt: &mut LearntHeaders) {
        if table.inserted != self.inserted {
            self.inserted = table.inserted;
            self.no_news = 0;
        }
        let silent = self.lessons >= LESSONS_MAX || self.no_news >= NO_NEWS_MAX;
        if (silent && table.is_complete()) || self.shape.read(block).is_none() {
            return;
        }
        let fingerprint = self.shape.fingerprint(table.inserted);
        if self.told.contains(&fingerprint) {
            self.no_news = self.no_news.saturating_add(1);
            return;
        }
        let known = |age: &usize| {
            let entry = table.entry(*age)?;
            (entry.name_is == NameIs::Known).then(|| table.texts(entry))
        };
        let meanings: Option<Vec<_>> = self.shape.references.iter().map(known).collect();
        match meanings {
            Some(_) if silent => {}
            Some(_) if self.shape.references.is_empty() => {
                self.told[usize::from(self.lessons) % TOLD_MAX] = fingerprint;
                self.lessons += 1;
                self.no_news = self.no_news.saturating_add(1);
                if self.slots.read(block, table).is_some() {
                    learnt.hear_order(&self.slots);
                }
            }
            Some(meanings) => {
                if self.slots.read(block, table).is_some() {
                    learnt.hear_order(&self.slots);
                }
                self.told[usize::from(self.lessons) % TOLD_MAX] = fingerprint;
                self.lessons += 1;
                self.no_news = 0;
                let voice = *self.serial.get_or_insert_with(|| learnt.introduce());
                learnt.hear_shape(&self.shape, &meanings, voice);
            }
            None => {
                self.unseen.infer(&self.shape, table, learnt);
                if self.slots.read(block, table).is_some() {
                    self.unseen.infer_in_order(&self.slots, table, learnt);
                }
            }
        }
    }

    /// A block was decoded, that inserted so many entries.
    pub fn after(&mut self, inserted: usize, table: &Table, learnt: &mut LearntHeaders) {
        for age in (0..inserted).rev() {
            if let Some(entry) = table.entry(age)
                && entry.name_is == NameIs::Known
            {
                let said = table.texts(entry);
                let number = self.from_start.then(|| table.inserted - age as u64);
                let voice = *self.serial.get_or_insert_with(|| learnt.introduce());
                learnt.hear_insertion(said, number, voice);
            }
        }
    }
}

impl Unseen {
    /// Infers what can be inferred of the references of a block.
    fn infer(&mut self, shape: &Shape, table: &Table, learnt: &mut LearntHeaders) {
        if self.disputes != learnt.disputes() {
            self.disputes = learnt.disputes();
            self.inferred.clear();
        }
        let places = shape.references.iter();
        let places = places.map(|age| (*age as u64).checked_sub(table.inserted));
        let places: Vec<_> = places.collect();
        if self.distrusted {
            return;
        }
        if shape.begins_message
            && let Some(meanings) = learnt.recall_shape(shape)
        {
            if contradicts(shape, table, &meanings) {
                return learnt.dispute_shape(shape);
            }
            for ((place, age), meaning) in places.iter().zip(&shape.references).zip(meanings) {
                let Some(meaning) = meaning else { continue };
                if let Some(place) = place {
                    self.learn(*place, meaning, table);
                } else if let Some(NameIs::Unseen(place)) = table.entry(*age).map(|e| e.name_is) {
                    // It was seen, but took its name from an entry that was not.
                    let name = meaning.name;
                    self.learn(place, Inferred { name, value: None }, table);
                }
            }
        }
        if self.distrusted {
            self.inferred.clear();
        }
    }

    /// Infers names from the order of the fields, and values from the names and the order in which
    /// entries were inserted.
    fn infer_in_order(&mut self, slots: &Slots, table: &Table, learnt: &LearntHeaders) {
        if self.distrusted {
            return;
        }
        let names = learnt.recall_order(slots);
        for (slot, name) in slots.slots.iter().zip(names) {
            let (Some(place), Some(name)) = (slot.place, name) else {
                continue;
            };
            let value = match slot.is_whole {
                true => learnt.recall_constant(&name),
                false => None,
            };
            self.learn(place, Inferred { name, value }, table);
        }
        for slot in slots.slots.iter().filter(|slot| slot.is_whole) {
            let Some(place) = slot.place else { continue };
            let Some(inferred) = self.inferred.get(&place) else {
                continue;
            };
            let name = Arc::clone(&inferred.name);
            let outcome = OUTCOMES.iter().position(|(outcome, _)| **outcome == *name);
            let is_often = outcome.is_some_and(|at| self.outcomes[at].hear(place));
            let is_disputed = outcome.is_some_and(|at| self.outcomes[at].is_disputed);
            if inferred.value.is_some() && !is_disputed {
                continue;
            }
            let aligned = learnt.recall_aligned(place, &name, &self.inferred);
            let value = aligned.filter(|aligned| {
                let Some(at) = outcome else { return true };
                aligned.is_confirmed || (is_often && *aligned.value == *OUTCOMES[at].1)
            });
            let value = value.map(|aligned| aligned.value);
            if is_disputed {
                self.inferred
                    .retain(|_, other| other.name != name || other.value.is_none());
            }
            if value.is_some() {
                self.learn(place, Inferred { name, value }, table);
            }
        }
        if self.distrusted {
            self.inferred.clear();
        }
    }

    /// An entry is this, unless that cannot be.
    fn learn(&mut self, place: u64, meaning: Inferred, table: &Table) {
        if let Some(known) = self.inferred.get_mut(&place) {
            let other_value = known.value.is_some() && meaning.value.is_some();
            self.distrusted |= known.name != meaning.name;
            self.distrusted |= other_value && known.value != meaning.value;
            if known.value.is_none() {
                known.value = meaning.value;
            }
            return;
        }
        if meaning.value.is_some() {
            self.distrusted |= self.inferred.values().any(|other| *other == meaning);
        }
        if self.inferred.len() < UNSEEN_MAX && !holds(table, &meaning) {
            self.inferred.insert(place, meaning);
        }
    }
}

/// Whether the connection inserted the same since somebody listens: it would not have, had it been
/// there.
fn holds(table: &Table, meaning: &Inferred) -> bool {
    let Some(value) = &meaning.value else {
        return false;
    };
    (0..table.len())
        .filter_map(|age| table.entry(age))
        .any(|entry| {
            entry.name_is == NameIs::Known && table.texts(entry) == (&*meaning.name, &**value)
        })
}

/// Whether an entry that is known is not what is remembered.
fn contradicts(shape: &Shape, table: &Table, meanings: &[Option<Inferred>]) -> bool {
    shape.references.iter().zip(meanings).any(|(age, meaning)| {
        let (Some(entry), Some(meaning)) = (table.entry(*age), meaning) else {
            return false;
        };
        let (name, value) = table.texts(entry);
        let other_value = |inferred: &Arc<[u8]>| value != &**inferred;
        (entry.name_is == NameIs::Known && name != &*meaning.name)
            || meaning.value.as_ref().is_some_and(other_value)
    })
}
