//! The trace on whose behalf a request is sent, where that is known in time: as a watched server
//! has read a request ([`has_read`]), for whom it serves it, and as anybody is about to send
//! ([`about_to_send`]). Two programs of their own, at both ends of system calls, which are loaded
//! only where somebody asks: what takes note of transfers knows nothing of it.
//!
//! What is said here is what user space will say too, or nothing: a goroutine that read its request
//! itself, nginx's requests, and processes that were never spoken to, whose requests each begin a
//! trace. Whatever is linked by what happens later (threads by what they answer, tasks that others
//! made) is not known. A request that names no trace and comes from no watched process of this
//! machine begins one, whose id follows from the connection ([`derived_trace_id`]).

pub mod head;

use wirespan_common::carriers::{Carried, OF_STREAM, derived_trace_id};
use wirespan_common::record::{CALLER_BY_OPTION, CALLER_KNOWN, Caller, Direction, TaskKind};
use wirespan_common::watch::{VerdictKind, Watch};

use self::head::{RequestHead, Said};
use crate::arch::GOROUTINE_OFFSET;
use crate::maps::{self, CallKey, Execution, HeadPart, Scratch, Served, Trace};
use crate::memory::{
    Current, Delivered, Typed, clamp, copy_user_at, current_process, current_registers,
    current_task, kernel_value, offset, repeat, user_value,
};
use crate::records;
use crate::sockets::{self, Socket};
use crate::syscall::{self, Buffers, Iovec};
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
    known(&trace)
}

#[inline(always)]
fn known(trace: &Trace) -> Option<TraceContext> {
    trace.is_known().then_some(TraceContext {
        trace_id: trace.id,
        flags: trace.flags as u8,
    })
}

/// Of the request that a client makes on a stream of HTTP/2, with a message at `position`. Who is
/// asked for nothing begins a trace with each stream; for whom anybody else sends is known if the
/// message is the first of its call, and so of one request of the message.
#[inline(always)]
pub fn of_stream(starts: [u32; 2], position: u32, stream: u32) -> Option<TraceContext> {
    // VERIFIER(6.1): as of sockets that connect.
    let tgid = kernel_value(current_task() + offset(|o| &o.task_struct_tgid)).ok()?;
    let watch = maps::watch_of(tgid)?;
    if watch.serves == 0 && !maps::was_spoken_to(tgid) {
        return known(&begun_at(starts, OF_STREAM | u64::from(stream)));
    }
    of_call(starts, position)
}

/// The trace that begins with a request.
#[inline(always)]
fn begun_by(key: &CallKey) -> Trace {
    begun_at(key.starts, key.position.into())
}

/// Whether a trace is the one that begins with a request.
#[inline(always)]
fn begins_by(key: &CallKey, trace: &Trace) -> bool {
    begun_by(key).id == trace.id
}

/// The same, by what [`derived_trace_id`] takes.
#[inline(always)]
fn begun_at(starts: [u32; 2], at: u64) -> Trace {
    let [high, low] = derived_trace_id(starts, at);
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
// VERIFIER(6.1): what is known so far lies in memory of a map. Of the stack the verifier knows that
// nothing was read, takes the loop's first round for all of them, and drops what only later ones
// come to.
struct Reading<'a>(&'a mut Scratch);

extern "C" fn one_byte(index: u32, reading: &mut Reading<'_>) -> u64 {
    let Reading(scratch) = reading;
    if index >= scratch.copied {
        return 1;
    }
    let at = clamp::<{ HEAD_BYTES_MAX as usize - 1 }>(index.into()) as usize;
    // VERIFIER(6.1): the compiler does not know what the clamp does, and would leave a panic
    // behind.
    let Some(byte) = scratch.payload.get(at).copied() else {
        return 1;
    };
    u64::from(!scratch.request.next(byte))
}

/// A system call with these registers (a `struct pt_regs`) has returned `result`, and what it moved
/// was noted.
#[inline(always)]
pub fn has_read(registers: Typed, result: i64) {
    if result <= 0 || !syscall::may_move_bytes(registers) {
        return;
    }
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return;
    };
    // Where nothing is lent, nothing is known.
    let _ = maps::with_scratch(|scratch| {
        scratch.registers.load(registers);
        scratch.transfer.current = current;
        scratch.transfer.watch = watch;
        if syscall::decode(&scratch.registers, &mut scratch.transfer.call) {
            was_moved(scratch, result as u32);
        }
        Ok(())
    });
}

