//! Orders over numbered slots that can be changed in constant time: doubly linked lists whose links
//! lie beside the slots. It holds no values.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct SlotLink {
    previous: u32,
    next: u32,
}

/// SlotLinks of any number of lists over the same slots; a slot is in at most one of them at a
/// time, and whoever uses them knows in which.
#[derive(Debug, Default)]
pub struct SlotLinks(Vec<SlotLink>);

impl SlotLinks {
    /// Bytes for each slot that was ever in a list.
    pub const PER_SLOT: usize = size_of::<SlotLink>();
}

/// One list: its ends.
#[derive(Clone, Copy, Debug)]
pub struct SlotList {
    first: u32,
    last: u32,
}

impl Default for SlotList {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }
}

impl SlotList {
    /// The slot at the front.
    pub fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Appends a slot that is in no list of `links`.
    pub fn push_last(&mut self, links: &mut SlotLinks, slot: u32) {
        let index = slot as usize;
        if links.0.len() <= index {
            let empty = SlotLink {
                previous: NONE,
                next: NONE,
            };
            links.0.resize(index + 1, empty);
        }
        links.0[index] = SlotLink {
            previous: self.last,
            next: NONE,
        };
        match self.last {
            NONE => self.first = slot,
            last => links.0[last as usize].next = slot,
        }
        self.last = slot;
    }

    /// Takes out a slot that is in this list.
    pub fn remove(&mut self, links: &mut SlotLinks, slot: u32) {
        let SlotLink { previous, next } = links.0[slot as usize];
        match previous {
            NONE => self.first = next,
            previous => links.0[previous as usize].next = next,
        }
        match next {
            NONE => self.last = previous,
            next => links.0[next as usize].previous = previous,
        }
    }

    /// Moves a slot that is in this list to its end.
    pub fn move_last(&mut self, links: &mut SlotLinks, slot: u32) {
        if self.last != slot {
            self.remove(links, slot);
            self.push_last(links, slot);
        }
    }

    /// The slots, front to end.
    pub fn iter<'a>(&self, links: &'a SlotLinks) -> impl Iterator<Item = u32> + use<'a> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let slot = (at != NONE).then_some(at)?;
            at = links.0[slot as usize].next;
            Some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_behaves_like_a_vector(steps in prop::collection::vec((0u32..8, 0u8..3), 0..200)) {
            let mut links = SlotLinks::default();
            let mut list = SlotList::default();
            let mut model: Vec<u32> = Vec::new();
            for (slot, step) in steps {
                let present = model.contains(&slot);
                model.retain(|other| *other != slot);
                match (present, step) {
                    (false, _) => list.push_last(&mut links, slot),
                    (true, 0) => list.remove(&mut links, slot),
                    (true, _) => list.move_last(&mut links, slot),
                }
                if !(present && step == 0) {
                    model.push(slot);
                }
                prop_assert_eq!(list.iter(&links).collect::<Vec<_>>(), model.clone());
                prop_assert_eq!(list.first(), model.first().copied());
            }
        }
    }
}
