//! wirespan's own connections, so that their other ends are left alone.

use aya_ebpf::macros::map;
use aya_ebpf::maps::LruHashMap;
use wirespan_common::own::Ends;

/// Its sockets that connect or are connected, by the address of their `struct sock`; with their
/// ends as the peer sees them, zeros before they are known.
#[map]
static OWN_SOCKETS: LruHashMap<u64, Ends> = LruHashMap::with_max_entries(4096, 0);

/// The connections that are established, as their other ends see them.
#[map]
static OWN_PEERS: LruHashMap<Ends, u8> = LruHashMap::with_max_entries(4096, 0);

/// wirespan connects by this socket.
#[inline(always)]
pub fn own_connects(sk: u64, unknown: &Ends) {
    // Without room it is not known, and what is heard of it is recognised in another way.
    let _: Result<(), i32> = OWN_SOCKETS.insert(sk, unknown, 0);
}

/// Whether wirespan connects by this socket.
#[inline(always)]
pub fn is_own_socket(sk: u64) -> bool {
    OWN_SOCKETS.get_ptr(sk).is_some()
}

/// A socket of wirespan is connected; these are the ends as the peer sees them.
#[inline(always)]
pub fn own_connected(sk: u64, seen_by_peer: &Ends) {
    let _: Result<(), i32> = OWN_SOCKETS.insert(sk, seen_by_peer, 0);
    let _: Result<(), i32> = OWN_PEERS.insert(seen_by_peer, 0, 0);
}

/// A socket of anybody is closed.
#[inline(always)]
pub fn own_closed(sk: u64) {
    if let Some(ends) = OWN_SOCKETS.get_ptr(sk) {
        // SAFETY: elements of a preallocated map stay mapped.
        let _: Result<(), i32> = OWN_PEERS.remove(unsafe { *ends });
        let _: Result<(), i32> = OWN_SOCKETS.remove(sk);
    }
}

/// Whether this is the other end of a connection of wirespan's own.
#[inline(always)]
pub fn is_own_peer(ends: &Ends) -> bool {
    OWN_PEERS.get_ptr(ends).is_some()
}
