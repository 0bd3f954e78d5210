//! Records for user space: what the transfer in the scratch buffer, a connection's addresses and
//! its end look like there. Whether one is written is decided elsewhere.

use core::mem::size_of;

use wirespan_common::connection::Connection;
use wirespan_common::legacy::NewsKey;
use wirespan_common::own::Ends;
use wirespan_common::record::{
    CHUNK_AFTER_LOSS, CHUNK_CARRIED, CHUNK_WIDENED, Caller, Direction, Extent, Header, Kind, Open,
    Progress, Stage, TaskNote, is_object,
};
use wirespan_common::sampling::{ALWAYS_FOLLOWED, draw, is_left_out};
use wirespan_common::tokio::NOTED;
use zerocopy::{Immutable, IntoBytes};

use crate::maps::{self, ChunkRecord, Scratch, Wake};
use crate::memory::{Current, Delivered, clamp, now_ns};
use crate::sockets;
use crate::transfer::Transfer;

/// How far the stream of one direction has come.
// VERIFIER(6.18): the compiler knows that a direction is 0 or 1 and computes the address from it;
// the verifier does not know. After the clamp neither does.
#[inline(always)]
pub fn extent_of(connection: &mut Connection, direction: Direction) -> &mut Extent {
    if clamp::<1>(direction as u64) == 0 {
        &mut connection.ingress
    } else {
        &mut connection.egress
    }
}

/// Fills in what the record of a chunk of `len` bytes at `position` says.
#[inline(always)]
pub fn describe(
    scratch: &mut Scratch,
    connection: &mut Connection,
    position: u64,
    len: u32,
    time_ns: u64,
) {
    let transfer = &scratch.transfer;
    let direction = transfer.call.direction;
    let head = &mut scratch.head;
    // Member by member, because the compiler copies structures by a function that moves bytes.
    head.header.len = size_of::<ChunkRecord>() as u32 + scratch.copied;
    head.header.kind = Kind::Chunk as u8;
    head.header.shard = connection.shard;
    head.header.time_ns = time_ns;
    head.header.tgid = transfer.current.tgid;
    head.header.tid = transfer.current.tid;
    head.chunk.connection = transfer.socket.id;
    head.chunk.position = position;
    head.chunk.len = len;
    head.chunk.captured = scratch.copied;
    head.chunk.direction = direction as u8;
    head.chunk.flags = if connection.lost != 0 {
        CHUNK_AFTER_LOSS
    } else {
        0
    };
    head.chunk.carrier_sequences = [0; 2];
    if is_object(transfer.socket.id)
        && let Some(sequences) = sockets::sequences(transfer.socket.sk)
    {
        head.chunk.carrier_sequences = sequences;
        head.chunk.flags |= CHUNK_CARRIED;
    }
    if maps::propagates()
        && matches!(direction, Direction::Egress)
        && let Some(widened) = maps::widened(transfer.socket.sk)
        && !is_object(transfer.socket.id)
    {
        head.chunk.carrier_sequences = [0, widened.noted];
        head.chunk.flags |= CHUNK_WIDENED;
    }
    head.chunk.tail_len = scratch.tail_len;
    head.chunk.tail = scratch.tail;
    let opposite = extent_of(connection, direction.opposite());
    head.chunk.opposite.position = opposite.position;
    head.chunk.opposite.last_ns = opposite.last_ns;
    head.chunk.opposite.tail = opposite.tail;
    head.chunk.opposite.tail_len = opposite.tail_len;
}

/// What came of [`announce`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// User space was told.
    Told,
    /// Nobody is to be told anything: the other end is wirespan's own.
    IsOwn,
    /// Nobody is to be told anything: it is not among those that are followed at the moment.
    LeftOut,
}

/// Tells user space, by this shard, the addresses of the connection in the scratch buffer, unless
/// it is left out, which only one of which nothing was told may be (`IS_NEW`).
#[inline(always)]
pub fn announce<const IS_NEW: bool>(scratch: &mut Scratch, shard: u8) -> Delivered<Announced> {
    announce_one(scratch, shard, IS_NEW)
}

