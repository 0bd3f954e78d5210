//! The maps of TLS: objects, the sockets that carry them, and threads that use them. As with the
//! other maps, nothing is decided here.
//!
//! All three evict: an object that is never freed, a call whose end is never seen and a thread that
//! ends leave nothing behind for good.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
#[cfg(legacy)]
use aya_ebpf::maps::PerCpuArray;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::ConnectionId;

use crate::memory::Delivered;
#[cfg(legacy)]
use crate::memory::clamp;

/// TLS objects by process and address.
#[map]
static TLS_OBJECTS: LruHashMap<ObjectKey, Object> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Which TLS object is on a socket.
#[map]
static TLS_CARRIERS: LruHashMap<ConnectionId, ConnectionId> =
    LruHashMap::with_max_entries(16 * 1024, 0);

/// What threads, or goroutines, are doing with TLS.
#[map]
static TLS_TASKS: LruHashMap<TaskKey, Task> = LruHashMap::with_max_entries(8 * 1024, 0);

/// What is inserted there, zeros. Not on the stack, which what comes after needs.
#[cfg(legacy)]
#[map]
static NEW_TASKS: PerCpuArray<Task> = PerCpuArray::with_max_entries(1, 0);

/// What is inserted there. Not on the stack, which what comes after needs.
#[cfg(not(legacy))]
static NEW_TASK: Task = Task {
    frame: Frame::NONE,
    around: [Frame::NONE; FRAMES_AROUND],
    goroutine: 0,
    fresh: 0,
    fresh_sk: 0,
    pending: 0,
    fresh_type: 0,
    fresh_is_doubtful: 0,
    pending_is_doubtful: 0,
    reserved: [0; 5],
};

/// Calls that may be under way around another one: TLS within TLS, and once more.
pub const FRAMES_AROUND: usize = 2;

/// By process, what is known of halves.
#[map]
static TLS_HALVES: LruHashMap<u32, Halves> = LruHashMap::with_max_entries(1024, 0);

/// By process and address of its memory, the buffer that was seen to have it last.
#[map]
static TLS_RINGS: LruHashMap<ObjectKey, u64> = LruHashMap::with_max_entries(16 * 1024, 0);

/// By process and address, a buffer that is expected to be read, and how far within its connection
/// that is.
#[map]
static TLS_EXPECTED: LruHashMap<ObjectKey, u64> = LruHashMap::with_max_entries(1024, 0);

/// By process, the connections that were written last.
#[cfg(legacy)]
#[map]
static TLS_WRITTEN: LruHashMap<u32, LatelyWritten> = LruHashMap::with_max_entries(1024, 0);

/// Value of [`TLS_WRITTEN`]; each new one takes the place of the oldest.
#[cfg(legacy)]
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct LatelyWritten {
    /// Their addresses; 0 is none.
    pub connections: [u64; WRITTEN_MAX],
    next: u64,
}
#[cfg(legacy)]
const WRITTEN_MAX: usize = 8;

/// Value of [`TLS_HALVES`]; see [`crate::tls::halves`].
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Halves {
    /// How far within a connection the buffer lies that is read; 0 while nobody knows.
    pub distance: u64,
    /// 1 if that is certain.
    pub is_certain: u32,
    /// How many connections one behind the other had it there.
    pub agreed: u32,
    /// How many connections were looked at for that.
    pub looks: u32,
    /// Zero.
    pub reserved: u32,
}

/// Key of [`TLS_OBJECTS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ObjectKey {
    /// Address of what the library calls its connection.
    pub address: u64,
    /// Thread group.
    pub tgid: u64,
}

impl ObjectKey {
    /// An object of a thread group.
    #[inline(always)]
    pub fn new(tgid: u32, address: u64) -> Self {
        Self {
            address,
            tgid: tgid.into(),
        }
    }
}

/// A TLS object.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Object {
    /// Its identity as a connection.
    pub id: ConnectionId,
    /// The socket underneath, or the object; 0 while it is not known.
    pub carrier: ConnectionId,
    /// Address of that socket's `struct sock`.
    pub sk: u64,
    /// How often plaintext was looked at since the socket is known; 0 before any moved.
    pub used: u64,
    /// Of what is read by a buffer, the address of the buffer's memory; else 0.
    pub ring: u64,
}

/// Key of [`TLS_TASKS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TaskKey {
    /// A thread's number, or the address of a goroutine.
    pub task: u64,
    /// Thread group of a goroutine; 0 for a thread, whose number says enough.
    pub tgid: u64,
}

