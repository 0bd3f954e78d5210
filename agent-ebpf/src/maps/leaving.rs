//! Sockets whose process has said that it will write no more. Once their process has closed them
//! nothing leads from them to their numbers any longer.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use wirespan_common::record::ConnectionId;

/// Their numbers, by the address of their `struct sock`.
#[map]
static HALF_CLOSED: LruHashMap<u64, ConnectionId> = LruHashMap::with_max_entries(16 * 1024, 0);

/// The process of a socket will write no more.
#[inline(always)]
pub fn half_closes(sk: u64, id: ConnectionId) {
    // Without room its end is noticed when it is looked at.
    let _: Result<(), i32> = HALF_CLOSED.insert(sk, id, 0);
}

/// Takes out the number of such a socket.
#[inline(always)]
pub fn half_closed(sk: u64) -> Option<ConnectionId> {
    let found = HALF_CLOSED.get_ptr(sk)?;
    // SAFETY: elements of a preallocated map stay mapped; whose it is is compared by who asked.
    let id = unsafe { *found };
    let _: Result<(), i32> = HALF_CLOSED.remove(sk);
    Some(id)
}
