//! How the tasks of each process's runtime are found; user space says so.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap};
use wirespan_common::runtime::Runtime;

/// By thread group; only those whose `Watch` names a kind of task.
#[map]
static RUNTIMES: HashMap<u32, Runtime> = HashMap::with_max_entries(4096, 0);

/// Where structures of Go's libraries have their connection.
#[map]
static HELD_CONNECTIONS: LruHashMap<HeldKey, HeldConnection> =
    LruHashMap::with_max_entries(4096, 0);

/// Key of [`HELD_CONNECTIONS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct HeldKey {
    /// Thread group.
    pub tgid: u32,
    /// Which structure; see `hooks::go_tasks`.
    pub held: u32,
}

/// Value of [`HELD_CONNECTIONS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct HeldConnection {
    /// Where in the structure.
    pub offset: u32,
    /// How often it was not there.
    pub misses: u32,
}

/// Lends where a structure was seen to have its connection.
#[inline(always)]
pub fn held_connection(key: HeldKey) -> Option<&'static mut HeldConnection> {
    let found = HELD_CONNECTIONS.get_ptr_mut(key)?;
    // SAFETY: elements of a preallocated map stay mapped; with one that is reused meanwhile, what
    // is looked at is checked all the same.
    Some(unsafe { &mut *found })
}

/// A structure has its connection there.
#[inline(always)]
pub fn remember_held_connection(key: HeldKey, held: &HeldConnection) {
    // Without room it is looked for again.
    let _: Result<(), i32> = HELD_CONNECTIONS.insert(key, held, 0);
}

/// How the tasks of a process are found.
#[inline(always)]
pub fn runtime_of(tgid: u32) -> Option<&'static Runtime> {
    // SAFETY: elements of a preallocated map stay mapped; user space replaces a value as a whole,
    // and one that is reused meanwhile leads to memory that is read within bounds.
    unsafe { RUNTIMES.get(tgid) }
}

/// The same, for a probe on tasks that was just struck, which is counted.
#[inline(always)]
pub fn struck(tgid: u32) -> Option<&'static mut Runtime> {
    let runtime = runtime_mut(tgid)?;
    runtime.strikes = runtime.strikes.wrapping_add(1);
    Some(runtime)
}

/// Lends it, to note in it what was found out by looking at the process.
#[inline(always)]
pub fn runtime_mut(tgid: u32) -> Option<&'static mut Runtime> {
    let found = RUNTIMES.get_ptr_mut(tgid)?;
    // SAFETY: as above; what two threads note at a time is words that either of them found right.
    Some(unsafe { &mut *found })
}

/// A child has the mappings of its parent, and so its runtime.
#[inline(always)]
pub fn inherit_runtime(parent: u32, child: u32) {
    if let Some(runtime) = runtime_of(parent) {
        // Without room its tasks are not told apart.
        let _: Result<(), i32> = RUNTIMES.insert(child, runtime, 0);
    }
}

/// The process is watched no longer.
#[inline(always)]
pub fn forget(tgid: u32) {
    // Most have none.
    let _: Result<(), i32> = RUNTIMES.remove(tgid);
}
