//! What Go's package `net` keeps of a connection, as far as to the descriptor. It reads the memory
//! of the current process, and looks at no bytes that move.

use crate::memory::user_value;

/// The descriptor of a `net.TCPConn` or `net.UnixConn` at this address; `None` if it is something
/// else, by all that can be seen.
///
/// It leads to a `net.netFD` (src/net/fd_posix.go: `pfd poll.FD`, `family int`, `sotype int`),
/// whose `poll.FD` begins with a `fdMutex` of 16 bytes and `Sysfd int` (src/internal/poll/
/// fd_unix.go); so since Go 1.9.
#[inline(always)]
pub fn descriptor_of(connection: u64) -> Option<u32> {
    const SYSFD: u64 = 16;
    const FAMILY: u64 = 56;
    const AF_UNIX: u64 = 1;
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    const SOCK_STREAM: u64 = 1;
    let descriptor: u64 = user_value(connection).ok()?;
    match user_value::<[u64; 2]>(descriptor + FAMILY).ok()? {
        [AF_UNIX | AF_INET | AF_INET6, SOCK_STREAM] => {}
        _ => return None,
    }
    let fd: u64 = user_value(descriptor + SYSFD).ok()?;
    Some(fd as u32)
}

/// What the `net.Conn` at this address is on, if it begins with another one: an interface's second
/// word leads to its value. So does a `tls.Conn`.
#[inline(always)]
pub fn under(connection: u64) -> Option<u64> {
    user_value(connection + 8).ok()
}
