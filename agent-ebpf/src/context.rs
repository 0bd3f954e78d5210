//! The trace on whose behalf a request is sent, where that is known in time: as a watched server
//! reads a request ([`request_read`]), for whom it serves it, and as anybody is about to send
//! ([`about_to_send`]).
//!
//! What is said here is what user space will say too, or nothing: a goroutine that read its request
//! itself, nginx's requests, and processes that were never spoken to, whose requests each begin a
//! trace. Whatever is linked by what happens later (threads by what they answer, tasks that others
//! made) is not known. A request that names no trace and comes from no watched process of this
//! machine begins one, whose id follows from the connection ([`derived_trace_id`]).

pub mod head;

use wirespan_common::carriers::{Carried, derived_trace_id};
use wirespan_common::connection::Connection;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{Direction, TaskKind, is_object};
use wirespan_common::watch::Watch;

use self::head::{Head, Said};
use crate::arch::GOROUTINE_OFFSET;
use crate::carriers::option::{self, CAME};
use crate::maps::{self, CallKey, Execution, Scratch, Trace};
use crate::memory::repeat;
use crate::memory::{Current, clamp, current_process, current_registers, kernel_value};
use crate::records;
use crate::sockets::{self, Socket};
use crate::tasks;

/// The longest head that is looked into, in bytes: of a longer one nothing is known.
const HEAD_BYTES_MAX: u32 = 2048;
/// In the flags of a trace: it is sampled.
const SAMPLED: u64 = 1;

/// A trace, and whether it is sampled.
#[derive(Clone, Copy)]
pub struct TraceContext {
    /// Its id.
    pub trace_id: [u8; 16],
    /// Flags of W3C Trace Context.
    pub flags: u8,
}

/// Of the request that a client sends at `position` of its stream, modulo 2^32; `starts` are the
/// sequence numbers of the first byte that it sent, and that it received.
#[inline(always)]
pub fn of_call(starts: [u32; 2], position: u32) -> Option<TraceContext> {
    let trace = maps::call(&CallKey {
        starts,
        position,
        reserved: 0,
    })?;
    trace.is_known().then_some(TraceContext {
        trace_id: trace.id,
        flags: trace.flags as u8,
    })
}

/// The trace that begins with a request.
#[inline(always)]
fn begun_by(key: &CallKey) -> Trace {
    let [high, low] = derived_trace_id(key.starts, key.position);
    let is_sampled = low & RANDOM_BITS >= maps::sampled_from();
    Trace {
        id: joined([high, low]),
        flags: if is_sampled { SAMPLED } else { 0 },
    }
}

/// By what samplers decide: the last 56 bits of a trace's id.
const RANDOM_BITS: u64 = (1 << 56) - 1;

#[inline(always)]
fn joined([high, low]: [u64; 2]) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// What the loop over a head is given.
struct Reading<'a> {
    scratch: &'a Scratch,
    head: Head,
}

extern "C" fn one_byte(index: u32, reading: &mut Reading<'_>) -> u64 {
    if index >= reading.scratch.copied {
        return 1;
    }
    let at = clamp::<{ HEAD_BYTES_MAX as usize - 1 }>(index.into()) as usize;
    // VERIFIER(6.1): the compiler does not know what the clamp does, and would leave a panic behind.
    let Some(byte) = reading.scratch.payload.get(at) else {
        return 1;
    };
    u64::from(!reading.head.next(*byte))
}

/// The transfer in the scratch buffer, whose first bytes are copied, begins a turn of what its
/// process reads.
#[inline(never)]
pub fn request_read(scratch: &mut Scratch, connection: &mut Connection) {
    let Socket { id, sk } = scratch.transfer.socket;
    let tgid = scratch.transfer.current.tgid;
    if connection.egress.position == 0 {
        maps::is_spoken_to(tgid);
    }
    if is_object(id) || scratch.copied < 4 {
        return;
    }
    let [a, b, c, d, ..] = scratch.payload;
    if !head::is_request([a, b, c, d]) {
        return;
    }
    let execution = Execution {
        tgid,
        kind: scratch.head.chunk.task_kind.into(),
        task: scratch.head.chunk.task,
    };
    let is_followed = execution.kind == TaskKind::Goroutine as u32
        || execution.kind == TaskKind::ProxyRequest as u32;
    let key = key_of(sk, Direction::Ingress, scratch.transfer.len);
    let came = key.and_then(|key| maps::call(&key));
    if let (Some(key), Some(trace)) = (key, came)
        && trace.flags & CAME != 0
    {
        let current = scratch.transfer.current;
        let told = records::carried(current, connection.shard, &key, &trace);
        if told.is_err() {
            maps::count(KernelLoss::RingFull);
        }
    }
    let trace = match key {
        Some(key) if is_followed => trace_of(scratch, key, came),
        _ => Trace::UNKNOWN,
    };
    maps::serves(&execution, id, &trace);
}

