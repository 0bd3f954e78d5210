//! Which thread hears signals. It handles none.

use std::io;
use std::mem::MaybeUninit;

/// Has this thread, and all that it starts from now on, leave `signals` to others. The kernel
/// offers a signal to one thread, the first of the process if that will have it, and offers it to
/// nobody else while that one hangs in a system call.
///
/// # Errors
/// The kernel refuses.
pub fn leave(signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
    change(libc::SIG_BLOCK, signals)
}

/// Has this thread hear `signals`.
///
/// # Errors
/// The kernel refuses.
pub fn hear(signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
    change(libc::SIG_UNBLOCK, signals)
}

fn change(how: i32, signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes all of the set, and cannot fail.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: the set is initialised; a number that is no signal is refused.
        if unsafe { libc::sigaddset(&raw mut set, signal) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: the set is initialised, and the former one is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
