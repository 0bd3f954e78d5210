//! Every map and constant that user space shares, and the only functions that touch one. They
//! return values or lend a reference for one call; none of them decides anything.

#[cfg(not(legacy))]
mod carriers;
#[cfg(not(legacy))]
mod contexts;
#[cfg(not(legacy))]
mod inboxes;
mod leaving;
#[cfg(not(legacy))]
mod node;
#[cfg(not(legacy))]
mod options;
#[cfg(legacy)]
mod outbox;
mod own;
mod recent;
#[cfg(not(legacy))]
mod ring;
#[cfg(not(legacy))]
mod rings;
mod runtimes;
mod scratch;
mod sizes;
#[cfg(not(legacy))]
mod storage;
mod tls;
#[cfg(not(legacy))]
mod trace;
#[cfg(legacy)]
#[path = "maps/untraced.rs"]
mod trace;
mod walks;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray};
use wirespan_common::connection::Connection;
use wirespan_common::loss::{KERNEL_LOSSES, KernelLoss};
use wirespan_common::ports::{PORT_WORDS, port_bit, port_word};
use wirespan_common::record::{ConnectionId, Direction, TaskKind};
use wirespan_common::sampling::{LEFT_ALONE_REASONS, LeftAlone, LeftAloneCount};
use wirespan_common::switch::{self, Switch};
use wirespan_common::watch::{HINTS, NO_BOUNDARY, VerdictValue, Watch, hint_slot};

use crate::memory::{Delivered, own_process};

#[cfg(not(legacy))]
pub use carriers::{
    carrier_mode, count_carried, enrol, forget_widened, leaves, note_widened, remember_widened,
    talk, talk_or_new, unfit, widened,
};
#[cfg(not(legacy))]
pub use contexts::{
    Lineage, context, forget_work, remember_context, remember_item, remember_work, take_item, work,
};
#[cfg(not(legacy))]
pub use inboxes::{TaskInbox, inbox, remember_inbox, remember_task_header, task_header};
pub use leaving::{half_closed, half_closes};
#[cfg(not(legacy))]
pub use node::{forget_node_table, node_table, remember_node_table, told_of_node};
#[cfg(not(legacy))]
pub use options::{option_end, option_end_or_new, option_form, told, was_told};
#[cfg(legacy)]
pub use outbox::{flush, next_shard, send, send_chunk, send_from, send_open, shards, tell_news};
pub use own::{is_own_peer, is_own_socket, own_closed, own_connected, own_connects};
#[cfg(not(legacy))]
pub use ring::{flush, send, send_chunk, send_from, send_open, send_task};
#[cfg(not(legacy))]
pub use rings::{next_shard, shards};
pub use runtimes::{
    HeldConnection, HeldKey, held_connection, inherit_runtime, remember_held_connection,
    runtime_mut, runtime_of, struck,
};
pub use scratch::{ChunkRecord, Scratch, with_scratch};
pub use sizes::{PART_MAX, PARTS_AT_ONCE};
pub use tls::{
    FRAMES_AROUND, Frame, Halves, Object, ObjectKey, Task, TaskKey, buffer_of_ring, carried_by,
    carries, carries_nothing, expect_buffer, expected_distance, forget_object, forget_ring, halves,
    move_object, object, remember_halves, remember_object, remember_ring, task, touch_task,
};
#[cfg(legacy)]
pub use tls::{remember_written, written};
#[cfg(not(legacy))]
pub use trace::{
    CallKey, Execution, HeadPart, Served, Trace, answered, asks_on, call, calls, has_turned,
    is_spoken_to, propagates, remember_head_part, sampled_from, served_trace, serves,
    serves_already, serves_nothing, take_asked, take_head_part, was_spoken_to,
};
#[cfg(legacy)]
pub use trace::{forget_widened, note_widened, propagates, widened};
pub use walks::{HEADER_LEN, HEADER_ROOM, HEADER_SIZE, PROOF, Walk, Walks};

/// Whether user space should look at once or when it comes round.
#[derive(Clone, Copy)]
pub enum Wake {
    /// Somebody waits for what this record says.
    Now,
    /// It may wait for the reader's next look.
    Later,
}

/// Processes to capture, by thread group.
#[map]
static WATCHED: HashMap<u32, Watch> = HashMap::with_max_entries(16 * 1024, 0);

/// Whether a process may be among them, by [`hint_slot`]: 1 once one of that slot was, for good.
#[map]
static WATCHED_HINTS: Array<u8> = Array::with_max_entries(HINTS, 0);

