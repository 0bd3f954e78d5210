//! The kernel side's object, built into the daemon, and the constants set in it before it is
//! loaded. It attaches nothing.

#[cfg(test)]
mod stack;

use aya::{Ebpf, EbpfLoader, Pod};
use aya_log::EbpfLogger;
use wirespan_common::config::Offsets;
use zerocopy::{FromBytes, IntoBytes};

use super::StartError;
use super::reason::one_line;
use crate::config::{CaptureConfig, Targets};
use crate::discover::ProcRoot;
use crate::visible::Visible;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/wirespan"));

/// A type whose bytes the kernel and user space share.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Shared<T>(pub T);

// SAFETY: any bytes are a valid T (FromBytes), T has no holes (IntoBytes), and it owns nothing.
unsafe impl<T: FromBytes + IntoBytes + Copy + 'static> Pod for Shared<T> {}

/// Below every level of the kernel side's log. The verifier knows the value when it reads a
/// program, and drops what can't be reached.
const LOG_NOTHING: u8 = 0;

/// Loads maps; programs are loaded as they are attached.
pub fn load(
    layout: &Offsets,
    config: &CaptureConfig,
    targets: &Targets,
) -> Result<Ebpf, StartError> {
    let offsets = Shared(*layout);
    // Execs matter only where a program's name selects it; listeners and children are seen anyway.
    let every_exec =
        u8::from(targets.auto_target_exe.is_some() || targets.executable_name.is_some());
    let log_level = if config.bpf_debug {
        aya_log::Level::Debug as u8
    } else {
        LOG_NOTHING
    };
    let own_process = ProcRoot::host().own_pid();
    EbpfLoader::new()
        // Only fexit needs the kernel's types, and asks for them itself.
        .btf(None)
        .override_global("OFFSETS", &offsets, true)
        .override_global("REPORT_EVERY_EXEC", &every_exec, true)
        .override_global("OWN_PROCESS", &own_process, true)
        .override_global(aya_log::LEVEL, &log_level, true)
        .load(OBJECT)
        .map_err(|error| StartError::Load(one_line(&error)))
}

/// Has the allocator give freed memory back. By itself glibc takes the first large piece that is
/// freed, here the kernel's types (5 MiB), for a sign that such pieces are needed again and again,
/// and then keeps twice as much: 17 MiB of the daemon for good.
#[cfg(target_env = "gnu")]
pub fn keep_heap_small() {
    // SAFETY: mallopt changes numbers that are read one by one, under the main arena's lock; any
    // value is a valid threshold.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, ALLOCATED_APART_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, ALLOCATED_APART_MIN);
    }
}

/// Other allocators have no such habit.
#[cfg(not(target_env = "gnu"))]
pub fn keep_heap_small() {}

/// glibc's own first threshold, in bytes (mallopt(3)): setting it keeps it.
#[cfg(target_env = "gnu")]
const ALLOCATED_APART_MIN: libc::c_int = 128 * 1024;

/// Passes the kernel side's log on to the daemon's.
pub fn start_log(ebpf: &mut Ebpf) -> Option<EbpfLogger<&'static dyn log::Log>> {
    EbpfLogger::init(ebpf)
        .inspect_err(|error| log::warn!("no log from the kernel side: {}", Visible(error)))
        .ok()
}