/// A call of a library that is under way.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Frame {
    /// Address of the object that the library was called with, 0 where there is no call.
    pub object: u64,
    /// The caller's buffer.
    pub buffer: u64,
    /// Its length.
    pub room: u64,
    /// Where the return address is.
    pub stack: u64,
    /// Where the library writes how many bytes moved, 0 where it returns that.
    pub len_at: u64,
    /// What TLS records moved on during the call, a socket or another object; 0 if none did.
    pub nested: ConnectionId,
    /// Address of that socket's `struct sock`, or of the socket's under that object.
    pub nested_sk: u64,
    /// See [`crate::tls::EGRESS`] and those after it.
    pub operation: u16,
    reserved: [u8; 6],
}

impl Frame {
    /// No call.
    pub const NONE: Self = Self {
        object: 0,
        buffer: 0,
        room: 0,
        stack: 0,
        len_at: 0,
        nested: 0,
        nested_sk: 0,
        operation: 0,
        reserved: [0; 6],
    };

    /// The same, member by member, because the compiler copies structures by a function.
    #[inline(always)]
    fn become_like(&mut self, other: &Self) {
        self.object = other.object;
        self.buffer = other.buffer;
        self.room = other.room;
        self.stack = other.stack;
        self.len_at = other.len_at;
        self.nested = other.nested;
        self.nested_sk = other.nested_sk;
        self.operation = other.operation;
    }
}

/// What a task is doing, and did last.
#[repr(C)]
pub struct Task {
    /// The call that is under way: of several within one another, the innermost.
    pub frame: Frame,
    /// Those around it, from within.
    around: [Frame; FRAMES_AROUND],
    /// The goroutine that the task is, if it is one; else 0.
    pub goroutine: u64,
    /// What the task read TLS records from outside of any call which no object has taken yet, a
    /// socket or another object; 0 if there is none.
    pub fresh: ConnectionId,
    /// Address of that socket's `struct sock`, or of the socket's under that object.
    pub fresh_sk: u64,
    /// Address of an object that has something to send which no socket has taken yet; 0 if there is
    /// none.
    pub pending: u64,
    /// Type of the TLS record that `fresh` began with.
    pub fresh_type: u8,
    /// 1 if it could be another socket's than `fresh`.
    pub fresh_is_doubtful: u8,
    /// 1 if it could be another object than `pending`.
    pub pending_is_doubtful: u8,
    reserved: [u8; 5],
}

impl Task {
    /// Another call begins within the one that is under way, which is kept. Returns whether all
    /// are: the outermost gives way where there are too many.
    #[inline(always)]
    pub fn keep(&mut self) -> bool {
        let [first, second] = &mut self.around;
        let has_room = second.object == 0;
        second.become_like(first);
        first.become_like(&self.frame);
        has_room
    }

    /// Whether the call that had its return address at `stack` is under way; those within it are
    /// over then, whose ends were missed.
    #[inline(always)]
    pub fn returns_to(&mut self, stack: u64) -> bool {
        if self.frame.object != 0 && self.frame.stack == stack {
            return true;
        }
        let [first, second] = &self.around;
        if first.object != 0 && first.stack == stack {
            self.leave();
            return true;
        }
        if second.object != 0 && second.stack == stack {
            self.leave();
            self.leave();
            return true;
        }
        false
    }

    /// The call that is under way is over: the one around it is, now.
    #[inline(always)]
    pub fn leave(&mut self) {
        let [first, second] = &mut self.around;
        self.frame.become_like(first);
        first.become_like(second);
        second.object = 0;
    }
}

/// Lends what a task is doing; `None` if it never did anything.
#[inline(always)]
pub fn task(key: TaskKey) -> Option<&'static mut Task> {
    let found = TLS_TASKS.get_ptr_mut(key)?;
    // SAFETY: elements of a preallocated map stay mapped; one that is reused meanwhile belongs to
    // another task, which begins its next call by writing over it.
    Some(unsafe { &mut *found })
}

/// The same, beginning to remember it.
#[inline(always)]
pub fn touch_task(key: TaskKey) -> Delivered<&'static mut Task> {
    if let Some(found) = task(key) {
        return Ok(found);
    }
    let new = new_task()?;
    TLS_TASKS
        .insert(key, new, 0)
        .map_err(|_| KernelLoss::TlsFull)?;
    task(key).ok_or(KernelLoss::TlsFull)
}

#[cfg(not(legacy))]
#[inline(always)]
fn new_task() -> Delivered<&'static Task> {
    Ok(&NEW_TASK)
}

#[cfg(legacy)]
#[inline(always)]
fn new_task() -> Delivered<&'static Task> {
    NEW_TASKS.get(0).ok_or(KernelLoss::TlsFull)
}

/// Lends what is remembered of an object.
#[inline(always)]
pub fn object(key: ObjectKey) -> Option<&'static mut Object> {
    let found = TLS_OBJECTS.get_ptr_mut(key)?;
    // SAFETY: as above; an object that was freed meanwhile by another thread was in use by two.
    Some(unsafe { &mut *found })
}

