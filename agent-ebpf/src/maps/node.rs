//! Where threads of Node keep the requests that they serve, as they told by themselves.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;

use crate::memory::Current;

/// By thread. Those that fell out tell it again.
#[map]
static NODE_TABLES: LruHashMap<u32, NodeTable> = LruHashMap::with_max_entries(4 * 1024, 0);

/// Value of [`NODE_TABLES`].
#[derive(Clone, Copy)]
#[repr(C)]
struct NodeTable {
    address: u64,
    /// Whose memory that is in.
    tgid: u32,
    /// How many notes on streams user space was told of; it begins anew.
    told: u32,
}

/// Address of the thread's table, if it told of one.
#[inline(always)]
pub fn node_table(current: Current) -> Option<u64> {
    // SAFETY: copied out at once; only this thread's own calls replace it.
    let table = unsafe { NODE_TABLES.get(current.tid) }.copied()?;
    (table.tgid == current.tgid).then_some(table.address)
}

/// How many notes on streams there were in it when user space was told of them last.
#[inline(always)]
pub fn told_of_node(current: Current) -> Option<&'static mut u32> {
    let table = NODE_TABLES.get_ptr_mut(current.tid)?;
    // SAFETY: elements of a preallocated map stay mapped; only this thread uses its own.
    Some(unsafe { &mut (*table).told })
}

/// The thread told of its table, in which are so many notes on streams.
#[inline(always)]
pub fn remember_node_table(current: Current, address: u64, noted: u32) {
    if node_table(current) == Some(address) {
        return;
    }
    let table = NodeTable {
        address,
        tgid: current.tgid,
        told: noted,
    };
    // Without room it tells again.
    let _: Result<(), i32> = NODE_TABLES.insert(current.tid, table, 0);
}

/// The thread ends, or runs another program.
#[inline(always)]
pub fn forget_node_table(tid: u32) {
    // Most have none.
    let _: Result<(), i32> = NODE_TABLES.remove(tid);
}
