//! Which fields vary between the requests of one program: an address does not, a path may.

use super::claim::UNANIMOUS_AGAIN;
use hashbrown::HashMap;

use crate::heap;

/// Names that are watched. Others count as varying.
const NAMES_MAX: usize = 128;

/// Connections that must agree on the place of a value, if its name has others.
pub(super) const CONFIRMED: usize = 3;

/// What tells how a call ended. That it always ended well so far does not mean that it does.
const OUTCOMES: [&[u8]; 3] = [b":status", b"grpc-status", b"grpc-message"];

#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<Box<[u8]>, Values>,
    /// What they own.
    heap_bytes: usize,
}

/// The values that were seen for a name.
#[derive(Debug)]
struct Values {
    first: Box<[u8]>,
    varies: bool,
    /// Two connections put different ones into the same place.
    disputed: bool,
}

impl Names {
    /// Bytes of heap that they take.
    pub fn heap_bytes(&self) -> usize {
        heap::table::<(Box<[u8]>, Values)>(self.known.capacity()) + self.heap_bytes
    }

    /// This value was sent.
    pub fn hear(&mut self, name: &[u8], value: &[u8]) {
        if let Some(values) = self.known.get_mut(name) {
            values.varies |= *values.first != *value;
        } else if self.known.len() < NAMES_MAX {
            let values = Values {
                first: value.into(),
                varies: false,
                disputed: false,
            };
            self.heap_bytes += heap::block(name.len()) + heap::block(value.len());
            self.known.insert(name.into(), values);
        }
    }

    /// The only value that it ever had.
    pub fn constant(&self, name: &[u8]) -> Option<&[u8]> {
        let values = self.known.get(name).filter(|values| !values.varies)?;
        Some(&values.first)
    }

    /// Whether it tells how a call ended.
    pub fn is_outcome(&self, name: &[u8]) -> bool {
        OUTCOMES.contains(&name)
    }

    /// Two connections put different values of it into the same place.
    pub fn dispute(&mut self, name: &[u8]) {
        if let Some(values) = self.known.get_mut(name) {
            values.varies = true;
            values.disputed = true;
        }
    }

    /// How many connections must agree on where a value of this name stands.
    pub fn voices_min(&self, name: &[u8]) -> usize {
        match self.known.get(name) {
            Some(values) if values.disputed => UNANIMOUS_AGAIN,
            Some(values) if !values.varies && !OUTCOMES.contains(&name) => 1,
            _ => CONFIRMED,
        }
    }
}
