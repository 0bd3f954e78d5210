//! Sockets of the daemon's own, to be found again in the kernel's memory: it makes them, moves
//! bytes over them, and asks the kernel what they are. It reads no memory but its own.
//!
//! Nothing of it leaves the machine: all stays on addresses of the loopback interface that are used
//! by nobody, and in the abstract name space of Unix sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, connect, getpeername, getsockname, listen, recv, send, socket_with, sockopt,
};

use super::commands::{self, BpfInstruction, Register};
use crate::arch;

/// Where the listener of a pair is, and where its client comes from.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// How long anything of this may take that takes microseconds.
pub const PATIENCE: Duration = Duration::from_secs(5);

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A connection within the machine, both ends of it.
#[derive(Debug)]
pub struct SpecimenPair {
    pub client: OwnedFd,
    pub server: OwnedFd,
    /// Keeps the server's port its own.
    _listener: OwnedFd,
}

impl SpecimenPair {
    /// Over TCP; `is_v6`: by addresses of IPv4 in the clothes of IPv6.
    ///
    /// # Errors
    /// The kernel has none of it, or something is in the way (`EAFNOSUPPORT`: no IPv6).
    pub fn tcp(is_v6: bool) -> io::Result<Self> {
        let listener = tcp_socket(is_v6)?;
        bind(&listener, &address(SERVER, 0, is_v6))?;
        listen(&listener, 1)?;
        let client = tcp_socket(is_v6)?;
        bind(&client, &address(CLIENT, 0, is_v6))?;
        let port = local(&listener)?.port();
        started(connect(&client, &address(SERVER, port, is_v6)))?;
        Self::accepted(listener, client)
    }

    /// Over a stream of Unix, by this abstract name.
    ///
    /// # Errors
    /// As above.
    pub fn unix(name: &[u8]) -> io::Result<Self> {
        let make = || socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None);
        let address = SocketAddrUnix::new_abstract_name(name)?;
        let listener = make()?;
        bind(&listener, &address)?;
        listen(&listener, 1)?;
        let client = make()?;
        started(connect(&client, &address))?;
        Self::accepted(listener, client)
    }

    /// Whoever else connects in that moment is hung up on.
    fn accepted(listener: OwnedFd, client: OwnedFd) -> io::Result<Self> {
        for _ in 0..STRANGERS_MAX {
            wait_for(listener.as_fd(), PollFlags::IN)?;
            let server = accept_with(&listener, FLAGS)?;
            if is_other_end(&server, &client)? {
                wait_for(client.as_fd(), PollFlags::OUT)?;
                return Ok(Self {
                    client,
                    server,
                    _listener: listener,
                });
            }
        }
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// How many others may connect first.
const STRANGERS_MAX: u32 = 16;

fn is_other_end(server: &OwnedFd, client: &OwnedFd) -> io::Result<bool> {
    match (peer(server), local(client)) {
        (Ok(peer), Ok(local)) => Ok(peer == local),
        // Of Unix: whoever made it.
        _ => {
            let of = sockopt::socket_peercred(server)?.pid;
            Ok(of == rustix::process::getpid())
        }
    }
}

/// A name in the abstract name space that nobody guesses.
pub fn name() -> Vec<u8> {
    format!("wirespan-layout-{:016x}", fastrand::u64(..)).into_bytes()
}

/// A socket of UDP, bound to nothing.
pub fn udp() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        FLAGS,
        None,
    )?)
}

/// A socket of TCP, bound to nothing.
pub fn tcp_socket(is_v6: bool) -> io::Result<OwnedFd> {
    if !is_v6 {
        return Ok(socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            FLAGS,
            None,
        )?);
    }
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, FLAGS, None)?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    Ok(socket)
}

/// A socket of TCP that is bound to a port on this address, 0: any, and neither connected nor
/// listening.
pub fn bound(on: Ipv4Addr, port: u16, shares_port: bool) -> io::Result<OwnedFd> {
    let socket = tcp_socket(false)?;
    sockopt::set_socket_reuseport(&socket, shares_port)?;
    bind(&socket, &address(on, port, false))?;
    Ok(socket)
}

