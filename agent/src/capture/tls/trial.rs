//! A function of the daemon's own that a probe is put on, to learn what the kernel can do. It does
//! nothing.

use std::ffi::CString;

use wirespan_common::probes;

use super::programs::Group;
use crate::discover::tls::own_code_offset;

/// What a probe is put on.
#[inline(never)]
extern "C" fn tried() {
    std::hint::black_box(());
}

/// The program for it, and where it goes.
pub fn group() -> Option<Group> {
    Some(Group {
        program: "tls_enter",
        on_return: false,
        offsets: vec![own_code_offset(tried as *const () as u64)?],
        cookies: vec![probes::TRIED],
    })
}

/// Where the kernel finds the daemon's executable.
pub fn path() -> CString {
    c"/proc/self/exe".to_owned()
}

/// Calls the function once, and not on the process's first thread.
pub fn run_on_another_thread() {
    // Without a thread nothing is seen, which is taken for a kernel that can't do it.
    let _ = std::thread::Builder::new()
        .spawn(|| std::hint::black_box(tried as extern "C" fn())())
        .map(std::thread::JoinHandle::join);
}