/// What user space switches while programs run, by [`Switch`].
#[map]
static SWITCHES: Array<u32> = Array::with_max_entries(switch::SWITCHES, 0);

/// Ports on which a listener becomes watched at once: one bit each.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// Processes that are not watched though they serve a selected port.
#[map]
static REFUSED: LruHashMap<u32, u8> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Connections of watched processes. The least recently used gives way when it is full.
#[map]
static CONNECTIONS: LruHashMap<ConnectionId, Connection> =
    LruHashMap::with_max_entries(64 * 1024, 0);

/// What user space makes of a connection; read once per turn until it says something.
#[map]
static VERDICTS: LruHashMap<ConnectionId, VerdictValue> =
    LruHashMap::with_max_entries(64 * 1024, 0);

/// Where the frames of HTTP/2 connections are.
#[cfg(not(legacy))]
#[map]
static FRAMES: LruHashMap<ConnectionId, Walks> = LruHashMap::with_max_entries(8 * 1024, 0);

/// What is inserted there. Not on the stack, which the programs of TLS need.
#[cfg(not(legacy))]
static UNKNOWN: Walks = Walks::UNKNOWN;

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

/// New connections whose number is below the one here are left out ([`wirespan_common::sampling`]).
#[map]
static SAMPLING: Array<u32> = Array::with_max_entries(1, 0);

/// What was left alone, by [`LeftAlone`].
#[map]
static LEFT_ALONE: PerCpuArray<LeftAloneCount> =
    PerCpuArray::with_max_entries(LEFT_ALONE_REASONS, 0);

/// Sockets that nobody understands, by [`quiet_slot`]: who finds its own there need look nowhere
/// else. Another one may take the slot at any time.
#[map]
static QUIET: Array<QuietSocket> = Array::with_max_entries(QUIET_SLOTS, 0);
const QUIET_SLOTS: u32 = 16 * 1024;

/// Value of [`QUIET`]: an identity may be another socket's once it is closed, and so may its
/// address, but hardly both.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct QuietSocket {
    id: ConnectionId,
    sk: u64,
}

/// Neighbours differ: inode numbers are given out one after the other.
const fn quiet_slot(id: ConnectionId) -> u32 {
    id as u32 % QUIET_SLOTS
}

/// How often a probe on the daemon itself was hit.
#[map]
static TRIES: Array<u64> = Array::with_max_entries(1, 0);

/// Whether user space has switched it on.
#[inline(always)]
pub fn is_on(switch: Switch) -> bool {
    SWITCHES.get(switch as u32).is_some_and(|on| *on != 0)
}

/// Whether it is wirespan's own process.
#[inline(always)]
pub fn is_own(tgid: u32) -> bool {
    own_process() == tgid
}

/// Counts a loss.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
pub fn count(loss: KernelLoss) {
    if let Some(counter) = LOSSES.get_ptr_mut(loss as u32) {
        // SAFETY: a per-processor slot that the map lent and never frees; an increment that is
        // interrupted by another on the same processor may count one instead of two.
        unsafe { *counter += 1 };
    }
}

/// Below which number connections are left out at this moment; 0: none is.
#[inline(always)]
pub fn left_out_below() -> u32 {
    SAMPLING.get(0).copied().unwrap_or(0)
}

/// Counts what is left alone.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
pub fn count_left_alone(reason: LeftAlone, connections: u64, bytes: u64) {
    if let Some(count) = LEFT_ALONE.get_ptr_mut(reason as u32) {
        // SAFETY: as for losses.
        unsafe {
            (*count).connections += connections;
            (*count).bytes += bytes;
        }
    }
}

/// Whether [`remember_quiet`] was told of this socket, and no other one took its slot.
#[inline(always)]
pub fn is_quiet(id: ConnectionId, sk: u64) -> bool {
    QUIET
        .get(quiet_slot(id))
        .is_some_and(|quiet| quiet.id == id && quiet.sk == sk)
}

/// Nothing is to be learnt of what moves on this socket, for good.
#[inline(always)]
pub fn remember_quiet(id: ConnectionId, sk: u64) {
    // A slot of an array is always there.
    let _: Result<(), i32> = QUIET.set(quiet_slot(id), QuietSocket { id, sk }, 0);
}

/// Counts a hit of a probe on the daemon itself.
#[inline(always)]
pub fn count_try() {
    if let Some(counter) = TRIES.get_ptr_mut(0) {
        // SAFETY: the only slot, which the map lent and never frees; one thread is tried at a time.
        unsafe { *counter += 1 };
    }
}

