//! Which trace what runs belongs to, as far as that is known in time. All maps are bounded; what
//! they forget is not known any more.

use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use wirespan_common::record::ConnectionId;

use crate::context::head::RequestHead;

/// Whether anybody asks for it; set before loading.
#[unsafe(no_mangle)]
static PROPAGATES: Global<u8> = Global::new(0);

/// From which randomness on traces that begin here are sampled: 56 bits; set before loading.
#[unsafe(no_mangle)]
static SAMPLED_FROM: Global<u64> = Global::new(0);

/// Who serves a request: a task, by its process and its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Execution {
    /// Thread group.
    pub tgid: u32,
    /// A [`wirespan_common::record::TaskKind`].
    pub kind: u32,
    /// Its number.
    pub task: u64,
}

/// A trace, or that it is not known which.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Trace {
    /// Its id; zero where it is not known.
    pub id: [u8; 16],
    /// Flags of W3C Trace Context.
    pub flags: u64,
}

impl Trace {
    /// It is not known which.
    pub const UNKNOWN: Self = Self {
        id: [0; 16],
        flags: 0,
    };

    /// Whether it is known.
    #[inline(always)]
    pub fn is_known(&self) -> bool {
        self.id != [0; 16]
    }
}

/// A request, by what both ends of its TCP connection know: sequence numbers of the first bytes of
/// its client and its server, and where it begins.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CallKey {
    /// Of the client, then of the server.
    pub starts: [u32; 2],
    /// Bytes that the client sent before, modulo 2^32.
    pub position: u32,
    /// Zero.
    pub reserved: u32,
}

/// A request that is being served, and what else may be read of it: all that comes on its
/// connection until something is written there.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Served {
    /// By whom.
    pub execution: Execution,
    /// Sequence numbers of the first bytes of its client and its server: another connection may
    /// have the id of one that is gone.
    pub starts: [u32; 2],
    /// Bytes that were written on the connection before, modulo 2^32.
    pub answered: u32,
    /// Zero.
    pub reserved: u32,
}

/// The first part of a head.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct HeadPart {
    /// The request.
    pub key: CallKey,
    /// Bytes that were read of it.
    pub len: u32,
}

/// The same with what it said so far.
#[repr(C)]
struct ReadHead {
    head: RequestHead,
    key: CallKey,
    len: u32,
    /// Zero.
    reserved: u32,
}

/// What is served by whom.
#[map]
static SERVING: LruHashMap<Execution, Trace> = LruHashMap::with_max_entries(16 * 1024, 0);
/// By whom the request is served that was read on a connection and not answered.
#[map]
static SERVED: LruHashMap<ConnectionId, Served> = LruHashMap::with_max_entries(16 * 1024, 0);
/// Who asks next on a connection, where another task writes what it asks.
#[map]
static ASKED: LruHashMap<ConnectionId, Trace> = LruHashMap::with_max_entries(16 * 1024, 0);
/// What was read so far of a head that came in parts.
#[map]
static HEAD_PARTS: LruHashMap<ConnectionId, ReadHead> = LruHashMap::with_max_entries(4 * 1024, 0);
/// Requests that watched processes of this machine make.
#[map]
static CALLS: LruHashMap<CallKey, Trace> = LruHashMap::with_max_entries(16 * 1024, 0);
/// How much of a connection was read before the last request was sent on it, where nothing else is
/// kept of its turns.
#[map]
static TURNS: LruHashMap<[u32; 2], u32> = LruHashMap::with_max_entries(16 * 1024, 0);
/// Processes to which others spoke first.
#[map]
static SERVERS: LruHashMap<u32, u8> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Whether anybody asks which trace what runs belongs to.
#[inline(always)]
pub fn propagates() -> bool {
    PROPAGATES.load() != 0
}

/// From which randomness on traces that begin here are sampled.
#[inline(always)]
pub fn sampled_from() -> u64 {
    SAMPLED_FROM.load()
}

/// A request that was read on a connection is being served.
#[inline(always)]
pub fn serves(connection: ConnectionId, served: &Served, trace: &Trace) {
    let _: Result<(), i32> = SERVING.insert(served.execution, trace, 0);
    let _: Result<(), i32> = SERVED.insert(connection, served, 0);
}

