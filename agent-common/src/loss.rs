//! Reasons for which the kernel side could not deliver. It does not count: each side has counters.

/// Index into the kernel side's `LOSSES` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum KernelLoss {
    /// The ring buffer had no room for a record.
    RingFull = 0,
    /// No room to remember another connection.
    ConnectionsFull = 1,
    /// Memory of the target could not be read (not mapped, or swapped out).
    UnreadableMemory = 2,
    /// Another program held this processor's scratch buffer.
    ScratchBusy = 3,
    /// No room to watch another process.
    WatchedFull = 4,
    /// No room to remember another TLS object, or another thread that uses one.
    TlsFull = 5,
    /// A function of a TLS library did what it never does: it is another function.
    TlsImplausible = 6,
    /// A record of a process that had filled its share of the ring buffer: what was free was kept
    /// for the others.
    RingShare = 7,
    /// Too many calls of TLS libraries within one another on a task: the outermost was forgotten.
    TlsNested = 8,
    /// No room to remember another task.
    TasksFull = 9,
}

impl KernelLoss {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 10] = [
        Self::RingFull,
        Self::ConnectionsFull,
        Self::UnreadableMemory,
        Self::ScratchBusy,
        Self::WatchedFull,
        Self::TlsFull,
        Self::TlsImplausible,
        Self::RingShare,
        Self::TlsNested,
        Self::TasksFull,
    ];
}

/// Slots of the `LOSSES` map.
pub const KERNEL_LOSSES: u32 = KernelLoss::ALL.len() as u32;
