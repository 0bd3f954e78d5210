//! What a kernel would give: the memory of a process, what is remembered in maps, and the ring. It
//! belongs to a thread, as a processor's belongs to that. It decides nothing.

use std::cell::RefCell;

use wirespan_common::loss::KernelLoss;
use wirespan_common::watch::NO_BOUNDARY;

/// A piece of the process's memory. What lies beside it is not mapped.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Where it begins.
    pub address: u64,
    /// What lies there.
    pub bytes: Vec<u8>,
}

/// A chunk's record as user space gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of the first byte, in the stream.
    pub position: u64,
    /// Bytes that moved.
    pub len: u32,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub memory: Vec<Buffer>,
    /// Addresses and lengths of payload that was asked for and is not mapped.
    pub astray: Vec<(u64, usize)>,
    /// By direction.
    pub boundaries: [u64; 2],
    pub sent: Vec<Sent>,
    pub losses: Vec<KernelLoss>,
    pub ring_is_full: bool,
}

impl Default for Kernel {
    fn default() -> Self {
        Self {
            memory: Vec::new(),
            astray: Vec::new(),
            boundaries: [NO_BOUNDARY; 2],
            sent: Vec::new(),
            losses: Vec::new(),
            ring_is_full: false,
        }
    }
}

thread_local! {
    static KERNEL: RefCell<Kernel> = RefCell::default();
}

/// Lends this thread's.
pub(crate) fn with<T>(work: impl FnOnce(&mut Kernel) -> T) -> T {
    KERNEL.with_borrow_mut(work)
}

impl Kernel {
    /// Reads to `to`: all of it, or zeros.
    pub fn read(&self, to: &mut [u8], address: u64) -> Result<(), KernelLoss> {
        to.fill(0);
        if to.is_empty() {
            return Ok(());
        }
        let found = self.memory.iter().find_map(|piece| {
            let start = usize::try_from(address.checked_sub(piece.address)?).ok()?;
            piece.bytes.get(start..start.checked_add(to.len())?)
        });
        to.copy_from_slice(found.ok_or(KernelLoss::UnreadableMemory)?);
        Ok(())
    }

    /// [`Kernel::read`] of payload, which is to lie where the process said.
    pub fn read_payload(&mut self, to: &mut [u8], address: u64) -> Result<(), KernelLoss> {
        let read = self.read(to, address);
        if read.is_err() {
            self.astray.push((address, to.len()));
        }
        read
    }
}