/// The call in the scratch buffer moved so many bytes, or messages.
#[inline(always)]
fn was_moved(scratch: &mut Scratch, result: u32) {
    let call = scratch.transfer.call;
    if !matches!(call.direction, Direction::Ingress) || call.is_beside_stream() {
        return;
    }
    let found = sockets::descriptors_typed().and_then(|it| sockets::of_descriptor(it, call.fd));
    let Some(socket) = found else {
        return;
    };
    scratch.transfer.socket = socket;
    let place = TaskPlace::of(socket.sk);
    if is_spoken_to(socket, place) {
        maps::is_spoken_to(scratch.transfer.current.tgid);
    }
    let Some(place) = place else {
        return;
    };
    if !copies_beginning(scratch, result) {
        return;
    }
    let told = maps::told(&place.of_read(result));
    if let Some(trace) = told {
        tell_of_option(scratch, &place, result, &trace);
    }
    if goes_on(scratch, &place, result) {
        return;
    }
    let [a, b, c, d, ..] = scratch.payload;
    if scratch.copied >= 4 && head::is_request([a, b, c, d]) {
        request_read(scratch, &place, result);
    } else if let Some(trace) = told
        && scratch.copied >= 3
        && is_tls([a, b, c])
        && !begins_by(&place.of_read(result), &trace)
    {
        // What it says is not known, so the option is believed. A trace that begins with it has an
        // id that is known when it is answered.
        let served = served_by_reader(scratch, &place);
        if !maps::serves_already(scratch.transfer.socket.id, &served) {
            maps::serves(scratch.transfer.socket.id, &served, &trace);
        }
    }
}

/// Whether a record of TLS begins so (RFC 8446, 5.1).
#[inline(always)]
fn is_tls([kind, major, minor]: [u8; 3]) -> bool {
    const HANDSHAKE: u8 = 22;
    const APPLICATION_DATA: u8 = 23;
    matches!(kind, HANDSHAKE | APPLICATION_DATA) && major == 3 && minor <= 4
}

/// Tells user space what an option said of what was read in the last `len` bytes.
#[inline(always)]
fn tell_of_option(scratch: &Scratch, place: &TaskPlace, len: u32, trace: &Trace) {
    let current = scratch.transfer.current;
    let connection = maps::connection(scratch.transfer.socket.id);
    let shard = connection.map_or_else(|| maps::shard_of(current.tgid), |it| it.shard);
    let key = place.of_read(len);
    let flags = trace.flags as u8;
    // Without room the request has no parent, which is counted as any record that is lost.
    let _: Delivered<()> = records::caller(
        current,
        shard,
        Caller {
            starts: key.starts,
            at: key.position.into(),
            trace_id: trace.id,
            flags,
            bits: CALLER_KNOWN | CALLER_BY_OPTION,
            ..Caller::default()
        },
    );
}

/// Whether a process that has read from a socket had written nothing to it.
#[inline(always)]
fn is_spoken_to(socket: Socket, place: Option<TaskPlace>) -> bool {
    match place {
        Some(place) => place.written == 0,
        // What answers names and addresses is asked in other ways.
        None if sockets::is_tcp(socket.sk) || !sockets::is_stream(socket.sk) => false,
        None => maps::connection(socket.id).is_some_and(|it| it.egress.position == 0),
    }
}

/// Copies the first part of what was read. Returns whether there is any.
#[inline(always)]
fn copies_beginning(scratch: &mut Scratch, result: u32) -> bool {
    let call = scratch.transfer.call;
    let (address, len) = match call.buffers {
        Buffers::One => (call.address, u64::from(result)),
        Buffers::Vector | Buffers::Message => {
            let part = call.parts(0).and_then(user_value::<Iovec>);
            let Ok(Iovec { address, len }) = part else {
                return false;
            };
            (address, len)
        }
        Buffers::Messages | Buffers::Unmapped | Buffers::Spliced => return false,
    };
    let len = if len < u64::from(result) {
        len as u32
    } else {
        result
    };
    scratch.copied = if len < HEAD_BYTES_MAX {
        len
    } else {
        HEAD_BYTES_MAX
    };
    let payload = &mut scratch.payload;
    let copied =
        copy_user_at::<1, { HEAD_BYTES_MAX as usize }, _>(payload, 0, address, scratch.copied);
    copied.is_ok() && scratch.copied != 0
}

/// What is served of what the current task has read.
#[inline(always)]
fn served_by_reader(scratch: &Scratch, place: &TaskPlace) -> Served {
    Served {
        execution: reader(scratch, scratch.transfer.socket),
        starts: [place.peer_start, place.own_start],
        answered: place.written,
        reserved: 0,
    }
}

/// A request was read, in the last `len` bytes.
#[inline(always)]
fn request_read(scratch: &mut Scratch, place: &TaskPlace, len: u32) {
    let socket = scratch.transfer.socket;
    let served = served_by_reader(scratch, place);
    if maps::serves_already(socket.id, &served) {
        // Bytes of its body that look like another.
        return;
    }
    let key = place.of_read(len);
    scratch.request = RequestHead::NEW;
    let trace = match served.execution.task {
        0 => Trace::UNKNOWN,
        _ => trace_of(scratch, key, len, 0),
    };
    maps::serves(socket.id, &served, &trace);
}

/// Whether what was read is the next part of a head, which is dealt with then.
#[inline(always)]
fn goes_on(scratch: &mut Scratch, place: &TaskPlace, len: u32) -> bool {
    let socket = scratch.transfer.socket;
    let Some(part) = maps::take_head_part(socket.id, &mut scratch.request) else {
        return false;
    };
    let served = Served {
        execution: reader(scratch, socket),
        starts: [place.peer_start, place.own_start],
        answered: place.written,
        reserved: 0,
    };
    let begins_here = part.key.position.wrapping_add(part.len) == place.of_read(len).position;
    if !begins_here || part.key.starts != served.starts || served.execution.task == 0 {
        return false;
    }
    let trace = trace_of(scratch, part.key, len, part.len);
    maps::serves(socket.id, &served, &trace);
    true
}

