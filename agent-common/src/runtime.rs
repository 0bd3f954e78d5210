//! How the tasks of a process's runtime are found, as user space found out from its files.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offsets and addresses that a kind of task may need.
pub const PLACES: usize = 8;

/// Value of the `RUNTIMES` map, by thread group.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Runtime {
    /// What these are is the business of the kind, which `Watch::tasks` names.
    pub places: [u64; PLACES],
    /// How often probes on its tasks were struck, as the kernel side counts it. Two processors that
    /// count at a time may count once.
    pub strikes: u64,
    /// How often what is to be told of its tasks could not be written; the kernel side counts it.
    pub notes_lost: u64,
    /// The same, as far as user space was told of it.
    pub losses_told: u64,
}
const _: () = assert!(size_of::<Runtime>() == 8 * PLACES + 24);

impl Runtime {
    /// One of which nothing was counted yet.
    #[must_use]
    pub const fn new(places: [u64; PLACES]) -> Self {
        Self {
            places,
            strikes: 0,
            notes_lost: 0,
            losses_told: 0,
        }
    }
}

/// Which proxy it is, as its first place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Proxy {
    /// nginx and what is made of it. The second place is where its requests keep their stream of
    /// HTTP/2, once that was seen; the third where to look for it next, the fourth how often it was
    /// not. The kernel side finds all of it out by itself.
    Nginx = 1,
    /// HAProxy, by a [`HaproxyLayout`].
    Haproxy = 2,
}

/// Where HAProxy has a connection to a server, and from there the connection of the client whose
/// request is sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HaproxyLayout {
    /// Address of the variable that points to its table of descriptors.
    pub table_at: u64,
    /// Bytes of an entry.
    pub entry_size: u64,
    /// In an entry: the connection whose descriptor it is.
    pub owner: u64,
    /// In a connection: its descriptor, 32 bits.
    pub descriptor: u64,
    /// From a connection to a server: offsets of pointers, each within what the one before points
    /// to. The last one leads to the client's connection.
    pub path: [u16; HAPROXY_STEPS],
}

/// Pointers from the one connection to the other.
pub const HAPROXY_STEPS: usize = 4;

impl HaproxyLayout {
    /// As places.
    #[must_use]
    pub const fn into_runtime(self) -> Runtime {
        let [a, b, c, d] = self.path;
        let path = a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48;
        Runtime::new([
            Proxy::Haproxy as u64,
            self.table_at,
            self.entry_size,
            self.owner,
            self.descriptor,
            path,
            0,
            0,
        ])
    }

    /// Offset number `step` of a path as its place has it.
    #[must_use]
    #[inline(always)]
    pub const fn step(path: u64, step: usize) -> u64 {
        path >> (16 * step) & 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_back_step_by_step() {
        let layout = HaproxyLayout {
            table_at: 1,
            entry_size: 64,
            owner: 40,
            descriptor: 104,
            path: [40, 136, 32, 16],
        };
        let path = layout.into_runtime().places[5];
        let steps = [0, 1, 2, 3].map(|step| HaproxyLayout::step(path, step));
        assert_eq!(steps, [40, 136, 32, 16]);
    }
}
