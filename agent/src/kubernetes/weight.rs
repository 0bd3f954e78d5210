//! How much memory a pod takes. It bounds nothing.

use std::collections::BTreeMap;

use wirespan_protocols::heap;

use super::pod::{Owner, Pod, PodContainer};

/// What an entry of a `BTreeMap` of texts takes besides their bytes: nodes for eleven are two
/// thirds full, as a rule.
const MAP_ENTRY: usize = 2 * size_of::<String>() * 3 / 2;

fn text(text: &String) -> usize {
    heap::block(text.capacity())
}

fn texts(map: &BTreeMap<String, String>) -> usize {
    let entries = map.iter();
    entries.map(|(k, v)| MAP_ENTRY + text(k) + text(v)).sum()
}

impl Pod {
    /// Bytes of memory that it takes, itself included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        heap::boxed::<Self>()
            + [&self.uid, &self.name, &self.namespace, &self.node_name]
                .map(text)
                .iter()
                .sum::<usize>()
            + self.start_time.as_ref().map_or(0, text)
            + texts(&self.labels)
            + texts(&self.annotations)
            + heap::vec::<Owner>(self.owners.capacity())
            + self.owners.iter().map(owner).sum::<usize>()
            + heap::vec::<PodContainer>(self.containers.capacity())
            + self.containers.iter().map(container).sum::<usize>()
            + heap::vec::<String>(self.addresses.capacity())
            + self.addresses.iter().map(text).sum::<usize>()
    }
}

fn owner(owner: &Owner) -> usize {
    text(&owner.kind) + text(&owner.name) + text(&owner.uid)
}

fn container(it: &PodContainer) -> usize {
    text(&it.name) + text(&it.id) + text(&it.image) + text(&it.image_id) + texts(&it.environment)
}
