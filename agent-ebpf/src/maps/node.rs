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
    reserved: u32,
}

/// Address of the thread's table, if it told of one.
#[inline(always)]
pub fn node_table(current: Current) -> Option<u64> {
    // SAFETY: copied out at once; only this thread's own calls replace it.
    let table = unsafe { NODE_TABLES.get(current.tid) }.copied()?;
    (table.tgid == current.tgid).then_some(table.address)
}

/// The thread told of its table.
#[inline(always)]
pub fn remember_node_table(current: Current, address: u64) {
    let table = NodeTable {
        address,
        tgid: current.tgid,
        reserved: 0,
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
