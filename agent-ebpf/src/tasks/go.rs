//! Go: which goroutine makes a call, when goroutines begin and end, and which of them asks or
//! serves where a library's own goroutine moves the bytes.
//!
//! Since Go 1.17 the goroutine (`runtime.g`) is in a register (src/cmd/compile/abi-internal.md),
//! also while it is in a system call. Addresses are used again, so beginnings and ends are told:
//! `runtime.isSystemGoroutine` is asked once by `newproc1`, when a goroutine was made, and once by
//! what ends it, in all versions (src/runtime/proc.go). It is asked by others too, so the return
//! address decides.
//!
//! Nothing here depends on where libraries of Go keep a connection in their structures: it is
//! looked for, by what a connection must look like, and remembered for the process.

use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{TaskEvent, TaskKind, TaskNote, is_object};
use wirespan_common::runtime::Runtime;

use super::Task;
use crate::arch::{GOROUTINE_OFFSET, GoRegisters};
use crate::context;
use crate::go_net;
use crate::maps::{self, HeldConnection, HeldKey, Scratch};
use crate::memory::{Current, Delivered, kernel_value, user_value};
use crate::records;
use crate::sockets;

/// What user space says of a process's runtime, in this order.
struct GoPlaces {
    /// Where a `runtime.g` has its `m`.
    m: u64,
    /// Where a `runtime.m` has the goroutine that it runs.
    curg: u64,
    /// Where a `runtime.g` has the address of the function that it began with.
    start: u64,
    /// Where what makes goroutines begins, and its length.
    makes: [u64; 2],
    /// The same of what ends them.
    ends: [u64; 2],
    /// Where a stream of gRPC has its number.
    stream_number: u64,
}

impl GoPlaces {
    #[inline(always)]
    fn of(runtime: &Runtime) -> Self {
        let [
            m,
            curg,
            start,
            makes,
            makes_len,
            ends,
            ends_len,
            stream_number,
        ] = runtime.places;
        Self {
            m,
            curg,
            start,
            makes: [makes, makes_len],
            ends: [ends, ends_len],
            stream_number,
        }
    }
}

/// The goroutine that made the call in the scratch buffer.
#[inline(always)]
pub fn current(scratch: &Scratch) -> Option<Task> {
    let id = match scratch.goroutine {
        // A library in C, called by way of cgo: registers are that one's.
        0 if is_object(scratch.transfer.socket.id) => return None,
        0 => kernel_value(scratch.registers_at + GOROUTINE_OFFSET).ok()?,
        goroutine => goroutine,
    };
    Some(Task { id, part: 0 })
}

/// `isSystemGoroutine` begins, with a goroutine as its first argument, on the scheduler's own one;
/// it returns to `back`.
#[inline(always)]
pub fn born_or_over(current: Current, registers: &GoRegisters, back: u64) -> Delivered<()> {
    let Some(runtime) = maps::struck(current.tgid) else {
        return Ok(());
    };
    let places = GoPlaces::of(runtime);
    let within = |[begin, len]: [u64; 2]| back.wrapping_sub(begin) < len;
    let task = registers.first;
    if within(places.ends) {
        context::goroutine_is_new(current.tgid, task);
        return tell(current, runtime, TaskEvent::Ended, [task, 0], 0);
    }
    if !within(places.makes) {
        return Ok(());
    }
    context::goroutine_is_new(current.tgid, task);
    let Ok([parent, start]) = made_by(&places, registers) else {
        runtime.notes_lost = runtime.notes_lost.wrapping_add(1);
        return Err(KernelLoss::UnreadableMemory);
    };
    tell(
        current,
        runtime,
        TaskEvent::Born,
        [task, parent],
        start as u32,
    )
}

/// Who makes the goroutine that `newproc1` has just made, and what that begins with.
#[inline(always)]
fn made_by(places: &GoPlaces, registers: &GoRegisters) -> Delivered<[u64; 2]> {
    let m: u64 = user_value(registers.goroutine + places.m)?;
    let parent: u64 = user_value(m + places.curg)?;
    let start: u64 = user_value(registers.first + places.start)?;
    Ok([parent, start])
}

/// A goroutine begins to do what it does for whoever comes, whoever made it.
#[inline(always)]
pub fn is_on_its_own(current: Current, runtime: &mut Runtime, goroutine: u64) -> Delivered<()> {
    tell(current, runtime, TaskEvent::Born, [goroutine, 0], 0)
}

