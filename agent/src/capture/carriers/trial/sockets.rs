//! A connection of the daemon with itself, of which one end is enrolled; and the calls that the
//! self-test makes on it. Nothing waits longer than [`WAIT_MAX`].

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::ioctl_fionread;
use rustix::net::RecvFlags;
use rustix::pipe::{SpliceFlags, pipe, splice};

use crate::capture::carriers::loopback::{WAIT_MAX, connected};
use crate::capture::carriers::set::Set;

const WAIT: Timespec = Timespec {
    tv_sec: WAIT_MAX.as_secs() as i64,
    tv_nsec: 0,
};

/// The enrolled end of a connection.
pub struct Enrolled(pub TcpStream);

/// A connection.
pub struct EnrolledPair {
    /// The end that is enrolled, which opened it.
    pub own: Enrolled,
    /// The other one.
    pub peer: TcpStream,
}

impl EnrolledPair {
    pub fn enrolled(set: &Set) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let [own, peer] = connected(&listener)?;
        set.enrol(own.as_fd())?;
        let own = Enrolled(own);
        Ok(Self { own, peer })
    }
}

impl Enrolled {
    /// Waits until there is something to be read; whether there is.
    pub fn is_readable(&self) -> io::Result<bool> {
        let mut asked = [PollFd::new(&self.0, PollFlags::IN)];
        Ok(poll(&mut asked, Some(&WAIT))? == 1)
    }
}

/// Bytes that wait to be read, as FIONREAD tells.
pub fn waiting(socket: &TcpStream) -> io::Result<usize> {
    Ok(ioctl_fionread(socket)? as usize)
}

/// Receives until the buffer is full (`MSG_WAITALL`).
pub fn received_whole(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(socket, buffer, RecvFlags::WAITALL)?;
    Ok(count)
}

/// Tells of news on a socket, once each (`EPOLLET`).
pub struct Readiness(OwnedFd);

impl Readiness {
    pub fn of(socket: &TcpStream) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(socket.as_raw_fd() as u64);
        let events = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&set, socket, data, events)?;
        Ok(Self(set))
    }

    /// Waits for news; whether it came.
    pub fn wait(&self) -> io::Result<bool> {
        let mut events = Vec::with_capacity(1);
        let count = epoll::wait(
            &self.0,
            rustix::buffer::spare_capacity(&mut events),
            Some(&WAIT),
        )?;
        Ok(count == 1)
    }
}

/// A pipe, through which bytes go without being copied.
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    pub fn new() -> io::Result<Self> {
        let (read, write) = pipe()?;
        Ok(Self { read, write })
    }

    /// Takes bytes out of a socket.
    pub fn fill_from(&self, socket: &TcpStream, len: usize) -> io::Result<()> {
        moved(len, |left| {
            splice(socket, None, &self.write, None, left, SpliceFlags::empty())
        })
    }

    /// Puts them into one.
    pub fn empty_into(&self, socket: &TcpStream, len: usize) -> io::Result<()> {
        moved(len, |left| {
            splice(&self.read, None, socket, None, left, SpliceFlags::empty())
        })
    }
}

fn moved(len: usize, mut step: impl FnMut(usize) -> rustix::io::Result<usize>) -> io::Result<()> {
    let mut left = len;
    while left > 0 {
        match step(left)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count,
        }
    }
    Ok(())
}
