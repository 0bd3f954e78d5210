//! What the carriers of trace context share with user space. Two of the maps are of kinds that a
//! run without carriers has neither use nor right for (`CAP_NET_ADMIN`): here stand arrays of one
//! element in their place, and the loader of these programs gives them the maps that it made.

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::helpers::generated;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray};
use wirespan_common::carriers::{Carried, ENROLLED_MAX, Talk, UnfitPlaces};

use super::propagates;
use super::storage::stored;
use crate::memory::SocketEvent;

/// In the place of a sockhash: connections whose messages are looked at, by their cookies.
#[map]
static ENROLLED: Array<u32> = Array::with_max_entries(1, 0);

/// In the place of storage of sockets: what is remembered of those of watched processes.
#[map]
static TALKS: Array<u32> = Array::with_max_entries(1, 0);

/// How programs work: `MODE_*`.
#[map]
static CARRIER_MODE: Array<u32> = Array::with_max_entries(1, 0);

/// How often a thing was done or declined, by [`Carried`].
#[map]
static CARRIED: PerCpuArray<u64> = PerCpuArray::with_max_entries(Carried::ALL.len() as u32, 0);

/// What was inserted into what sockets send, by the address of `struct sock`. The least recently
/// used gives way when it is full: span ids of its further requests are then others than those that
/// were sent.
#[map]
static WIDENED: LruHashMap<u64, Widened> = LruHashMap::with_max_entries(ENROLLED_MAX, 0);

/// Connections that are not to be enrolled any longer, by their keys in `ENROLLED`: no program of
/// these kinds may take one out, which is left to user space. The least recently named gives way
/// when it is full, and stays enrolled, left alone.
#[map]
static LEAVING: LruHashMap<u64, u8> = LruHashMap::with_max_entries(1024, 0);

/// Where a socket says that it is not to be enrolled; set before loading.
#[unsafe(no_mangle)]
static UNFIT_PLACES: UnfitPlaces = zerocopy::transmute!([0u8; size_of::<UnfitPlaces>()]);

/// Bytes that were inserted into a stream, modulo 2^32.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Widened {
    /// Up to now.
    pub total: u32,
    /// Before the transfer that is not noted yet.
    pub noted: u32,
}

/// Leaves the socket alone if it is enrolled already (include/uapi/linux/bpf.h).
const BPF_NOEXIST: u64 = 1;

/// `MODE_*`.
#[inline(always)]
pub fn carrier_mode() -> u32 {
    CARRIER_MODE.get(0).copied().unwrap_or(0)
}

/// Bytes were inserted into what a socket sends.
#[inline(always)]
pub fn remember_widened(sk: u64, len: u32) {
    if let Some(widened) = WIDENED.get_ptr_mut(sk) {
        // SAFETY: elements of a preallocated map stay mapped; one that is reused meanwhile is
        // another socket's, whose span ids are then others than those that were sent.
        unsafe { (*widened).total = (*widened).total.wrapping_add(len) };
        return;
    }
    let new = Widened {
        total: len,
        noted: 0,
    };
    // Only if the map is broken there is no room.
    let _: Result<(), i32> = WIDENED.insert(sk, new, 0);
}

/// What was inserted into what a socket sends, if anything was.
#[inline(always)]
pub fn widened(sk: u64) -> Option<Widened> {
    // SAFETY: two integers, copied out at once.
    unsafe { WIDENED.get(sk) }.copied()
}

/// A transfer was noted: what is inserted from now on is so after it.
#[inline(always)]
pub fn note_widened(sk: u64) {
    if let Some(widened) = WIDENED.get_ptr_mut(sk) {
        // SAFETY: as above.
        unsafe { (*widened).noted = (*widened).total };
    }
}

/// A socket is out of use: its address may be another's from now on.
#[inline(always)]
pub fn forget_widened(sk: u64) {
    if propagates() && WIDENED.get_ptr(sk).is_some() {
        let _: Result<(), i32> = WIDENED.remove(sk);
    }
}

/// Counts what was done or declined.
#[inline(always)]
pub fn count_carried(what: Carried) {
    if let Some(counter) = CARRIED.get_ptr_mut(what as u32) {
        // SAFETY: a per-processor slot that the map lent and never frees; an increment that is
        // interrupted by another on the same processor may count one instead of two.
        unsafe { *counter += 1 };
    }
}

/// Lends what is remembered of a socket; nothing is remembered of a new one.
#[inline(always)]
pub fn talk_or_new(sk: *mut bpf_sock) -> Option<&'static mut Talk> {
    of(sk, BPF_SK_STORAGE_GET_F_CREATE.into())
}

/// Lends what is remembered of a socket, if it is marked.
#[inline(always)]
pub fn talk(sk: *mut bpf_sock) -> Option<&'static mut Talk> {
    of(sk, 0)
}

#[inline(always)]
fn of(sk: *mut bpf_sock, flags: u64) -> Option<&'static mut Talk> {
    // SAFETY: a Talk, as the map is made.
    unsafe { stored(&raw const TALKS, sk, flags) }
}

/// Has the messages of a socket looked at from now on, which is known by this cookie. Returns
/// whether there was room.
#[inline(always)]
pub fn enrol(event: SocketEvent, mut cookie: u64) -> bool {
    let ops = event.context();
    let map = (&raw const ENROLLED).cast_mut().cast();
    // SAFETY: the verifier demands the context here, and a sockhash, which the loader put in the
    // map's place; the key is a number on the stack.
    unsafe { generated::bpf_sock_hash_update(ops, map, (&raw mut cookie).cast(), BPF_NOEXIST) == 0 }
}

/// Has user space take a connection out of those that are enrolled.
#[inline(always)]
pub fn leaves(cookie: u64) {
    // Only if the map is broken there is no room.
    let _: Result<(), i32> = LEAVING.insert(cookie, 1u8, 0);
}

/// One of the places where a socket says that it is not to be enrolled.
#[inline(always)]
pub fn unfit(place: impl FnOnce(&UnfitPlaces) -> &u32) -> u64 {
    // SAFETY: a reference to a field of a static. Volatile, because the loader changes the value
    // behind the compiler's back.
    u64::from(unsafe { core::ptr::read_volatile(place(&UNFIT_PLACES)) })
}