/// The goroutine asks or serves on the connection that `structure` holds, which is of the kind
/// `held`, on the stream `part` of HTTP/2 or with its next request.
#[inline(always)]
pub fn uses(
    current: Current,
    runtime: &mut Runtime,
    event: TaskEvent,
    goroutine: u64,
    structure: u64,
    held: u32,
    part: u32,
) -> Delivered<()> {
    let key = HeldKey {
        tgid: current.tgid,
        held,
    };
    let connection = connection_in(structure, key);
    if connection == 0 {
        return Ok(());
    }
    if matches!(event, TaskEvent::Asks) && part == 0 {
        context::goroutine_asks(current.tgid, goroutine, connection);
    } else if matches!(event, TaskEvent::Serves) {
        context::goroutine_is_new(current.tgid, goroutine);
    }
    tell(current, runtime, event, [goroutine, connection], part)
}

/// The number of a stream of gRPC (google.golang.org/grpc/internal/transport, `Stream.id`): where
/// user space found that it is. Up to 1.76 that is its first word or, from 1.69 on, that of what
/// its first word points to.
#[inline(always)]
pub fn grpc_stream(runtime: &Runtime, stream: u64) -> Delivered<u32> {
    let at = GoPlaces::of(runtime).stream_number;
    if at != 0 {
        return user_value(stream + at);
    }
    let word: u64 = user_value(stream)?;
    if word >> 32 == 0 {
        return Ok(word as u32);
    }
    user_value(word)
}

/// The number of the stream that a `responseWriter` of HTTP/2 writes to (net/http/h2_bundle.go:
/// `rws`, whose first member is `stream`, in which `id` follows a pointer).
#[inline(always)]
pub fn http2_stream(writer: u64) -> Delivered<u32> {
    let state: u64 = user_value(writer)?;
    let stream: u64 = user_value(state)?;
    user_value(stream + 8)
}

/// What can't be written is told with the next that can: addresses are used again, so that who is
/// taken for one goroutine may be another one by then.
#[inline(always)]
fn tell(
    current: Current,
    runtime: &mut Runtime,
    event: TaskEvent,
    [task, other]: [u64; 2],
    part: u32,
) -> Delivered<()> {
    let lost = runtime.notes_lost;
    let told = records::task(
        current,
        TaskNote {
            task,
            other,
            part,
            event: event as u8,
            kind: TaskKind::Goroutine as u8,
            ancestors: 0,
            after_loss: u8::from(lost != runtime.losses_told),
        },
    );
    match told {
        Ok(()) => runtime.losses_told = lost,
        // Two processors that count at a time may count once, which is enough.
        Err(_) => runtime.notes_lost = lost.wrapping_add(1),
    }
    told
}

/// Words of a structure that are looked at for a connection.
const WORDS_MAX: u64 = 24;
/// Every so many connections that are not where they were before, it is looked for anew.
const AGAIN_AFTER: u32 = 64;

/// The connection that a structure of one of Go's libraries holds, 0 if none is seen.
#[inline(never)]
fn connection_in(structure: u64, key: HeldKey) -> u64 {
    let mut misses = 0;
    if let Some(known) = maps::held_connection(key) {
        let found = connection_at(structure + u64::from(known.offset));
        if found != 0 {
            return found;
        }
        known.misses = known.misses.wrapping_add(1);
        if known.misses % AGAIN_AFTER != 0 {
            return 0;
        }
        misses = known.misses;
    }
    let mut word = 0;
    while word < WORDS_MAX {
        let offset = word * 8;
        let found = connection_at(structure + offset);
        if found != 0 {
            let offset = offset as u32;
            maps::remember_held_connection(key, &HeldConnection { offset, misses });
            return found;
        }
        word += 1;
    }
    0
}

/// The connection of the `net.Conn` whose second word (an interface's data) is at this address: a
/// `net.TCPConn` or `net.UnixConn`, a `tls.Conn` on one, or something else that begins with a
/// `net.Conn` and so with an interface. 0 if it is none of these.
#[inline(never)]
fn connection_at(address: u64) -> u64 {
    let Ok(first) = user_value::<u64>(address) else {
        return 0;
    };
    let mut connection = first;
    let mut round = 0;
    while round < 3 {
        if let Some(descriptor) = go_net::descriptor_of(connection) {
            return connection_of(descriptor);
        }
        let Some(under) = go_net::under(connection) else {
            return 0;
        };
        connection = under;
        round += 1;
    }
    0
}

/// What user space calls the connection: the TLS object on the socket, or the socket.
#[inline(always)]
fn connection_of(descriptor: u32) -> u64 {
    let socket = sockets::descriptors()
        .and_then(|descriptors| sockets::of_descriptor(descriptors, descriptor));
    let Some(socket) = socket else { return 0 };
    maps::carried_by(socket.id).unwrap_or(socket.id)
}