/// The same, once for new ones and others where programs are short of instructions.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
fn announce_one(scratch: &mut Scratch, shard: u8, is_new: bool) -> Delivered<Announced> {
    let Transfer {
        socket, current, ..
    } = scratch.transfer;
    scratch.draw = ALWAYS_FOLLOWED;
    let record = &mut scratch.open;
    sockets::addresses(socket, &mut record.open)?;
    record.open.carrier = if is_object(socket.id) {
        scratch.carrier
    } else {
        0
    };
    scratch.ends = Ends::of(&record.open);
    if maps::is_own_peer(&scratch.ends) {
        return Ok(Announced::IsOwn);
    }
    scratch.draw = draw(&record.open, &scratch.ends);
    if is_new && is_left_out(scratch.draw, maps::left_out_below()) {
        return Ok(Announced::LeftOut);
    }
    let path_len = if record.open.family == sockets::AF_UNIX {
        sockets::unix_path(socket.sk, &mut record.path)
    } else {
        0
    };
    record.header = header::<Header>(Kind::Open, shard, now_ns(), current);
    record.header.len += size_of::<Open>() as u32 + path_len;
    maps::send_open(scratch, path_len)?;
    Ok(Announced::Told)
}

/// A progress record.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct ProgressRecord {
    header: Header,
    progress: Progress,
}

/// Tells user space that a stream or the whole connection ended, and how far it had come.
#[inline(never)]
pub fn ended<const IN_INTERRUPT: bool>(
    id: u64,
    connection: &Connection,
    stage: Stage,
    tgid: u32,
    tid: u32,
) -> Delivered<()> {
    let shard = connection.shard;
    let current = Current { tgid, tid };
    let record = ProgressRecord {
        header: header::<ProgressRecord>(Kind::Progress, shard, now_ns(), current),
        progress: Progress {
            connection: id,
            stage: stage as u8,
            reserved: [0; 7],
            ingress: connection.ingress,
            egress: connection.egress,
        },
    };
    let key = NewsKey {
        connection: id,
        tgid: 0,
        kind: Kind::Progress as u16,
        what: stage as u16,
    };
    maps::send_from::<_, IN_INTERRUPT>(&record, key, shard, Wake::Later)
}

/// A task record without ancestors.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct TaskRecord {
    header: Header,
    note: TaskNote,
}

/// Tells user space what became of a task.
#[inline(always)]
pub fn task(current: Current, note: TaskNote) -> Delivered<()> {
    let shard = maps::shard_of(current.tgid);
    let record = TaskRecord {
        header: header::<TaskRecord>(Kind::Task, shard, now_ns(), current),
        note,
    };
    maps::send(&record, shard, Wake::Later)
}

/// What is known of who made a request.
#[cfg(not(legacy))]
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct CallerRecord {
    header: Header,
    caller: Caller,
}

/// Tells user space, by this shard, who made a request.
#[cfg(not(legacy))]
#[inline(always)]
pub fn caller(current: Current, shard: u8, caller: Caller) -> Delivered<()> {
    let record = CallerRecord {
        header: header::<CallerRecord>(Kind::Caller, shard, now_ns(), current),
        caller,
    };
    maps::send(&record, shard, Wake::Later)
}

/// A task record with numbers behind it.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct NumbersRecord {
    header: Header,
    note: TaskNote,
    numbers: [u64; NOTED],
}

/// Tells user space what became of a task, with the first `count` numbers behind it.
#[inline(always)]
pub fn task_with(
    current: Current,
    note: TaskNote,
    count: u8,
    numbers: [u64; NOTED],
) -> Delivered<()> {
    let shard = maps::shard_of(current.tgid);
    let mut record = NumbersRecord {
        header: header::<NumbersRecord>(Kind::Task, shard, now_ns(), current),
        note,
        numbers,
    };
    record.note.ancestors = count;
    maps::send(&record, shard, Wake::Later)
}

/// The header of a record of type `T`.
#[inline(always)]
pub fn header<T>(kind: Kind, shard: u8, time_ns: u64, current: Current) -> Header {
    Header {
        len: size_of::<T>() as u32,
        kind: kind as u8,
        shard,
        reserved: [0; 2],
        time_ns,
        tgid: current.tgid,
        tid: current.tid,
    }
}