/// Who serves what the current task has read from a socket; number 0 where that is not known.
#[inline(always)]
fn reader(scratch: &Scratch, socket: Socket) -> Execution {
    let tgid = scratch.transfer.current.tgid;
    let kind = u32::from(scratch.transfer.watch.tasks);
    let task = if kind == TaskKind::Goroutine as u32 {
        goroutine()
    } else if kind == TaskKind::ProxyRequest as u32 {
        tasks::read_by_nginx(socket, tgid)
    } else {
        0
    };
    Execution { tgid, kind, task }
}

/// The goroutine that made the call under way.
#[inline(always)]
fn goroutine() -> u64 {
    kernel_value(current_registers().address() + GOROUTINE_OFFSET).unwrap_or(0)
}

/// Of the request in the scratch buffer, as far as it was read: `len` bytes now and `before` bytes
/// before. What was read of a head that goes on is remembered.
#[inline(always)]
fn trace_of(scratch: &mut Scratch, key: CallKey, len: u32, before: u32) -> Trace {
    repeat(HEAD_BYTES_MAX, one_byte, &mut Reading(scratch));
    let so_far = before.wrapping_add(len);
    if !scratch.request.is_over() && scratch.copied == len && so_far < HEAD_BYTES_MAX {
        let part = HeadPart { key, len: so_far };
        maps::remember_head_part(scratch.transfer.socket.id, &part, &scratch.request);
        return Trace::UNKNOWN;
    }
    match scratch.request.said() {
        Said::Trace(id, flags) => Trace {
            id: joined(id),
            flags: flags.into(),
        },
        Said::Unknown => {
            maps::count_carried(Carried::UnknownHead);
            Trace::UNKNOWN
        }
        Said::Nothing => maps::call(&key)
            .or_else(|| maps::told(&key))
            .unwrap_or_else(|| begun_by(&key)),
    }
}

/// How far both streams of a TCP connection have come.
#[derive(Clone, Copy)]
struct TaskPlace {
    /// Sequence number of the first byte that the own side sent.
    own_start: u32,
    /// Of the first that the peer did.
    peer_start: u32,
    /// Bytes that were read, modulo 2^32.
    read: u32,
    /// Bytes that were written, modulo 2^32.
    written: u32,
}

impl TaskPlace {
    /// As of now; `None` where it is no TCP, or not known.
    #[inline(always)]
    fn of(sk: u64) -> Option<Self> {
        if !sockets::is_tcp(sk) {
            return None;
        }
        let read = sockets::copied_sequence(sk).ok()?;
        let written = sockets::written_sequence(sk).ok()?;
        let end = u32::from(sockets::end_was_read(sk, read));
        let read = read.wrapping_sub(end);
        let positions = sockets::tcp_positions(sk, read, written)?;
        let (read_at, written_at) = (positions.read as u32, positions.written as u32);
        Some(Self {
            own_start: written.wrapping_sub(written_at),
            peer_start: read.wrapping_sub(read_at),
            read: read_at,
            written: written_at,
        })
    }

    /// Of the request that was read in the last `len` bytes.
    #[inline(always)]
    fn of_read(&self, len: u32) -> CallKey {
        CallKey {
            starts: [self.peer_start, self.own_start],
            position: self.read.wrapping_sub(len),
            reserved: 0,
        }
    }

    /// Of the request that is about to be written.
    #[inline(always)]
    fn of_written(&self) -> CallKey {
        CallKey {
            starts: [self.own_start, self.peer_start],
            position: self.written,
            reserved: 0,
        }
    }
}

/// The current task is about to write to a descriptor: nothing of it was sent yet.
#[inline(always)]
pub fn about_to_send(descriptor: u32) {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return;
    };
    let found = sockets::descriptors_typed().and_then(|it| sockets::of_descriptor(it, descriptor));
    let Some(socket) = found else {
        return;
    };
    let connection = maps::connection(socket.id);
    // Of what is encrypted nobody keeps in which direction it went last.
    let is_carrier = connection
        .as_ref()
        .is_some_and(|it| it.verdict == VerdictKind::Carrier as u8);
    if !is_carrier && connection.is_some_and(|it| it.direction == Direction::Egress as u8) {
        // It goes on with what it sends.
        return;
    }
    if maps::answered(socket.id) {
        return;
    }
    let Some(place) = TaskPlace::of(socket.sk) else {
        return;
    };
    let key = place.of_written();
    if is_carrier && !maps::has_turned(key.starts, place.read) {
        return;
    }
    maps::calls(&key, &sender(current, watch, socket, &key));
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
        goroutine()
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
    // Whoever was never spoken to asks for itself alone. In TLS the request is another's number,
    // and its trace another id: an option with this one says that it begins one.
    if watch.serves != 0 || maps::was_spoken_to(tgid) {
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