/// Whether the process may be watched: it is not, where this says no.
#[inline(always)]
pub fn may_be_watched(tgid: u32) -> bool {
    WATCHED_HINTS
        .get(hint_slot(tgid))
        .is_some_and(|hint| *hint != 0)
}

/// How the process is watched, if it is.
#[inline(always)]
pub fn watch_of(tgid: u32) -> Option<Watch> {
    if !may_be_watched(tgid) {
        return None;
    }
    look_up(tgid)
}

/// [`watch_of`] for programs that nothing preempts and that run for each transfer.
#[inline(always)]
pub fn watch_of_busy(tgid: u32) -> Option<Watch> {
    if !may_be_watched(tgid) {
        return None;
    }
    recent::recent(tgid, || look_up(tgid))
}

#[inline(always)]
fn look_up(tgid: u32) -> Option<Watch> {
    // SAFETY: the value is copied out at once; user space replaces it as a whole.
    unsafe { WATCHED.get(tgid) }.copied()
}

/// The shard that is told of what a process does, but for connections that it was given.
#[inline(always)]
pub fn shard_of(tgid: u32) -> u8 {
    if shards() <= 1 {
        return 0;
    }
    watch_of(tgid).map_or(0, |watch| watch.shard)
}

/// Watches a process from now on.
#[inline(always)]
pub fn watch(tgid: u32, watch: &Watch) -> Delivered<()> {
    // First, so that nobody finds the one without the other.
    let _: Result<(), i32> = WATCHED_HINTS.set(hint_slot(tgid), 1, 0);
    let inserted = WATCHED.insert(tgid, watch, 0);
    recent::changed();
    inserted.map_err(|_| KernelLoss::WatchedFull)
}

/// The process has these probes (`PROBES_*`) too, as one of them was just run by it.
#[inline(always)]
pub fn add_probes(tgid: u32, probes: u32) {
    if let Some(watch) = WATCHED.get_ptr_mut(tgid) {
        // SAFETY: elements of a preallocated map stay mapped; where user space replaces the value
        // at this moment, the next call sets the bit again.
        unsafe { (*watch).probes |= probes };
        recent::changed();
    }
}

/// The process runs another program, whose runtime nobody knows, nor whether it is to carry.
#[inline(always)]
pub fn forget_tasks(tgid: u32) {
    if let Some(watch) = WATCHED.get_ptr_mut(tgid) {
        // SAFETY: as above.
        unsafe {
            (*watch).tasks = 0;
            (*watch).carries = 0;
        }
        recent::changed();
    }
}

/// The process tells its tasks apart itself, in a way of this kind; whatever else is known of its
/// runtime stays.
#[inline(always)]
pub fn set_tasks(tgid: u32, kind: TaskKind) {
    let Some(watch) = WATCHED.get_ptr_mut(tgid) else {
        return;
    };
    // SAFETY: as above; where user space replaces the value meanwhile, the process tells again.
    let tasks = unsafe { &mut (*watch).tasks };
    if *tasks == 0 || *tasks == TaskKind::Thread as u8 {
        *tasks = kind as u8;
        recent::changed();
    }
}

/// User space is to be told again when the process serves: it runs another program, or the telling
/// failed.
#[inline(always)]
pub fn forget_service(tgid: u32) {
    if let Some(watch) = WATCHED.get_ptr_mut(tgid) {
        // SAFETY: as above.
        unsafe { (*watch).serves = 0 };
        recent::changed();
    }
}

/// Watches a process no longer.
#[inline(always)]
pub fn unwatch(tgid: u32) {
    // A process that was not there is what was asked for.
    if WATCHED.remove(tgid).is_ok() {
        recent::changed();
    }
    runtimes::forget(tgid);
}

/// Whether user space refuses the process, however it serves.
#[inline(always)]
pub fn is_refused(tgid: u32) -> bool {
    REFUSED.get_ptr(tgid).is_some()
}

/// The process has ended, or runs another program. Returns whether it was refused.
#[inline(always)]
pub fn forget_refusal(tgid: u32) -> bool {
    // Looked up first: hardly any process is, and removing takes a lock.
    is_refused(tgid) && REFUSED.remove(tgid).is_ok()
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
    #[cfg(not(legacy))]
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
#[cfg(not(legacy))]
#[inline(always)]
pub fn frames(id: ConnectionId) -> Option<&'static mut Walks> {
    if FRAMES.get_ptr(id).is_none() {
        // Somebody else may have been faster.
        let new: &Walks = &UNKNOWN;
        let _: Result<(), i32> = FRAMES.insert(id, new, u64::from(BPF_NOEXIST));
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