/// Of the request in the scratch buffer.
#[inline(always)]
fn trace_of(scratch: &Scratch, key: CallKey, came: Option<Trace>) -> Trace {
    let mut reading = Reading {
        scratch,
        head: Head::NEW,
    };
    repeat(HEAD_BYTES_MAX, one_byte, &mut reading);
    match reading.head.said() {
        Said::Trace(id, flags) => Trace {
            id: joined(id),
            flags: flags.into(),
        },
        Said::Unknown => {
            maps::count_carried(Carried::UnknownHead);
            Trace::UNKNOWN
        }
        Said::Nothing => came.unwrap_or_else(|| begun_by(&key)),
    }
}

/// By what both ends know the request that was read from a socket, in the last `len` bytes, or that
/// is about to be written to it.
#[inline(always)]
fn key_of(sk: u64, direction: Direction, len: u32) -> Option<CallKey> {
    if !sockets::is_tcp(sk) {
        return None;
    }
    let read = sockets::copied_sequence(sk).ok()?;
    let written = sockets::written_sequence(sk).ok()?;
    let end = u32::from(sockets::end_was_read(sk, read));
    let read = read.wrapping_sub(end);
    let positions = sockets::tcp_positions(sk, read, written)?;
    let starts = [
        read.wrapping_sub(positions.read as u32),
        written.wrapping_sub(positions.written as u32),
    ];
    Some(match direction {
        Direction::Ingress => CallKey {
            starts,
            position: (positions.read as u32).wrapping_sub(len),
            reserved: 0,
        },
        Direction::Egress => CallKey {
            starts: [starts[1], starts[0]],
            position: positions.written as u32,
            reserved: 0,
        },
    })
}

/// The current task is about to write to a descriptor: nothing of it was sent yet.
#[inline(always)]
pub fn about_to_send(descriptor: u32) {
    if !maps::propagates() {
        return;
    }
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return;
    };
    let found = sockets::descriptors_typed().and_then(|it| sockets::of_descriptor(it, descriptor));
    let Some(socket) = found else {
        return;
    };
    let connection = maps::connection(socket.id);
    if connection.is_some_and(|it| it.direction == Direction::Egress as u8) {
        // It goes on with what it sends.
        return;
    }
    if maps::answered(socket.id) {
        return;
    }
    let Some(key) = key_of(socket.sk, Direction::Egress, 0) else {
        return;
    };
    let trace = sender(current, watch, socket, &key);
    maps::calls(&key, &trace);
    if trace.is_known() {
        option::pend(socket.sk, key, &trace);
    } else {
        maps::count_carried(Carried::NoContext);
    }
}

/// On whose behalf the current task sends on a socket.
#[inline(always)]
fn sender(current: Current, watch: Watch, socket: Socket, key: &CallKey) -> Trace {
    let object = maps::carried_by(socket.id);
    if let Some(trace) = maps::take_asked(object.unwrap_or(socket.id)) {
        return trace;
    }
    let kind = u32::from(watch.tasks);
    let task = if kind == TaskKind::Goroutine as u32 {
        kernel_value(current_registers().address() + GOROUTINE_OFFSET).unwrap_or(0)
    } else if kind == TaskKind::ProxyRequest as u32 {
        tasks::passed_on_by_nginx(socket, current.tgid)
    } else {
        0
    };
    let tgid = current.tgid;
    if task != 0
        && let Some(trace) = maps::served_trace(&Execution { tgid, kind, task })
    {
        return trace;
    }
    // Whoever was never spoken to asks for itself alone. Where TLS begins a request, it ends
    // elsewhere, which is where user space looks.
    if object.is_some() || watch.serves != 0 || maps::was_spoken_to(tgid) {
        return Trace::UNKNOWN;
    }
    begun_by(key)
}

/// A goroutine asks next on a connection, which another one writes to.
#[inline(always)]
pub fn goroutine_asks(tgid: u32, goroutine: u64, connection: u64) {
    if !maps::propagates() {
        return;
    }
    let trace = maps::served_trace(&of_goroutine(tgid, goroutine));
    let is_alone = !maps::was_spoken_to(tgid);
    match trace {
        Some(trace) => maps::asks_on(connection, &trace),
        // What is sent next says for itself that it begins a trace.
        None if is_alone => {}
        None => maps::asks_on(connection, &Trace::UNKNOWN),
    }
}

/// What had this number is another one from now on.
#[inline(always)]
pub fn goroutine_is_new(tgid: u32, goroutine: u64) {
    if maps::propagates() {
        maps::serves_nothing(&of_goroutine(tgid, goroutine));
    }
}

#[inline(always)]
fn of_goroutine(tgid: u32, task: u64) -> Execution {
    let kind = TaskKind::Goroutine as u32;
    Execution { tgid, kind, task }
}
