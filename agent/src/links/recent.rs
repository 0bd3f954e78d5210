//! A table of what was used lately, with a bound: when half of what it may hold is new, what was
//! not used since it last was is forgotten.

use std::hash::Hash;

use hashbrown::HashMap;
use wirespan_protocols::heap;

/// At most twice `HALF` entries.
#[derive(Debug)]
pub struct Recent<K, V, const HALF: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Copy, V, const HALF: usize> Recent<K, V, HALF> {
    /// Lends what is known of a key.
    pub fn get(&mut self, key: K) -> Option<&mut V> {
        if !self.old.is_empty()
            && let Some(value) = self.old.remove(&key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    /// Notes something of a key.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= HALF && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    /// Takes out what is known of a key.
    pub fn remove(&mut self, key: K) -> Option<V> {
        match self.young.remove(&key) {
            None if !self.old.is_empty() => self.old.remove(&key),
            found => found,
        }
    }

    /// How many it holds.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Bytes of memory that it takes, but for what values hold apart.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(K, V)>(self.young.capacity()) + heap::table::<(K, V)>(self.old.capacity())
    }
}

impl<K, V, const HALF: usize> Default for Recent<K, V, HALF> {
    fn default() -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::<u32, u32, 4>::default();
        for key in 0..100 {
            recent.insert(key, key);
            assert_eq!(recent.get(0).copied(), Some(0), "{key}");
        }
        assert_eq!(recent.get(50), None);
        assert_eq!(recent.remove(99), Some(99));
        assert_eq!(recent.remove(99), None);
        assert!(recent.len() <= 8);
    }
}
