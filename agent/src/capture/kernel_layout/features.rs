//! What a run can do without, if the layout does not say where something is.

use std::fmt;

use wirespan_common::config::Offsets;

/// Something that needs members which may stay unknown; they are 0 then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// TCP's own counts of what a connection carried (`tcp_sock`).
    TcpPositions,
    /// TLS in the kernel, told from TCP (`inet_connection_sock.icsk_ulp_ops`).
    UpperProtocols,
    /// Who has a port from a listener (`inet_bind_bucket`).
    ServedPorts,
    /// The registers that a task entered the kernel with (`task_struct.stack`).
    EntryRegisters,
    /// A thread's own memory (`thread_struct`).
    ThreadMemory,
    /// Calls that `io_uring` makes in a task's name (`task_struct.io_uring`).
    Rings,
}

impl Feature {
    /// Whether a layout has what it needs.
    #[must_use]
    pub fn is_in(self, at: &Offsets) -> bool {
        let needed = match self {
            Self::TcpPositions => at.tcp_sock_bytes_sent,
            Self::UpperProtocols => at.inet_connection_sock_icsk_ulp_ops,
            Self::ServedPorts => at.inet_connection_sock_icsk_bind_hash,
            Self::EntryRegisters => at.task_struct_stack,
            Self::ThreadMemory => at.task_struct_fsbase,
            Self::Rings => at.task_struct_io_uring,
        };
        needed != 0
    }

    /// Takes what it needs from a layout.
    pub fn take_from(self, at: &mut Offsets) {
        match self {
            Self::TcpPositions => {
                at.tcp_sock_bytes_sent = 0;
                at.tcp_sock_bytes_received = 0;
                at.tcp_sock_bytes_retrans = 0;
            }
            Self::UpperProtocols => at.inet_connection_sock_icsk_ulp_ops = 0,
            Self::ServedPorts => {
                at.inet_connection_sock_icsk_bind_hash = 0;
                at.inet_bind_bucket_port = 0;
                at.inet_bind_bucket_fastreuse = 0;
            }
            Self::EntryRegisters => at.task_struct_stack = 0,
            Self::ThreadMemory => at.task_struct_fsbase = 0,
            Self::Rings => at.task_struct_io_uring = 0,
        }
    }

    /// What is not done without it.
    #[must_use]
    pub fn without(self) -> &'static str {
        match self {
            Self::TcpPositions => "whether bytes moved before a connection was seen is not known",
            Self::UpperProtocols => {
                "reads that were missed are not made up for, and who serves a port that another \
                 process made to listen is not found by what it reads"
            }
            Self::ServedPorts => {
                "who serves a port that another process made to listen is not found by what it \
                 reads"
            }
            Self::EntryRegisters => {
                "calls are not seen by kprobes, and those of Node are not linked where the kernel \
                 does not tell registers (before 5.15)"
            }
            Self::ThreadMemory => "calls of tokio, Java and Python are not linked",
            Self::Rings => "calls by io_uring may be taken for others",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcpPositions => "TCP's counts",
            Self::UpperProtocols => "TLS in the kernel",
            Self::ServedPorts => "served ports",
            Self::EntryRegisters => "registers of system calls",
            Self::ThreadMemory => "threads' own memory",
            Self::Rings => "io_uring",
        })
    }
}