/// A head goes on with what is read next.
#[inline(always)]
pub fn remember_head_part(connection: ConnectionId, part: &HeadPart, head: &RequestHead) {
    let read = ReadHead {
        head: *head,
        key: part.key,
        len: part.len,
        reserved: 0,
    };
    let _: Result<(), i32> = HEAD_PARTS.insert(connection, read, 0);
}

/// What was read before on a connection, if that was a part of a head; what it said goes to `head`.
#[inline(always)]
pub fn take_head_part(connection: ConnectionId, head: &mut RequestHead) -> Option<HeadPart> {
    // SAFETY: copied out at once.
    let read = unsafe { HEAD_PARTS.get(connection) }?;
    *head = read.head;
    let part = HeadPart {
        key: read.key,
        len: read.len,
    };
    let _: Result<(), i32> = HEAD_PARTS.remove(connection);
    Some(part)
}

/// Whether one was read on the same connection that is not answered.
#[inline(always)]
pub fn serves_already(connection: ConnectionId, served: &Served) -> bool {
    // SAFETY: compared at once.
    let known = unsafe { SERVED.get(connection) };
    known.is_some_and(|it| it.starts == served.starts && it.answered == served.answered)
}

/// What an execution serves.
#[inline(always)]
pub fn served_trace(execution: &Execution) -> Option<Trace> {
    // SAFETY: copied out at once; a torn one is taken for none by nobody, which is why a value is
    // only ever replaced by the execution itself.
    unsafe { SERVING.get(execution) }.copied()
}

/// An execution serves nothing that is known.
#[inline(always)]
pub fn serves_nothing(execution: &Execution) {
    if SERVING.get_ptr(execution).is_some() {
        let _: Result<(), i32> = SERVING.remove(execution);
    }
}

/// A request is answered. Returns whether one was read on this connection.
#[inline(always)]
pub fn answered(connection: ConnectionId) -> bool {
    // SAFETY: copied out at once.
    let Some(served) = (unsafe { SERVED.get(connection) }).copied() else {
        return false;
    };
    serves_nothing(&served.execution);
    let _: Result<(), i32> = SERVED.remove(connection);
    true
}

/// The next request on a connection is made for this trace.
#[inline(always)]
pub fn asks_on(connection: ConnectionId, trace: &Trace) {
    let _: Result<(), i32> = ASKED.insert(connection, trace, 0);
}

/// For which trace the request is made that is sent now on a connection, if somebody said.
#[inline(always)]
pub fn take_asked(connection: ConnectionId) -> Option<Trace> {
    // SAFETY: copied out at once.
    let trace = unsafe { ASKED.get(connection) }.copied()?;
    let _: Result<(), i32> = ASKED.remove(connection);
    Some(trace)
}

/// A watched process makes a request.
#[inline(always)]
pub fn calls(key: &CallKey, trace: &Trace) {
    let _: Result<(), i32> = CALLS.insert(key, trace, 0);
}

/// Something is sent on a connection, of which so many bytes were read, modulo 2^32. Returns
/// whether it is the first after something was read.
#[inline(always)]
pub fn has_turned(starts: [u32; 2], read: u32) -> bool {
    // SAFETY: compared at once.
    if unsafe { TURNS.get(starts) }.copied() == Some(read) {
        return false;
    }
    let _: Result<(), i32> = TURNS.insert(starts, read, 0);
    true
}

/// What is known of a request that a watched process of this machine makes.
#[inline(always)]
pub fn call(key: &CallKey) -> Option<Trace> {
    // SAFETY: copied out at once.
    unsafe { CALLS.get(key) }.copied()
}

/// Somebody spoke to a process first.
#[inline(always)]
pub fn is_spoken_to(tgid: u32) {
    if SERVERS.get_ptr(tgid).is_none() {
        let _: Result<(), i32> = SERVERS.insert(tgid, 1u8, 0);
    }
}

/// Whether anybody did.
#[inline(always)]
pub fn was_spoken_to(tgid: u32) -> bool {
    SERVERS.get_ptr(tgid).is_some()
}
