//! The self-test of the TCP option: a child of the daemon, in a control group of its own, has a
//! connection with itself, whose segments get the option. The stream has to come whole, at its full
//! segments' length, and the option with it. Nobody else is in that group, which is removed at the
//! end.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::collections::HashMap;

use wirespan_common::carriers::{MODE_OPTION, MODE_TRIAL};

use super::Refusal;
use super::group::{self, Group};
use super::set::Set;
use crate::capture::bpf;

/// The hidden argument by which the daemon's executable is the child.
pub const CHILD: &str = "try-tcp-option";
/// What the child says when it is done.
const DONE: &[u8] = b"done";
/// Bytes that are sent: many segments, of which those in the middle are as long as may be.
const STREAM_LEN: usize = 1 << 20;
/// What takes longer does not come.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether the child is done.
const LOOK: Duration = Duration::from_millis(2);

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
    let mut child = Running(
        Command::new("/proc/self/exe")
            .arg(CHILD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    own.take(child.0.id())?;
    // It waits for that before it makes a socket.
    drop(child.0.stdin.take());
    let until = Instant::now() + WAIT_MAX;
    while child.0.try_wait()?.is_none() {
        if Instant::now() > until {
            return Err(io::Error::other("a stream with the option does not come"));
        }
        std::thread::sleep(LOOK);
    }
    let mut said = Vec::new();
    if let Some(mut output) = child.0.stdout.take() {
        output.read_to_end(&mut said)?;
    }
    match said.as_slice() {
        DONE => Ok(()),
        _ => Err(io::Error::other("a stream with the option differs")),
    }
}

/// A child that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that is gone is what was asked for.
        let _: io::Result<()> = self.0.kill();
        let _: io::Result<std::process::ExitStatus> = self.0.wait();
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

/// What the child does, once its input is closed.
///
/// # Errors
/// What the kernel says of its connection.
pub fn child() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut own = TcpStream::connect(listener.local_addr()?)?;
    let (mut peer, _) = listener.accept()?;
    peer.set_read_timeout(Some(WAIT_MAX))?;
    let sent: Vec<u8> = (0..STREAM_LEN).map(|at| (at % 251) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || own.write_all(&sent));
    let mut came = Vec::with_capacity(STREAM_LEN);
    peer.read_to_end(&mut came)?;
    sender.join().map_err(|_| io::ErrorKind::Other)??;
    if came == expected {
        io::stdout().write_all(DONE)?;
    }
    Ok(())
}
