//! Storage of sockets (`BPF_MAP_TYPE_SK_STORAGE`), which the loader puts in the place of an array
//! of one element.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated;
use aya_ebpf::maps::Array;

/// Lends what is kept of a socket there.
///
/// # Safety
/// `place` is that of a map, and of what the loader puts there a value is a `T`.
#[inline(always)]
pub unsafe fn stored<T>(
    place: *const Array<u32>,
    sk: *mut bpf_sock,
    flags: u64,
) -> Option<&'static mut T> {
    if sk.is_null() {
        return None;
    }
    let map = place.cast_mut().cast();
    // SAFETY: the verifier demands a socket here, and storage of sockets, which the loader put in
    // the map's place.
    let found =
        unsafe { generated::bpf_sk_storage_get(map, sk.cast(), core::ptr::null_mut(), flags) };
    // SAFETY: a T, as the caller says; it lives as long as the socket, which the kernel holds while
    // the program runs, and only who has the socket's lock is given it.
    unsafe { found.cast::<T>().as_mut() }
}
