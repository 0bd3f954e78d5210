//! Where the running kernel keeps what is read of it, as user space found out.

use core::mem::size_of;

use aya_ebpf::Global;
use wirespan_common::config::Offsets;

/// Where the running kernel keeps what is read of it; set before loading.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = zerocopy::transmute!([0u8; size_of::<Offsets>()]);

/// wirespan's own process, which never serves; set before loading.
#[unsafe(no_mangle)]
static OWN_PROCESS: Global<u32> = Global::new(0);

/// One offset of the kernel's layout, in bytes.
#[inline(always)]
pub fn offset(field: impl FnOnce(&Offsets) -> &u32) -> u64 {
    // SAFETY: a reference to a field of a static. Volatile, because the loader changes the value
    // behind the compiler's back.
    u64::from(unsafe { core::ptr::read_volatile(field(&OFFSETS)) })
}

/// wirespan's own process.
#[inline(always)]
pub fn own_process() -> u32 {
    OWN_PROCESS.load()
}
