//! A transfer: bytes that a call moved. Only what it is; nothing is done here.

use wirespan_common::watch::Watch;

use crate::memory::Current;
use crate::sockets::Socket;
use crate::syscall::Call;

/// Bytes that moved on a socket of a watched process.
#[derive(Clone, Copy)]
pub struct Transfer {
    /// Whose thread moved them.
    pub current: Current,
    /// How its process is watched.
    pub watch: Watch,
    /// On which socket.
    pub socket: Socket,
    /// By which call.
    pub call: Call,
    /// Which of the call's messages it is, or the first of all of them.
    pub message: u64,
    /// Whether it is all messages of the call.
    // VERIFIER(6.18): an Option has bytes that nobody initialises, which it does not let through.
    pub is_whole_call: bool,
    /// How many, at least 1.
    pub len: u32,
    /// Whether the hook that saw it sees all others, too: not those that splice bytes out of a
    /// socket under the socket tracepoints, not some when a program on a function was preempted.
    pub sees_all: bool,
    /// Whether the hook already knows [`Self::copied_sequence`].
    pub sequence_is_known: bool,
    /// Sequence number of the next byte of a TCP socket that is to be read.
    pub copied_sequence: u32,
}
