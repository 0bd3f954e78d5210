//! What user space switches on and off while programs run: only what is asked for seldom, because
//! who asks looks into a map. What every transfer would have to ask is fixed when programs are
//! loaded, or stands in what is looked up anyway.

/// A switch: an index into the `SWITCHES` map, whose values are 1 for on and 0 for off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Switch {
    /// Every exec of the machine is told, not only those of watched processes.
    EveryExec = 0,
    /// Who listens on a selected port, or serves it, is told, and watched only once user space says
    /// so.
    AsksFirst = 1,
}

/// How many there are.
pub const SWITCHES: u32 = 2;
