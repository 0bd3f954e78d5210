//! What one run of a program works on, in memory of a map, because its stack has 512 bytes.

use core::mem::size_of;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use wirespan_common::connection::Connection;
use wirespan_common::loss::KernelLoss;
use wirespan_common::own::Ends;
use wirespan_common::record::{Chunk, ConnectionId, Header, Open, Tail};
use wirespan_common::share::Purse;

use super::sizes::{PARTS_AT_ONCE, PAYLOAD_ROOM};
use super::tls::ObjectKey;
use super::walks::Frames;
use crate::arch::CallRegisters;
#[cfg(not(legacy))]
use crate::context::head::RequestHead;
use crate::memory::Delivered;
use crate::sockets::PATH_MAX;
use crate::syscall::Iovec;
use crate::transfer::Transfer;

/// Records in the making, per processor: a program on a function can be preempted, and what then
/// runs on its processor needs another one.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SCRATCHES, 0);
const SCRATCHES: u32 = 3;

/// Records in the making, and what a loop remembers from one round to the next: the verifier knows
/// nothing of values that come from a map, so it need not follow each combination of them.
#[repr(C)]
pub struct Scratch {
    /// 1 while a program fills it. Programs on functions can be preempted by one another; that this
    /// is no atomic exchange leaves a window of two instructions, which needs instructions that
    /// kernels before 5.12 don't have to close.
    taken: u32,
    /// Who wrote a record from here last.
    pub purse: Purse,
    /// The transfer that is looked at.
    pub transfer: Transfer,
    /// The TLS object whose plaintext it is, where it is.
    pub object: ObjectKey,
    /// What carries it: a socket or another object; 0 while that is not known.
    pub carrier: ConnectionId,
    /// What its library was called for; see [`crate::tls::EGRESS`] and those after it.
    pub operation: u16,
    /// The registers of the call that moved it.
    pub registers: CallRegisters,
    /// Address of all of them.
    pub registers_at: u64,
    /// The goroutine that called a library with the object; 0 of a call on a socket.
    pub goroutine: u64,
    /// Bytes copied into `payload`.
    pub copied: u32,
    /// Bytes that are worth copying.
    pub wanted: u32,
    /// Where the description of the transfer's next part is, where it has several.
    pub next_part: u64,
    /// The first parts of the transfer's first message, and of whatever lies behind them.
    pub parts: [Iovec; PARTS_AT_ONCE],
    /// How many of them were not taken yet: the last ones.
    pub parts_known: u32,
    reserved_1: u32,
    /// Bytes of the message that is looked at which lie in parts not yet looked at.
    pub left: u64,
    /// Number of that message in its call.
    pub message: u64,
    /// The part that is looked at.
    pub part: Iovec,
    /// Bytes of the transfer that lie in parts already looked at.
    pub passed: u64,
    /// The last bytes of the transfer.
    pub tail: Tail,
    /// Valid bytes in `tail`.
    pub tail_len: u8,
    /// 1 if a part could not be read.
    pub unreadable: u8,
    reserved: [u8; 6],
    /// Where a walk along HTTP/2 frames is.
    pub frames: Frames,
    /// What is known of a request's head that is being read.
    #[cfg(not(legacy))]
    pub request: RequestHead,
    /// A connection that is about to be remembered.
    pub connection: Connection,
    /// An open record.
    pub open: OpenRecord,
    /// The addresses in it, as they are looked for among those of wirespan's own connections.
    pub ends: Ends,
    /// The number of the connection in it ([`wirespan_common::sampling::draw`]).
    pub draw: u32,
    /// What a chunk's record begins with.
    pub head: ChunkRecord,
    /// What follows it.
    pub payload: [u8; PAYLOAD_ROOM],
}
// The kernel refuses larger per-processor values (PCPU_MIN_UNIT_SIZE, include/linux/percpu.h).
const _: () = assert!(size_of::<Scratch>() <= 32 * 1024);

/// Header and body of a chunk.
#[repr(C)]
pub struct ChunkRecord {
    /// Its `len` covers the payload too.
    pub header: Header,
    /// What it says.
    pub chunk: Chunk,
}

/// An open record with room for the longest path.
#[repr(C)]
pub struct OpenRecord {
    /// Its `len` covers as much of the path as there is.
    pub header: Header,
    /// What it says.
    pub open: Open,
    /// Path of a Unix socket.
    pub path: [u8; PATH_MAX],
    reserved: [u8; 4],
}

/// A scratch buffer of this processor that nobody uses.
#[inline(always)]
fn free_scratch() -> Delivered<&'static mut Scratch> {
    let mut index = 0;
    while index < SCRATCHES {
        let scratch = SCRATCH.get_ptr_mut(index).ok_or(KernelLoss::ScratchBusy)?;
        // SAFETY: a per-processor slot that is never freed; `taken` keeps a second program out.
        let scratch = unsafe { &mut *scratch };
        if scratch.taken == 0 {
            return Ok(scratch);
        }
        index += 1;
    }
    Err(KernelLoss::ScratchBusy)
}

/// Lends one of this processor's scratch buffers to `work`.
#[inline(always)]
pub fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> Delivered<T>) -> Delivered<T> {
    let scratch = free_scratch()?;
    // SAFETY: a field of the slot; volatile, so that the store is not moved past the work.
    unsafe { core::ptr::write_volatile(&raw mut scratch.taken, 1) };
    let outcome = work(scratch);
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(&raw mut scratch.taken, 0) };
    outcome
}
