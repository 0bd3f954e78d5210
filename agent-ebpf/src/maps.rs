//! Every map and constant that user space shares, and the only functions that touch one. They
//! return values or lend a reference for one call; none of them decides anything.

mod tls;

use core::mem::size_of;

use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_NOEXIST, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ringbuf_output;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use wirespan_common::config::Offsets;
use wirespan_common::connection::Connection;
use wirespan_common::loss::{KERNEL_LOSSES, KernelLoss};
use wirespan_common::ports::{PORT_WORDS, port_bit, port_word};
use wirespan_common::record::{Chunk, ConnectionId, Direction, Header, Open, Tail};
use wirespan_common::watch::{NO_BOUNDARY, VerdictValue, Watch};
use zerocopy::{Immutable, IntoBytes};

use crate::capture::Transfer;
use crate::frames::{Frames, Walks};
use crate::memory::{Delivered, OFFSETS_MAX, clamp};
use crate::sockets::PATH_MAX;
use crate::syscall::{Iovec, Registers};

pub use tls::{
    Object, ObjectKey, RECENT_HALVES, Task, TaskKey, carried_by, carries, carries_nothing,
    forget_object, halves, move_object, object, remember_halves, remember_object, task, touch_task,
};

/// Where the running kernel keeps what is read of it; set before loading.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = zerocopy::transmute!([0u8; size_of::<Offsets>()]);

/// 1 if every exec is reported, 0 if only those of watched processes; set before loading.
#[unsafe(no_mangle)]
static REPORT_EVERY_EXEC: Global<u8> = Global::new(0);

/// Records for user space. Its size is set when it is loaded.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(4 * 1024 * 1024, 0);

/// Processes to capture, by thread group.
#[map]
static WATCHED: HashMap<u32, Watch> = HashMap::with_max_entries(16 * 1024, 0);

/// Ports on which a listener becomes watched at once: one bit each.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// Connections of watched processes. The least recently used gives way when it is full.
#[map]
static CONNECTIONS: LruHashMap<ConnectionId, Connection> =
    LruHashMap::with_max_entries(64 * 1024, 0);

/// What user space makes of a connection; read once per turn until it says something.
#[map]
static VERDICTS: LruHashMap<ConnectionId, VerdictValue> =
    LruHashMap::with_max_entries(64 * 1024, 0);

/// Where the frames of HTTP/2 connections are.
#[map]
static FRAMES: LruHashMap<ConnectionId, Walks> = LruHashMap::with_max_entries(8 * 1024, 0);

/// Where threads are in a sendmmsg or recvmmsg whose messages are seen one by one.
#[map]
static MESSAGES: LruHashMap<u32, MessageCursor> = LruHashMap::with_max_entries(1024, 0);

/// Value of [`MESSAGES`].
#[derive(Clone, Copy)]
#[repr(C)]
struct MessageCursor {
    address: u64,
    count: u64,
    next: u64,
}

/// How often a thing was lost, by [`KernelLoss`].
#[map]
static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(KERNEL_LOSSES, 0);

/// Records in the making, per processor: a program on a function can be preempted, and what then
/// runs on its processor needs another one.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(SCRATCHES, 0);
const SCRATCHES: u32 = 3;

/// Longest stretch that one part of a transfer may add to a record.
pub const PART_MAX: usize = 16 * 1024 - 1024;
/// Parts of a scattered transfer that are read at once.
pub const PARTS_AT_ONCE: usize = 4;
/// Payload room: a part may begin wherever a copy can.
const PAYLOAD_ROOM: usize = OFFSETS_MAX + PART_MAX;

