//! Where the kernel calls us. Each hook finds out who, on which socket, with what result, and calls
//! `capture` or tells user space about a process.
//!
//! One of four families delivers transfers, chosen by user space: [`socket_tracepoints`],
//! [`fexit`], [`kretprobe`], [`sys_exit`]. [`socket_state`], [`process`] and [`look`] go with each,
//! and [`serving`] with those that do not bring the socket. The families `tls_…` deliver plaintext;
//! `…_tasks` tell what becomes of a runtime's tasks. They are attached to watched processes, one by
//! one.

#[cfg(not(legacy))]
pub mod carriers;
#[cfg(not(legacy))]
pub mod fexit;
#[cfg(not(legacy))]
pub mod go_tasks;
pub mod kretprobe;
#[cfg(not(legacy))]
pub mod look;
#[cfg(not(legacy))]
pub mod node_tasks;
pub mod process;
#[cfg(not(legacy))]
pub mod python_tasks;
pub mod serving;
pub mod socket_state;
#[cfg(not(legacy))]
pub mod socket_tracepoints;
pub mod sys_exit;
pub mod tls_calls;
pub mod tls_gnutls;
pub mod tls_go;
#[cfg(not(legacy))]
pub mod tls_many;
pub mod tls_openssl;
pub mod tls_plain;
pub mod tls_rustls;
#[cfg(not(legacy))]
pub mod tokio_tasks;

use aya_ebpf::EbpfContext;
use wirespan_common::connection::Connection;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{Direction, Stage};
use wirespan_common::watch::{VerdictKind, Watch};

use crate::capture;
use crate::left_alone;
use crate::logging::debug;
use crate::maps::{self, Scratch};
#[cfg(legacy)]
use crate::memory;
use crate::memory::{Current, Delivered, Typed, current_process};
use crate::policy;
use crate::records;
use crate::sockets::{self, Descriptors, Socket};
use crate::syscall::{self, Buffers, Call};
use crate::tls;

/// Messages of one sendmmsg or recvmmsg that are counted: `UIO_MAXIOV` is 1024, programs that use
/// these calls on streams have a few. Where there are no loops, eight are.
#[cfg(not(legacy))]
const MESSAGES_MAX: u64 = 64;

/// Turns a hook's outcome into a counter; what a tracing program returns is ignored.
#[inline(always)]
fn run(outcome: Delivered<()>) -> i32 {
    if let Err(loss) = outcome {
        maps::count(loss);
        if loss as u32 == KernelLoss::UnreadableMemory as u32 {
            log_unreadable();
        }
    }
    0
}

/// The same at the end of a hook that tells something, with its context.
#[inline(always)]
fn end<C: EbpfContext>(context: &C, outcome: Delivered<()>) -> i32 {
    run(outcome);
    maps::flush(context.as_ptr());
    0
}

/// A function of its own, so that hooks on transfers don't carry the log's stack. Not marked as
/// cold: that would make a second section of functions, and the loader (aya-obj 0.3,
/// `relocation.rs`) tells functions apart by their addresses within their sections only.
#[inline(never)]
fn log_unreadable() {
    debug!(
        (),
        "process {}: memory could not be read",
        current_process().tgid
    );
}

/// Which system calls a program is attached to. What it can't meet, the verifier need not follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    /// All of them.
    All,
    /// Those that return a number of bytes.
    Single,
    /// sendmmsg and recvmmsg.
    Multiple,
}

/// Whether the verifier knows the types of what a program is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Types {
    /// It does: they are read by plain loads.
    Known,
    /// It does not: a helper reads them.
    Unknown,
}

/// A family of hooks that see calls but not sockets. A type, so that [`call_ended`] is compiled for
/// each family.
trait Family {
    const CALLS: Calls;
    const TYPES: Types;
    /// Whether the kernel can walk frames.
    const WALKS: bool;

    /// Takes note of the transfer in the scratch buffer, of whose connection `known` is remembered.
    #[inline(always)]
    fn transferred(scratch: &mut Scratch, known: Option<&'static mut Connection>) -> Delivered<()> {
        #[cfg(not(legacy))]
        if Self::WALKS {
            return capture::transferred(scratch, known);
        }
        capture::transferred_plain(scratch, known)
    }
}

