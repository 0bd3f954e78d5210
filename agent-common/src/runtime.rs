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
}
const _: () = assert!(size_of::<Runtime>() == 8 * PLACES);
