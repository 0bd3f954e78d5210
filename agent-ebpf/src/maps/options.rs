//! What the TCP option that carries traces shares with user space. The storage of sockets is of a
//! kind that a run without it has no right for: an array of one element stands in its place, as in
//! `carriers.rs`.

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use wirespan_common::carriers::{OptionEnd, OptionForm};

use super::storage::stored;
use super::trace::{CallKey, Trace};

/// In the place of storage of sockets: what is remembered of those that carry by the option.
#[map]
static OPTION_ENDS: Array<u32> = Array::with_max_entries(1, 0);

/// By what the option is known.
#[map]
static OPTION_FORM: Array<OptionForm> = Array::with_max_entries(1, 0);

/// What options said of requests. Whoever sends many of them has others forgotten, which then have
/// no parent.
#[map]
static TOLD: LruHashMap<CallKey, Trace> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Leaves what is there as it is (include/uapi/linux/bpf.h).
const BPF_NOEXIST: u64 = 1;

/// By what the option is known.
#[inline(always)]
pub fn option_form() -> OptionForm {
    OPTION_FORM.get(0).copied().unwrap_or(OptionForm {
        kind: 0,
        reserved: 0,
        magic: 0,
        trial_port: 0,
    })
}

/// Lends what is remembered of a socket; nothing is remembered of a new one.
#[inline(always)]
pub fn option_end_or_new(sk: *mut bpf_sock) -> Option<&'static mut OptionEnd> {
    of(sk, BPF_SK_STORAGE_GET_F_CREATE.into())
}

/// Lends what is remembered of a socket, if it is marked.
#[inline(always)]
pub fn option_end(sk: *mut bpf_sock) -> Option<&'static mut OptionEnd> {
    of(sk, 0)
}

#[inline(always)]
fn of(sk: *mut bpf_sock, flags: u64) -> Option<&'static mut OptionEnd> {
    // SAFETY: an OptionEnd, as the map is made.
    unsafe { stored(&raw const OPTION_ENDS, sk, flags) }
}

/// An option said of which trace a request is. Who said so first is believed. Returns whether
/// that is this one.
#[inline(always)]
pub fn was_told(key: &CallKey, trace: &Trace) -> bool {
    TOLD.insert(key, trace, BPF_NOEXIST).is_ok()
}

/// What an option said of a request.
#[inline(always)]
pub fn told(key: &CallKey) -> Option<Trace> {
    // SAFETY: copied out at once; what is there is not replaced.
    unsafe { TOLD.get(key) }.copied()
}