/// A connection of TCP whose client's port the kernel chose in `connect`, and its server.
pub fn unbound_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let client = tcp_socket(false)?;
    let listener = connected(&client, false)?;
    Ok((client, listener))
}

/// Connects a socket of TCP to a listener, which is returned.
pub fn connected(client: &OwnedFd, is_v6: bool) -> io::Result<OwnedFd> {
    let listener = tcp_socket(is_v6)?;
    bind(&listener, &address(SERVER, 0, is_v6))?;
    listen(&listener, 1)?;
    let port = local(&listener)?.port();
    started(connect(client, &address(SERVER, port, is_v6)))?;
    wait_for(client.as_fd(), PollFlags::OUT)?;
    Ok(listener)
}

fn address(ip: Ipv4Addr, port: u16, is_v6: bool) -> SocketAddr {
    if is_v6 {
        SocketAddrV6::new(ip.to_ipv6_mapped(), port, 0, 0).into()
    } else {
        SocketAddrV4::new(ip, port).into()
    }
}

fn started(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn wait_for(socket: BorrowedFd<'_>, what: PollFlags) -> io::Result<()> {
    let patience = Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(&socket, what)];
    let ready = poll(&mut polled, Some(&patience))?;
    if ready == 0 || !polled[0].revents().contains(what) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

/// The address of a socket of the IP family.
///
/// # Errors
/// It is of another, or not bound.
pub fn local(socket: &OwnedFd) -> io::Result<SocketAddr> {
    SocketAddr::try_from(getsockname(socket)?).map_err(Into::into)
}

/// The peer's.
///
/// # Errors
/// As above, or it is not connected.
pub fn peer(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let peer = getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?;
    SocketAddr::try_from(peer).map_err(Into::into)
}

/// Writes so many bytes.
///
/// # Errors
/// They were not taken at once.
pub fn write(socket: &OwnedFd, len: usize, more_come: bool) -> io::Result<()> {
    let flags = if more_come {
        SendFlags::MORE | SendFlags::NOSIGNAL
    } else {
        SendFlags::NOSIGNAL
    };
    let taken = send(socket, &vec![b'w'; len], flags)?;
    (taken == len)
        .then_some(())
        .ok_or_else(|| io::ErrorKind::WriteZero.into())
}

/// Reads so many bytes.
///
/// # Errors
/// They are not there.
pub fn read(socket: &OwnedFd, len: usize) -> io::Result<()> {
    let mut buffer = vec![0; len];
    let (_, read) = recv(socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    (read == len)
        .then_some(())
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Bytes that wait to be read.
pub fn unread(socket: &OwnedFd) -> io::Result<u32> {
    Ok(rustix::io::ioctl_fionread(socket)? as u32)
}

/// Waits until so many bytes wait to be read.
pub fn wait_until_unread(socket: &OwnedFd, len: u32) -> io::Result<()> {
    wait_until(|| Ok(unread(socket)? == len))
}

/// Waits until something holds that is no event.
pub fn wait_until(mut holds: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Bytes that were written and not sent.
pub fn unsent(socket: &OwnedFd) -> io::Result<u32> {
    /// include/uapi/linux/sockios.h
    const SIOCOUTQNSD: libc::Ioctl = 0x894b;
    queued(socket, SIOCOUTQNSD)
}

/// Waits until the peer acknowledged all that was sent.
pub fn wait_until_acknowledged(socket: &OwnedFd) -> io::Result<()> {
    /// `SIOCOUTQ`
    const ALL: libc::Ioctl = libc::TIOCOUTQ;
    wait_until(|| Ok(queued(socket, ALL)? == 0))
}

fn queued(socket: &OwnedFd, what: libc::Ioctl) -> io::Result<u32> {
    let mut len: libc::c_int = 0;
    // SAFETY: the kernel writes an `int` there (`tcp_ioctl`, net/ipv4/tcp.c).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut len) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(len as u32)
}

/// Descriptors that this thread's table has room for.
pub fn room_for_descriptors(proc: &Path) -> io::Result<u32> {
    let status = std::fs::read_to_string(proc.join("thread-self/status"))?;
    let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let room = room.and_then(|room| room.trim().parse().ok());
    room.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Has a socket take nothing that comes any more, as if it had been lost on the way. Classic BPF
/// would be less to say, but some kernels (seen on 6.1.176) refuse it without rights that a run has
/// given up by now.
///
/// # Errors
/// The kernel takes no such program.
pub fn mute(socket: &OwnedFd) -> io::Result<()> {
    let nothing = [BpfInstruction::set(Register::R0, 0), BpfInstruction::exit()];
    let filter = commands::load_socket_filter(&nothing, c"wirespan_mute")?;
    let descriptor = filter.as_raw_fd();
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &descriptor)
}

/// Puts another protocol of the kernel between a socket and its process.
pub fn set_upper_protocol(socket: &OwnedFd, name: [u8; 3]) -> io::Result<()> {
    /// include/uapi/linux/tcp.h
    const TCP_ULP: libc::c_int = 31;
    set_option(socket, libc::IPPROTO_TCP, TCP_ULP, &name)
}

fn set_option<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as it is told, and what a filter points to outlives
    // the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What TCP counts of a connection; what the kernel does not count is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpCounts {
    pub received: Option<u64>,
    pub sent: Option<u64>,
    pub retransmitted: Option<u64>,
}

/// Asks for them (`struct tcp_info`, include/uapi/linux/tcp.h).
pub fn counts(socket: &OwnedFd) -> io::Result<TcpCounts> {
    const LEN: usize = 256;
    const BYTES_RECEIVED: usize = 128;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANS: usize = 208;
    let mut info = MaybeUninit::<[u8; LEN]>::zeroed();
    let mut len = LEN as libc::socklen_t;
    // SAFETY: the kernel writes as many bytes as it is told there are at most.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all of it was zeroed, and bytes may be anything.
    let info = unsafe { info.assume_init() };
    let count = |at: usize| {
        let known = info.get(..len as usize)?;
        let count = known.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_ne_bytes(count))
    };
    Ok(TcpCounts {
        received: count(BYTES_RECEIVED),
        sent: count(BYTES_SENT),
        retransmitted: count(BYTES_RETRANS),
    })
}

/// Ends a thread of this process that shares everything with the one that calls this, with this
/// exit code, and returns when the kernel has taken it off.
pub fn end_a_thread(code: i32) -> io::Result<()> {
    const STACK_LEN: usize = 64 * 1024;
    const FLAGS: libc::c_int = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID
        | libc::CLONE_CHILD_SETTID;
    let mut stack = vec![0u128; STACK_LEN / size_of::<u128>()];
    // Set by the kernel before `clone` returns to anybody, and cleared when the thread has gone.
    let lives = Box::new(std::sync::atomic::AtomicU32::new(1));
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: stack and mark live until the thread has gone. Were it not seen to go, they are
    // leaked.
    let made = unsafe { arch::make_thread_that_ends(FLAGS, top, lives.as_ptr(), code) };
    if made < 0 {
        return Err(io::Error::from_raw_os_error(-made as i32));
    }
    let gone = wait_until(|| Ok(lives.load(std::sync::atomic::Ordering::Acquire) == 0));
    if gone.is_err() {
        std::mem::forget((stack, lives));
    }
    gone
}

/// A ring of `io_uring`, which nobody uses.
pub fn ring() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;

    /// `struct io_uring_params` (include/uapi/linux/io_uring.h).
    const PARAMETERS: usize = 120;
    let mut parameters = [0u64; PARAMETERS / 8];
    // SAFETY: the kernel reads and writes as many bytes as the structure has.
    let made = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    match i32::try_from(made) {
        // SAFETY: the kernel just made it, and nobody else knows of it.
        Ok(made) if made >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(made) }),
        _ => Err(io::Error::last_os_error()),
    }
}