/// Records in the making, and what a loop remembers from one round to the next: the verifier knows
/// nothing of values that come from a map, so it need not follow each combination of them.
#[repr(C)]
pub struct Scratch {
    /// 1 while a program fills it. Programs on functions can be preempted by one another; that this
    /// is no atomic exchange leaves a window of two instructions, which needs instructions that
    /// kernels before 5.12 don't have to close.
    taken: u32,
    /// The transfer that is looked at.
    pub transfer: Transfer,
    /// The TLS object whose plaintext it is, where it is.
    pub object: ObjectKey,
    /// What its library was called for; see [`crate::tls::EGRESS`] and those after it.
    pub operation: u16,
    /// The registers of the call that moved it.
    pub registers: Registers,
    /// Address of all of them.
    pub registers_at: u64,
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
    /// An open record.
    pub open: OpenRecord,
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

/// One offset of the kernel's layout, in bytes.
#[inline(always)]
pub fn offset(field: impl FnOnce(&Offsets) -> &u32) -> u64 {
    // SAFETY: a reference to a field of a static. Volatile, because the loader changes the value
    // behind the compiler's back.
    u64::from(unsafe { core::ptr::read_volatile(field(&OFFSETS)) })
}

/// Whether execs of unwatched processes are reported.
#[inline(always)]
pub fn report_every_exec() -> bool {
    REPORT_EVERY_EXEC.load() != 0
}

/// Counts a loss.
#[inline(always)]
pub fn count(loss: KernelLoss) {
    if let Some(counter) = LOSSES.get_ptr_mut(loss as u32) {
        // SAFETY: a per-processor slot that the map lent and never frees; an increment that is
        // interrupted by another on the same processor may count one instead of two.
        unsafe { *counter += 1 };
    }
}

/// How the process is watched, if it is.
#[inline(always)]
pub fn watch_of(tgid: u32) -> Option<Watch> {
    // SAFETY: the value is copied out at once; user space replaces it as a whole.
    unsafe { WATCHED.get(tgid) }.copied()
}

/// Watches a process from now on.
#[inline(always)]
pub fn watch(tgid: u32, watch: &Watch) -> Delivered<()> {
    WATCHED
        .insert(tgid, watch, 0)
        .map_err(|_| KernelLoss::WatchedFull)
}

/// The process has these probes (`PROBES_*`) too, as one of them was just run by it.
#[inline(always)]
pub fn add_probes(tgid: u32, probes: u32) {
    if let Some(watch) = WATCHED.get_ptr_mut(tgid) {
        // SAFETY: elements of a preallocated map stay mapped; where user space replaces the value
        // at this moment, the next call sets the bit again.
        unsafe { (*watch).probes |= probes };
    }
}

/// Watches a process no longer.
#[inline(always)]
pub fn unwatch(tgid: u32) {
    // A process that was not there is what was asked for.
    let _: Result<(), i32> = WATCHED.remove(tgid);
}

/// Whether listening on `port` (host byte order) selects a process.
#[inline(always)]
pub fn port_is_selected(port: u16) -> bool {
    PORTS
        .get(port_word(port))
        .is_some_and(|word| word & port_bit(port) != 0)
}

/// Lends what is remembered of a connection.
#[inline(always)]
pub fn connection(id: ConnectionId) -> Option<&'static mut Connection> {
    let found = CONNECTIONS.get_ptr_mut(id)?;
    // SAFETY: elements of a preallocated map stay mapped; one that is reused meanwhile belongs to
    // another connection and gets a wrong position, which user space takes for a gap.
    Some(unsafe { &mut *found })
}

/// Remembers a new connection, unless another thread has done so by now; lends what is remembered
/// and tells whether it is new.
#[inline(always)]
pub fn remember_connection(
    id: ConnectionId,
    new: &Connection,
) -> Delivered<(&'static mut Connection, bool)> {
    let inserted = CONNECTIONS.insert(id, new, u64::from(BPF_NOEXIST));
    let remembered = connection(id).ok_or(KernelLoss::ConnectionsFull)?;
    Ok((remembered, inserted.is_ok()))
}

/// Forgets a connection and what user space said of it.
#[inline(always)]
pub fn forget_connection(id: ConnectionId) {
    // Either may be gone already: both maps evict.
    let _: Result<(), i32> = CONNECTIONS.remove(id);
    let _: Result<(), i32> = VERDICTS.remove(id);
    let _: Result<(), i32> = FRAMES.remove(id);
}

/// What user space makes of a connection; 0 if it has not said.
#[inline(always)]
pub fn verdict_of(id: ConnectionId) -> u8 {
    // SAFETY: one byte, copied out at once.
    unsafe { VERDICTS.get(id) }.map_or(0, |verdict| verdict.kind)
}

/// A position at which user space knows a frame to begin, or [`NO_BOUNDARY`].
#[inline(always)]
pub fn boundary_of(id: ConnectionId, direction: Direction) -> u64 {
    // SAFETY: two integers, copied out at once.
    unsafe { VERDICTS.get(id) }.map_or(NO_BOUNDARY, |verdict| {
        let [ingress, egress] = verdict.boundaries;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    })
}

