//! The self-test of the TCP option: a child of the daemon, in a control group of its own, has a
//! connection with itself, whose segments get the option. The stream has to come whole, at its full
//! segments' length, and the option with it. Nobody else is in that group, which is removed at the
//! end.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use wirespan_common::carriers::{MODE_OPTION, MODE_TRIAL};

use super::Refusal;
use super::group::{self, Group};
use super::set::Set;
use crate::capture::bpf;

/// Bytes that are sent: many segments, of which those in the middle are as long as may be.
const STREAM_LEN: usize = 1 << 20;
/// Bytes of one call.
const PIECE_LEN: usize = 16 * 1024;
/// After so many bytes the stream's contents come again; no power of two.
const PERIOD: usize = 251;
/// What takes longer, in seconds, does not come.
const WAIT_MAX_S: u32 = 5;

/// Tries it.
///
/// # Errors
/// What keeps the option from being sent here.
pub fn try_out(maps: &HashMap<String, OwnedFd>, under: &Group) -> Result<(), Refusal> {
    let failed = |error: io::Error| Refusal::Option(error.to_string());
    let set = Set::load(maps, MODE_TRIAL | MODE_OPTION).map_err(Refusal::Load)?;
    let own = OwnGroup::make(under.path()).map_err(failed)?;
    let group = group::open(Some(&own.0)).map_err(Refusal::Group)?;
    let link = bpf::link_sockets(set.sockets(), group.as_ref()).map_err(failed)?;
    let outcome = run(&own);
    drop(link);
    outcome.map_err(failed)?;
    match set.saw_option() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::Option("the option does not come".to_owned())),
        Err(error) => Err(failed(error)),
    }
}

fn run(own: &OwnGroup) -> io::Result<()> {
    let (may_go, go) = rustix::pipe::pipe()?;
    // SAFETY: of the daemon's threads the child has this one alone. It makes sockets, reads and
    // writes, and ends: it takes no lock that another thread may have held, but the allocator's,
    // which the C library gives it free.
    let process = unsafe { libc::fork() };
    match process {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(go);
            child(may_go)
        }
        process => {
            let taken = own.take(process as u32);
            // It waits for that before it makes a socket.
            drop(go);
            let status = ended(process)?;
            taken?;
            match status {
                0 => Ok(()),
                _ => Err(io::Error::other(
                    "a stream with the option does not come whole",
                )),
            }
        }
    }
}

/// Waits until the child has ended, which an alarm sees to.
fn ended(process: libc::pid_t) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status is written to a local.
        if unsafe { libc::waitpid(process, &raw mut status, 0) } == process {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What the child does, once nobody holds the pipe's other end.
fn child(may_go: OwnedFd) -> ! {
    // SAFETY: it sets a timer, whose signal ends the child.
    unsafe { libc::alarm(WAIT_MAX_S) };
    let went = rustix::io::read(&may_go, &mut [0; 1]);
    let came_whole = went == Ok(0) && stream().is_ok_and(|came_whole| came_whole);
    // SAFETY: it ends the child at once: nothing of the daemon's is written or closed by it.
    unsafe { libc::_exit(i32::from(!came_whole)) }
}

/// Sends a stream to itself. Returns whether it came whole.
fn stream() -> io::Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut own = TcpStream::connect(listener.local_addr()?)?;
    let (mut peer, _) = listener.accept()?;
    own.set_nonblocking(true)?;
    peer.set_nonblocking(true)?;
    let byte = |at: usize| (at % PERIOD) as u8;
    let mut piece = [0; PIECE_LEN];
    let (mut sent, mut came) = (0, 0);
    while came < STREAM_LEN {
        for (at, to) in piece.iter_mut().enumerate() {
            *to = byte(sent + at);
        }
        let left = (STREAM_LEN - sent).min(PIECE_LEN);
        if left > 0 {
            sent += moved(own.write(&piece[..left]))?;
        }
        let len = moved(peer.read(&mut piece))?;
        let is_as_sent = |(at, got): (usize, &u8)| *got == byte(came + at);
        if !piece[..len].iter().enumerate().all(is_as_sent) {
            return Ok(false);
        }
        came += len;
    }
    Ok(true)
}

fn moved(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// A control group that is removed with this.
struct OwnGroup(PathBuf);

impl OwnGroup {
    fn make(under: &Path) -> io::Result<Self> {
        let path = under.join(format!("wirespan-trial-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn take(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            log::warn!("an empty control group stays behind: {error}");
        }
    }
}
