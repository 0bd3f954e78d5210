//! Which fields vary between the requests of one program: an address does not, a path may.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::claim::UNANIMOUS_AGAIN;

/// Names that are watched. Others count as varying.
const NAMES_MAX: usize = 128;

/// Connections that must agree on the place of a value, if its name has others.
const CONFIRMED: usize = 3;

/// What tells how a call ended. That it always ended well so far does not mean that it does.
const OUTCOMES: [&[u8]; 3] = [b":status", b"grpc-status", b"grpc-message"];

#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: RandomState,
    known: HashMap<Box<[u8]>, Values>,
}

/// The values that were seen for a name.
#[derive(Debug)]
struct Values {
    /// Hash of the first one.
    first: u64,
    varies: bool,
    /// Two connections put different ones into the same place.
    disputed: bool,
}

impl Names {
    /// This value was sent.
    pub fn hear(&mut self, name: &[u8], value: &[u8]) {
        if let Some(values) = self.known.get_mut(name) {
            values.varies |= values.first != self.hasher.hash_one(value);
        } else if self.known.len() < NAMES_MAX {
            let values = Values {
                first: self.hasher.hash_one(value),
                varies: false,
                disputed: false,
            };
            self.known.insert(name.into(), values);
        }
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