/// Lends where the frames of a connection are; nothing is known of them at first.
#[inline(always)]
pub fn frames(id: ConnectionId) -> Option<&'static mut Walks> {
    if FRAMES.get_ptr(id).is_none() {
        // Somebody else may have been faster.
        let _: Result<(), i32> = FRAMES.insert(id, Walks::UNKNOWN, u64::from(BPF_NOEXIST));
    }
    let found = FRAMES.get_ptr_mut(id)?;
    // SAFETY: as for connections.
    Some(unsafe { &mut *found })
}

/// Which message of a sendmmsg or recvmmsg of `count` at `address` just moved. The kernel tells of
/// them one by one: a call begins where another address or count is used, after an error, or when
/// the one before came to its end.
#[inline(always)]
pub fn next_message(tid: u32, address: u64, count: u64) -> u64 {
    // SAFETY: copied out at once; only this thread has this key.
    let cursor = unsafe { MESSAGES.get(tid) }.copied();
    let message = match cursor {
        Some(cursor)
            if cursor.address == address && cursor.count == count && cursor.next < count =>
        {
            cursor.next
        }
        _ => 0,
    };
    let next = message + 1;
    // Without room the next message is taken for the first: its bytes are then misread, once.
    let _: Result<(), i32> = MESSAGES.insert(
        tid,
        MessageCursor {
            address,
            count,
            next,
        },
        0,
    );
    message
}

/// A call of the thread failed: if it was a sendmmsg or recvmmsg, it ends there.
#[inline(always)]
pub fn end_messages(tid: u32) {
    // Looked up first: hardly any thread has such calls, and removing takes a lock.
    if MESSAGES.get_ptr(tid).is_some() {
        let _: Result<(), i32> = MESSAGES.remove(tid);
    }
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

/// Sends the chunk in the scratch buffer with the payload that was copied.
#[inline(always)]
pub fn send_chunk(scratch: &mut Scratch) -> Delivered<()> {
    let payload = clamp::<PAYLOAD_ROOM>(u64::from(scratch.copied));
    // SAFETY: head and payload lie one behind the other.
    unsafe {
        send_bytes(
            &raw mut scratch.head,
            size_of::<ChunkRecord>() as u64 + payload,
            Wake::Later,
        )
    }
}

/// Sends the open record in the scratch buffer with `path_len` bytes of its path.
#[inline(always)]
pub fn send_open(scratch: &mut Scratch, path_len: u32) -> Delivered<()> {
    let len = (size_of::<Header>() + size_of::<Open>()) as u64;
    let path_len = clamp::<PATH_MAX>(u64::from(path_len));
    // SAFETY: the path lies directly behind header and body.
    unsafe { send_bytes(&raw mut scratch.open, len + path_len, Wake::Later) }
}

/// Whether user space should look at once or when it comes round.
#[derive(Clone, Copy)]
pub enum Wake {
    /// Somebody waits for what this record says.
    Now,
    /// It may wait for the reader's next look.
    Later,
}

/// Sends a record that is a single value.
#[inline(always)]
pub fn send<T: IntoBytes + Immutable>(record: &T, wake: Wake) -> Delivered<()> {
    // SAFETY: a value without holes (IntoBytes), all of it.
    unsafe { send_bytes(record, size_of::<T>() as u64, wake) }
}

/// Sends `len` bytes from `record` on.
///
/// # Safety
/// As many bytes must be readable there and initialised.
#[inline(always)]
unsafe fn send_bytes<T>(record: *const T, len: u64, wake: Wake) -> Delivered<()> {
    let flags = match wake {
        Wake::Now => BPF_RB_FORCE_WAKEUP,
        Wake::Later => BPF_RB_NO_WAKEUP,
    };
    // SAFETY: the caller vouches for the bytes; the map is one.
    let failed = unsafe {
        bpf_ringbuf_output(
            (&raw const RECORDS).cast_mut().cast(),
            record.cast_mut().cast(),
            len,
            u64::from(flags),
        )
    };
    if failed != 0 {
        Err(KernelLoss::RingFull)
    } else {
        Ok(())
    }
}