/// A system call of a watched process ended with `result`; its user registers are at `registers`.
#[inline(always)]
fn call_ended<F: Family>(
    current: Current,
    watch: Watch,
    registers: Typed,
    result: i64,
) -> Delivered<()> {
    if result < 0 && !ends_connection(result) {
        return Ok(());
    }
    maps::with_scratch(|scratch| {
        scratch.registers_at = registers.address();
        scratch.goroutine = 0;
        match F::TYPES {
            Types::Known => scratch.registers.load(registers),
            Types::Unknown if scratch.registers.read(registers.address()) => {}
            Types::Unknown => return Ok(()),
        }
        let transfer = &mut scratch.transfer;
        // Before anything else is read: under `sys_exit` most calls move no bytes.
        if !syscall::decode(&scratch.registers, &mut transfer.call) {
            return Ok(());
        }
        let descriptors = match F::TYPES {
            Types::Known => sockets::descriptors_typed(),
            Types::Unknown => sockets::descriptors(),
        };
        let Some(descriptors) = descriptors else {
            return Ok(());
        };
        transfer.socket = match sockets::of_descriptor(descriptors, transfer.call.fd) {
            Some(socket) => socket,
            None => match written_by_splice(descriptors, &mut transfer.call) {
                Some(socket) => socket,
                None => return Ok(()),
            },
        };
        let (id, direction) = (transfer.socket.id, transfer.call.direction);
        let moves_bytes = !matches!(transfer.call.buffers, Buffers::Messages);
        let mut known = maps::connection(id);
        if moves_bytes
            && let Some(connection) = known.as_deref_mut()
            && left_alone::passes_early(watch, connection, id, direction, result)
        {
            return Ok(());
        }
        transfer.current = current;
        transfer.watch = watch;
        transfer.sees_all = matches!(F::CALLS, Calls::All);
        transfer.message = 0;
        transfer.is_whole_call = true;
        transfer.sequence_is_known = false;
        let result = match (transfer.call.buffers, F::CALLS) {
            (Buffers::Messages, Calls::All | Calls::Multiple) => messages_len(scratch, result)?,
            (Buffers::Messages, Calls::Single) | (_, Calls::Multiple) => return Ok(()),
            _ => result,
        };
        message_ended::<F>(scratch, known, result)
    })
}

/// The socket that a splice wrote to, where it did not read from one.
#[inline(always)]
fn written_by_splice(descriptors: Descriptors, call: &mut Call) -> Option<Socket> {
    if !matches!(call.buffers, Buffers::Spliced) {
        return None;
    }
    call.direction = Direction::Egress;
    sockets::of_descriptor(descriptors, call.count as u32)
}

/// The bytes that sendmmsg or recvmmsg moved, which returned a number of messages or an error.
// VERIFIER(6.18): the sum is kept in memory of a map, so that rounds look the same.
#[inline(always)]
fn messages_len(scratch: &mut Scratch, messages: i64) -> Delivered<i64> {
    if messages < 0 {
        return Ok(messages);
    }
    scratch.passed = 0;
    #[cfg(legacy)]
    memory::eight_rounds!(message, add_message(scratch, message, messages)?);
    #[cfg(not(legacy))]
    {
        let mut message = 0;
        while message < MESSAGES_MAX {
            if message as i64 >= messages {
                break;
            }
            scratch.passed += u64::from(scratch.transfer.call.message_len(message)?);
            message += 1;
        }
    }
    Ok(scratch.passed as i64)
}

/// One of those, if there are so many.
#[cfg(legacy)]
#[inline(never)]
fn add_message(scratch: &mut Scratch, message: u64, messages: i64) -> Delivered<()> {
    if (message as i64) < messages {
        scratch.passed += u64::from(scratch.transfer.call.message_len(message)?);
    }
    Ok(())
}

/// The call in the scratch buffer, or one message of it, ended with `result`: bytes moved, the end
/// of the stream, or an error. `known` is what is remembered of its connection.
#[inline(always)]
fn message_ended<F: Family>(
    scratch: &mut Scratch,
    known: Option<&'static mut Connection>,
    result: i64,
) -> Delivered<()> {
    let transfer = &mut scratch.transfer;
    if result > 0 {
        if transfer.call.is_beside_stream() {
            return Ok(());
        }
        if transfer.call.discards() {
            transfer.call.buffers = Buffers::Unmapped;
        }
        // A stream moves less than 2 GiB in one call (MAX_RW_COUNT, include/linux/fs.h).
        transfer.len = result as u32;
        let is_plaintext = known.as_deref().is_some_and(policy::stays_plaintext);
        if transfer.watch.probes != 0 && !is_plaintext {
            // Whatever comes of it, the bytes themselves are to be counted.
            run(tls::evidence::socket_moved(scratch));
        }
        return F::transferred(scratch, known);
    }
    let sk = transfer.socket.sk;
    let stage = if ends_connection(result) && !sockets::has_unread(sk) {
        Stage::Reset
    } else if result == 0
        && matches!(transfer.call.direction, Direction::Ingress)
        // Getting nothing says nothing if nothing was asked for.
        && sockets::is_ingress_over(sk)
    {
        Stage::IngressEnded
    } else {
        return Ok(());
    };
    stage_reached::<false>(transfer.socket.id, stage, transfer.current)
}

/// Tells user space how a connection or stream ended, if it cares about that connection.
#[inline(always)]
fn stage_reached<const IN_INTERRUPT: bool>(
    id: u64,
    stage: Stage,
    current: Current,
) -> Delivered<()> {
    let Some(connection) = maps::connection(id) else {
        return Ok(());
    };
    if !left_alone::is_told(connection, stage) {
        return Ok(());
    }
    if connection.verdict == VerdictKind::Carrier as u8 {
        tls::carriers::carrier_reached::<IN_INTERRUPT>(id, stage, current)?;
        if stage as u8 != Stage::Closed as u8 {
            return Ok(());
        }
    }
    records::ended::<IN_INTERRUPT>(id, connection, stage, current.tgid, current.tid)
}

/// Whether a call failed because the connection is gone: `EPIPE`, `ECONNRESET`, `ETIMEDOUT`.
#[inline(always)]
fn ends_connection(result: i64) -> bool {
    matches!(result, -32 | -104 | -110)
}