/// Begins to remember an object that nothing is known of but its identity.
#[inline(always)]
pub fn remember_object(key: ObjectKey, id: ConnectionId) -> Delivered<()> {
    let new = Object {
        id,
        carrier: 0,
        sk: 0,
        used: 0,
        ring: 0,
    };
    TLS_OBJECTS
        .insert(key, new, 0)
        .map_err(|_| KernelLoss::TlsFull)
}

/// Remembers an object that was known by another key.
#[inline(always)]
pub fn move_object(key: ObjectKey, object: Object) -> Delivered<()> {
    TLS_OBJECTS
        .insert(key, object, 0)
        .map_err(|_| KernelLoss::TlsFull)
}

/// See [`TLS_HALVES`]; zeroes where nothing is known.
#[inline(always)]
pub fn halves(tgid: u32) -> Halves {
    // SAFETY: copied out at once.
    unsafe { TLS_HALVES.get(tgid) }.copied().unwrap_or_default()
}

/// Notes the same.
#[inline(always)]
pub fn remember_halves(tgid: u32, halves: &Halves) {
    // Without room it is learned again.
    let _: Result<(), i32> = TLS_HALVES.insert(tgid, halves, 0);
}

/// A connection is written.
#[cfg(legacy)]
#[inline(always)]
pub fn remember_written(tgid: u32, connection: u64) {
    let Some(written) = TLS_WRITTEN.get_ptr_mut(tgid) else {
        let mut first = LatelyWritten::default();
        first.connections[0] = connection;
        first.next = 1;
        // Without room it is remembered the next time.
        let _: Result<(), i32> = TLS_WRITTEN.insert(tgid, first, 0);
        return;
    };
    // SAFETY: elements of a preallocated map stay mapped; of two threads at a time one may be
    // forgotten.
    let written = unsafe { &mut *written };
    let next = clamp::<{ WRITTEN_MAX - 1 }>(written.next);
    if let Some(place) = written.connections.get_mut(next as usize) {
        *place = connection;
    }
    written.next = (next + 1) % WRITTEN_MAX as u64;
}

/// Those that were written last.
#[cfg(legacy)]
#[inline(always)]
pub fn written(tgid: u32) -> Option<&'static LatelyWritten> {
    let found = TLS_WRITTEN.get_ptr(tgid)?;
    // SAFETY: as above; each address is looked up by itself.
    Some(unsafe { &*found })
}

/// How far within a connection this buffer is expected.
#[inline(always)]
pub fn expected_distance(tgid: u32, buffer: u64) -> Option<u64> {
    // SAFETY: copied out at once.
    unsafe { TLS_EXPECTED.get(ObjectKey::new(tgid, buffer)) }.copied()
}

/// A buffer is expected there.
#[inline(always)]
pub fn expect_buffer(tgid: u32, buffer: u64, distance: u64) {
    // Without room another one is.
    let _: Result<(), i32> = TLS_EXPECTED.insert(ObjectKey::new(tgid, buffer), distance, 0);
}

/// The buffer that was seen last to have its memory there.
#[inline(always)]
pub fn buffer_of_ring(tgid: u32, ring: u64) -> Option<u64> {
    // SAFETY: copied out at once.
    unsafe { TLS_RINGS.get(ObjectKey::new(tgid, ring)) }.copied()
}

/// A buffer has its memory there.
#[inline(always)]
pub fn remember_ring(tgid: u32, ring: u64, buffer: u64) {
    // Without room a buffer that moves is taken for another one.
    let _: Result<(), i32> = TLS_RINGS.insert(ObjectKey::new(tgid, ring), buffer, 0);
}

/// That memory is nobody's any more.
#[inline(always)]
pub fn forget_ring(tgid: u32, ring: u64) {
    // It may have been evicted.
    let _: Result<(), i32> = TLS_RINGS.remove(ObjectKey::new(tgid, ring));
}

/// Forgets an object.
#[inline(always)]
pub fn forget_object(key: ObjectKey) {
    // It may have been evicted.
    let _: Result<(), i32> = TLS_OBJECTS.remove(key);
}

/// The object that a socket carries.
#[inline(always)]
pub fn carried_by(socket: ConnectionId) -> Option<ConnectionId> {
    // SAFETY: copied out at once.
    unsafe { TLS_CARRIERS.get(socket) }.copied()
}

/// Notes which object a socket carries.
#[inline(always)]
pub fn carries(socket: ConnectionId, object: ConnectionId) {
    // A full map evicts; the worst is that an end is told late.
    let _: Result<(), i32> = TLS_CARRIERS.insert(socket, object, 0);
}

/// The socket carries nothing any more.
#[inline(always)]
pub fn carries_nothing(socket: ConnectionId) {
    // It may have been evicted.
    let _: Result<(), i32> = TLS_CARRIERS.remove(socket);
}
