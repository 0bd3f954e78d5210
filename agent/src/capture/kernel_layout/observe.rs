//! Finds out where the kernel keeps what is read of it, by looking at what it keeps of the daemon's
//! own sockets, descriptors and threads, of which is known what they are. It knows the order of no
//! structure; what shows in two places was not found.

mod descriptors;
mod polled;
mod sockets;
mod tasks;
mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::fstat;
use wirespan_common::config::Offsets;

use super::features::Feature;
use super::peek::Peek;
use super::search::Undecided;
use super::specimens;
use super::window::{KernelWindow, LastLook, Trigger};
use crate::visible::Visible;

/// Why nothing, or not enough, was found.
#[derive(Debug)]
pub enum ObserveError {
    /// What is needed did not show in one place.
    Undecided(Undecided),
    /// Something to look at could not be had.
    Own(&'static str, io::Error),
    /// The kernel lets nobody look.
    Closed(String),
}

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecided(undecided) => undecided.fmt(f),
            Self::Own(what, error) => write!(f, "{what}: {error}"),
            Self::Closed(reason) => f.write_str(reason),
        }
    }
}

impl From<Undecided> for ObserveError {
    fn from(undecided: Undecided) -> Self {
        Self::Undecided(undecided)
    }
}

/// What was found, and what of it was not.
pub type Observed = (Offsets, Vec<(Feature, String)>);

/// The sockets that are looked at.
struct Own {
    v4: specimens::SpecimenPair,
    /// Where the kernel knows IPv6.
    v6: Option<specimens::SpecimenPair>,
    unix: specimens::SpecimenPair,
    /// Of the Unix one.
    name: Vec<u8>,
    udp: OwnedFd,
    pipe: (OwnedFd, OwnedFd),
}

impl Own {
    fn new() -> io::Result<Self> {
        let v6 = match specimens::SpecimenPair::tcp(true) {
            Ok(pair) => Some(pair),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        let name = specimens::name();
        Ok(Self {
            v4: specimens::SpecimenPair::tcp(false)?,
            v6,
            unix: specimens::SpecimenPair::unix(&name)?,
            name,
            udp: specimens::udp()?,
            pipe: rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?,
        })
    }
}

/// What the kernel says of one socket of the daemon's, with where it keeps it.
struct OwnSocket {
    inode: u64,
    mode: u16,
    /// Addresses of a socket of TCP.
    ends: Option<(SocketAddr, SocketAddr)>,
    /// Address of its `struct file`.
    file: u64,
    /// Address of its `struct socket`; 0 until it is found.
    socket: u64,
    /// Address of its `struct sock`; 0 until it is found.
    sk: u64,
}

impl OwnSocket {
    fn of(descriptor: &OwnedFd, file: u64) -> io::Result<Self> {
        let status = fstat(descriptor)?;
        let ends = (specimens::local(descriptor).ok()).zip(specimens::peer(descriptor).ok());
        Ok(Self {
            inode: status.st_ino,
            mode: status.st_mode as u16,
            ends,
            file,
            socket: 0,
            sk: 0,
        })
    }
}

/// Bytes of a `struct task_struct` that are looked at, at most; it has about ten thousand.
const TASK_LEN: usize = 16 * 1024;

/// Observes.
///
/// # Errors
/// See [`ObserveError`].
pub fn observe(trigger: Option<Trigger>) -> Result<Observed, ObserveError> {
    on_own_thread(trigger, all)
}

/// Opens a window by this trigger, or one that the kernel has, on a thread of its own, whose
/// descriptors nobody shares, and has it used there.
pub fn on_own_thread<T: Send + 'static>(
    trigger: Option<Trigger>,
    uses: impl FnOnce(&mut KernelWindow) -> Result<T, ObserveError> + Send + 'static,
) -> Result<T, ObserveError> {
    let thread = move || {
        // Where that is forbidden, descriptors of other threads come and go meanwhile, which most
        // often changes nothing.
        // SAFETY: this thread closes no descriptor that another one opened: it opens its own, and
        // has closed them when it ends.
        let alone = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FILES) };
        if let Err(error) = alone {
            log::debug!("descriptors stay shared: {}", Visible(error));
        }
        let window = trigger.map_or_else(KernelWindow::open, KernelWindow::open_by);
        uses(&mut window.map_err(ObserveError::Closed)?)
    };
    let thread = std::thread::Builder::new()
        .name("layout".to_owned())
        .spawn(thread);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ObserveError::Closed("the thread that looks ended".into())),
        Err(error) => Err(ObserveError::Own("a thread to look with", error)),
    }
}

fn all(window: &mut KernelWindow) -> Result<Observed, ObserveError> {
    let mut at = Offsets::default();
    let mut lacks = Vec::new();
    let own = Own::new().map_err(|error| ObserveError::Own("sockets to look at", error))?;
    let address = window
        .task()
        .map_err(|error| ObserveError::Closed(error.to_string()))?;
    let another = tasks::SeenThread::another(window.trigger())?;
    let threads = [tasks::SeenThread::own(window)?, another];
    let task = tasks::identity(&mut at, &threads, &mut lacks)?;
    let table = descriptors::table(window, &mut at, &task, &own)?;
    let mut sockets = descriptors::files(window, &mut at, table, &own)?;
    sockets::all(window, &mut at, &mut sockets, table)?;
    unix::all(window, &mut at, &sockets, &own)?;
    tcp::all(window, &mut at, table, &mut lacks)?;
    polled::sets(window, &mut at, table, &own.v4.client)?;
    let ending = LastLook::new().map_err(|error| ObserveError::Own("ends of threads", error))?;
    let mut ending = tasks::ThreadEnding(ending);
    tasks::counts_of_threads(window, &mut ending, &mut at, &task)?;
    tasks::exit_code(&mut ending, &mut at, task.len())?;
    tasks::entry_registers(window, &mut at, &task, &mut lacks);
    tasks::rings(window, &mut at, address, task.len(), &mut lacks);
    Ok((at, lacks))
}

/// Notes that something is missing without which a feature is, and no more than that.
fn or_lacking<T: Default, E: Into<ObserveError>>(
    found: Result<T, E>,
    feature: Feature,
    lacks: &mut Vec<(Feature, String)>,
) -> T {
    found.unwrap_or_else(|error| {
        lacks.push((feature, error.into().to_string()));
        T::default()
    })
}

/// Where the sockets' structures are, once there are offsets that lead there.
fn sk_of(peek: &mut impl Peek, at: &Offsets, table: u64, descriptor: &OwnedFd) -> Option<u64> {
    let slot = table + descriptor.as_raw_fd() as u64 * 8;
    let file: u64 = peek.value(slot)?;
    let socket: u64 = peek.value(file + u64::from(at.file_private_data))?;
    peek.value(socket + u64::from(at.socket_sk))
}
