//! Tasks: what runtimes run on threads, and what records say of them. Which request a task serves
//! is decided in user space.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::DecodeError;
#[cfg(doc)]
use super::Kind;

/// What runs the code that makes calls, where a runtime puts its own tasks on threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TaskKind {
    /// A goroutine: where its `runtime.g` is. Numbers are used again.
    Goroutine = 1,
    /// A task of tokio, by its id.
    Tokio = 2,
    /// A `contextvars.Context` of Python that is entered, by its time of birth.
    PythonContext = 3,
    /// A request that a proxy serves: where it keeps the connection of the client whose request it
    /// is. The part is the stream of HTTP/2, or 0.
    ProxyRequest = 4,
    /// A thread of Java in a virtual machine that has virtual ones, by its number; 0 where that is
    /// not known. The part is [`IS_VIRTUAL`](crate::java::IS_VIRTUAL), or the thread's [`Polled`].
    VirtualThread = 5,
    /// What a script in Node keeps per request.
    NodeStore = 6,
    /// The thread itself, by its number. The part is a [`Polled`]: who waits for one socket at a
    /// time has no set of epoll(7) for that.
    Thread = 7,
}

impl TryFrom<u8> for TaskKind {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        Ok(match raw {
            1 => Self::Goroutine,
            2 => Self::Tokio,
            3 => Self::PythonContext,
            4 => Self::ProxyRequest,
            5 => Self::VirtualThread,
            6 => Self::NodeStore,
            7 => Self::Thread,
            unknown => return Err(unknown),
        })
    }
}

/// Whether the socket that a thread moved bytes on is in a set of epoll(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Polled {
    /// It is in none.
    No = 0,
    /// It is in one.
    Yes = 1,
    /// The socket is not known.
    Unknown = 2,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TaskEvent {
    /// It begins; `other` made it. Its ancestors follow, where they are known to the kernel side.
    Born = 1,
    /// It is over; its number may be used again.
    Ended = 2,
    /// It asks on a connection: `other`, stream `part` of it, or the next request if that is 0.
    Asks = 3,
    /// It serves what came on a connection: `other`, stream `part` of it, or the request that was
    /// read last if that is 0.
    Serves = 4,
    /// `other` gave it something to do.
    Given = 5,
    /// It put something into a channel, `other`, at the place whose lower half is `part`. Behind it
    /// is what [`Put`](crate::tokio::Put) says.
    Put = 6,
    /// It sends, as stream `part` of a connection, what it took from a channel, `other`, at the
    /// place that stands behind it.
    Sends = 7,
    /// It answers on a stream of a connection. The stream is one half of the number behind it.
    Answers = 8,
}

impl TryFrom<u8> for TaskEvent {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        Ok(match raw {
            1 => Self::Born,
            2 => Self::Ended,
            3 => Self::Asks,
            4 => Self::Serves,
            5 => Self::Given,
            6 => Self::Put,
            7 => Self::Sends,
            8 => Self::Answers,
            unknown => return Err(unknown),
        })
    }
}

/// Body of [`Kind::Task`], before so many numbers as `ancestors` says, eight bytes each in native
/// byte order: of tasks of the same kind that it comes from, the nearest first, or what its event
/// has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TaskNote {
    /// Which task.
    pub task: u64,
    /// A task, a connection or a channel, as `event` says.
    pub other: u64,
    /// A stream of HTTP/2, or 0. Of a goroutine that was born, the lower half of the address of the
    /// function that it begins with; of a task of tokio, that of the table of its functions.
    pub part: u32,
    /// A [`TaskEvent`].
    pub event: u8,
    /// A [`TaskKind`].
    pub kind: u8,
    /// At most [`ANCESTORS_MAX`].
    pub ancestors: u8,
    /// 1 if others of this process could not be written before: what its goroutines are by now is
    /// not known.
    pub after_loss: u8,
}
const _: () = assert!(size_of::<TaskNote>() == 24);

/// Most ancestors that are told of a task.
pub const ANCESTORS_MAX: usize = 10;

/// Numbers of tasks, the nearest ancestor first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ancestors {
    tasks: [u64; ANCESTORS_MAX],
    len: u8,
}

impl Ancestors {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[u64] {
        &self.tasks[..usize::from(self.len)]
    }

    pub(super) fn read(bytes: &[u8], len: u8) -> Result<Self, DecodeError> {
        if usize::from(len) > ANCESTORS_MAX {
            return Err(DecodeError::Inconsistent);
        }
        let mut tasks = [0; ANCESTORS_MAX];
        let told = tasks[..usize::from(len)].as_mut_bytes();
        let bytes = bytes.get(..told.len()).ok_or(DecodeError::Truncated)?;
        told.copy_from_slice(bytes);
        Ok(Self { tasks, len })
    }
}
