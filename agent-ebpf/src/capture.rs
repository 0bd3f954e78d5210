//! How much of a transfer is worth copying, and the record that says so. It looks at no payload.
//!
//! The policy, in units of a *turn* (transfers in one direction until the direction changes): the
//! first `opening_bytes_max` bytes of a turn are copied, of later transfers the first
//! `later_bytes_max` bytes each, until the turn has copied `TURN_BYTES_MAX`. All the rest is only
//! counted: the next record of either stream, or user space when it asks, tells how much it was.

use core::mem::size_of;

use aya_log_ebpf::debug;
use wirespan_common::connection::{Connection, NO_DIRECTION, Sequence};
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{
    CHUNK_AFTER_LOSS, Direction, Extent, Header, Kind, Open, Progress, Stage, is_object,
};
use wirespan_common::watch::{TURN_BYTES_MAX, VerdictKind, Watch};
use zerocopy::{Immutable, IntoBytes};

use crate::frames;
use crate::maps::{self, ChunkRecord, PART_MAX, PARTS_AT_ONCE, Scratch, Wake};
use crate::memory::{
    Current, Delivered, clamp, copy_user, now_ns, repeat, smaller, user_tail, user_value,
};
use crate::sockets::{self, Socket};
use crate::syscall::{Buffers, Call, Iovec};

/// Parts of a scattered transfer that are looked at, over all its messages, each of which but the
/// first counts as one more; the bytes of further ones are only counted.
const PARTS_MAX: u64 = 16;

/// The same where a loop costs the verifier nothing. gRPC's C core makes three or four of each
/// header field that it inserts.
const PARTS_MAX_LOOPED: u32 = 256;

/// A connection that moved this much in both directions does not begin to speak HTTP/2 any more.
const PREFACE_POSITION_MAX: u64 = 4 * 1024;

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

/// Takes note of the transfer in the scratch buffer: copies what is worth it, counts the rest.
#[inline(never)]
pub fn transferred(scratch: &mut Scratch) -> Delivered<()> {
    take_note::<true>(scratch)
}

/// [`transferred`] for kernels that can't walk frames (before 5.17).
#[inline(never)]
pub fn transferred_plain(scratch: &mut Scratch) -> Delivered<()> {
    take_note::<false>(scratch)
}

#[inline(always)]
fn take_note<const WALKS: bool>(scratch: &mut Scratch) -> Delivered<()> {
    let id = scratch.transfer.socket.id;
    let connection = match maps::connection(id) {
        Some(known) => known,
        None => {
            open(scratch)?;
            maps::connection(id).ok_or(KernelLoss::ConnectionsFull)?
        }
    };
    if connection.verdict == VerdictKind::Carrier as u8 {
        return Ok(());
    }
    let transfer = &scratch.transfer;
    let direction = transfer.call.direction;
    let turned = connection.direction != direction as u8;
    if turned {
        turn(connection, transfer);
    }
    if matches!(direction, Direction::Ingress) {
        connection.reader = transfer.current.tid;
    }
    if connection.verdict == VerdictKind::Ignored as u8 {
        return Ok(());
    }
    let now = now_ns();
    let position = extent_of(connection, direction).position;
    if WALKS && turned && may_become_http2(connection) {
        frames::look_for_preface(scratch, connection);
    }
    let walks = WALKS && connection.verdict == VerdictKind::Http2 as u8;
    if walks {
        frames::walk(scratch, connection, position, now);
    }
    // Behind the walk's records: the other direction's tell how far this one is, and what was not
    // recorded by then counts as left out.
    let extent = extent_of(connection, direction);
    extent.position = position + u64::from(scratch.transfer.len);
    extent.last_ns = now;
    if walks {
        extent.tail_len = 0;
        if scratch.frames.is_dealt_with != 0 {
            return unreadable(scratch);
        }
    }
    let transfer = &scratch.transfer;
    let allowed = if connection.verdict == VerdictKind::Http2 as u8 {
        // No walk yet, and a header block that is cut spoils all that follow (HPACK).
        PART_MAX as u32
    } else {
        transfer
            .watch
            .later_bytes_max
            .max(connection.opening_bytes_left)
    };
    scratch.wanted = transfer
        .len
        .min(allowed)
        .min(connection.turn_bytes_left)
        .min(PART_MAX as u32);
    let readable = copy::<WALKS>(scratch);
    let extent = extent_of(connection, direction);
    extent.tail = scratch.tail;
    extent.tail_len = scratch.tail_len;
    if scratch.copied == 0 {
        return readable;
    }
    let len = scratch.transfer.len;
    describe(scratch, connection, position, len, now);
    let sent = maps::send_chunk(scratch);
    connection.lost = u8::from(sent.is_err());
    connection.turn_bytes_left = connection.turn_bytes_left.saturating_sub(scratch.copied);
    connection.opening_bytes_left = connection.opening_bytes_left.saturating_sub(scratch.copied);
    sent.and(readable)
}

/// Whether it is worth looking for the beginning of HTTP/2. User space would find it too, but only
/// after a burst of calls has been cut short. An upgrade is asked for by a first request; how long
/// that is in one direction does not matter.
#[inline(always)]
fn may_become_http2(connection: &Connection) -> bool {
    let early = |extent: &Extent| extent.position < PREFACE_POSITION_MAX;
    let is_open = connection.verdict == 0 || connection.verdict == VerdictKind::Understood as u8;
    is_open && (early(&connection.ingress) || early(&connection.egress))
}

/// How far the stream of one direction has come.
// VERIFIER(6.18): the compiler knows that a direction is 0 or 1 and computes the address from it;
// the verifier does not know. After the clamp neither does.
#[inline(always)]
fn extent_of(connection: &mut Connection, direction: Direction) -> &mut Extent {
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
    head.chunk.tail_len = scratch.tail_len;
    head.chunk.tail = scratch.tail;
    let opposite = extent_of(connection, direction.opposite());
    head.chunk.opposite.position = opposite.position;
    head.chunk.opposite.last_ns = opposite.last_ns;
    head.chunk.opposite.tail = opposite.tail;
    head.chunk.opposite.tail_len = opposite.tail_len;
}

/// The direction changed: budgets are full again, user space may have made up its mind, and bytes
/// may have been read that no hook saw.
#[inline(always)]
fn turn(connection: &mut Connection, transfer: &Transfer) {
    if connection.sequence != Sequence::Ignored as u8 {
        match transfer.call.direction {
            Direction::Ingress => compare(connection, transfer, transfer.len),
            // Another thread may be reading at this moment.
            Direction::Egress if connection.reader == transfer.current.tid => {
                compare(connection, transfer, 0);
            }
            Direction::Egress => {}
        }
    }
    connection.direction = transfer.call.direction as u8;
    connection.turn_bytes_left = TURN_BYTES_MAX;
    connection.opening_bytes_left = transfer.watch.opening_bytes_max;
    if connection.verdict == 0 {
        connection.verdict = maps::verdict_of(transfer.socket.id);
    }
}

/// [`catch_up`], unless it is known already that nothing was missed.
#[inline(always)]
fn compare(connection: &mut Connection, transfer: &Transfer, unaccounted: u32) {
    if transfer.sequence_is_known
        && transfer.copied_sequence == expected_sequence(connection, unaccounted)
    {
        return;
    }
    catch_up(connection, transfer.socket.sk, unaccounted);
}

/// The sequence number that follows if the hooks saw all bytes read but `unaccounted`.
#[inline(always)]
fn expected_sequence(connection: &Connection, unaccounted: u32) -> u32 {
    connection
        .first_sequence
        .wrapping_add(connection.ingress.position as u32)
        .wrapping_add(unaccounted)
}

/// Moves the ingress position to where the kernel's own count of bytes read says it is, but for
/// `unaccounted` bytes that were read since. What was missed is a gap of known length. Returns
/// whether the end of the stream was missed.
#[inline(never)]
pub fn catch_up(connection: &mut Connection, sk: u64, unaccounted: u32) -> bool {
    let Ok(sequence) = sockets::copied_sequence(sk) else {
        return false;
    };
    let mut missed = sequence.wrapping_sub(expected_sequence(connection, unaccounted)) as i32;
    let ended = missed > 0 && sockets::end_was_read(sk, sequence);
    if ended {
        missed -= 1;
    }
    if missed == 0 {
        return ended;
    }
    // Behind without having been corrected before: bytes that come another way (a socket map).
    let follows = missed > 0 || connection.sequence == Sequence::CaughtUp as u8;
    if !follows || sockets::has_upper_protocol(sk) {
        connection.sequence = Sequence::Ignored as u8;
        return false;
    }
    connection.sequence = Sequence::CaughtUp as u8;
    let extent = &mut connection.ingress;
    extent.position = extent.position.wrapping_add_signed(i64::from(missed));
    extent.last_ns = now_ns();
    extent.tail_len = 0;
    ended
}

/// Copies the first `wanted` bytes of the transfer in the scratch buffer, and the last ones too if
/// that is not all.
#[inline(always)]
fn copy<const WALKS: bool>(scratch: &mut Scratch) -> Delivered<()> {
    scratch.copied = 0;
    scratch.passed = 0;
    scratch.tail_len = 0;
    scratch.unreadable = 0;
    let Transfer { call, len, .. } = scratch.transfer;
    match call.buffers {
        Buffers::Unmapped | Buffers::Spliced => return Ok(()),
        Buffers::One => {
            scratch.part = Iovec {
                address: call.address,
                len: smaller(call.count, len.into()),
            };
            copy_part(scratch);
        }
        Buffers::Vector | Buffers::Message | Buffers::Messages => {
            begin_parts(scratch)?;
            if WALKS {
                let mut parts = Parts { scratch };
                repeat(PARTS_MAX_LOOPED, one_part, &mut parts);
            }
            let mut round = 0;
            while !WALKS && round < PARTS_MAX {
                if scratch.unreadable != 0 || scratch.passed >= u64::from(scratch.transfer.len) {
                    break;
                }
                next_part(scratch);
                round += 1;
            }
        }
    }
    if scratch.passed == u64::from(scratch.transfer.len) && scratch.copied < scratch.transfer.len {
        let Iovec { address, len } = scratch.part;
        (scratch.tail, scratch.tail_len) = user_tail(address, len);
    }
    unreadable(scratch)
}

/// What a round of the loop over parts is given: the helper takes a pointer to the stack alone.
struct Parts<'a> {
    scratch: &'a mut Scratch,
}

extern "C" fn one_part(_index: u32, parts: &mut Parts<'_>) -> u64 {
    next_part(parts.scratch);
    let scratch = &*parts.scratch;
    u64::from(scratch.unreadable != 0 || scratch.passed >= u64::from(scratch.transfer.len))
}

#[inline(always)]
fn unreadable(scratch: &Scratch) -> Delivered<()> {
    if scratch.unreadable != 0 {
        Err(KernelLoss::UnreadableMemory)
    } else {
        Ok(())
    }
}

/// Gets ready to find the parts of the scattered transfer in the scratch buffer.
#[inline(never)]
pub fn begin_parts(scratch: &mut Scratch) -> Delivered<()> {
    let Transfer {
        call,
        message,
        is_whole_call,
        len,
        ..
    } = scratch.transfer;
    scratch.message = message;
    scratch.next_part = call.parts(message)?;
    // Mostly there are few, and each read costs more than what it reads.
    scratch.parts_known = match user_value(scratch.next_part) {
        Ok(parts) => {
            scratch.parts = parts;
            PARTS_AT_ONCE as u32
        }
        Err(_) => 0,
    };
    scratch.left = if matches!(call.buffers, Buffers::Messages) && is_whole_call {
        call.message_len(message)?.into()
    } else {
        len.into()
    };
    Ok(())
}

/// Finds the next part of the transfer in the scratch buffer and copies what is wanted of it.
// VERIFIER(6.18): all that a round of the loop above needs is in memory of a map, and this returns
// nothing, so that rounds look the same to the verifier. With values in registers it followed a
// million instructions.
#[inline(never)]
fn next_part(scratch: &mut Scratch) {
    scratch.part.len = 0;
    if find_part(scratch).is_err() {
        scratch.unreadable = 1;
    } else {
        copy_part(scratch);
    }
}

/// Finds the next part, shortened to what the transfer used of it: an empty one where a message of
/// the call ends, so that the rest is found in the next round.
#[inline(always)]
pub fn find_part(scratch: &mut Scratch) -> Delivered<()> {
    if scratch.left == 0 {
        // What is missing is in the call's next message.
        scratch.message += 1;
        scratch.parts_known = 0;
        scratch.next_part = scratch.transfer.call.parts(scratch.message)?;
        scratch.left = scratch.transfer.call.message_len(scratch.message)?.into();
        return Ok(());
    }
    let part = if scratch.parts_known != 0 {
        let index = PARTS_AT_ONCE as u32 - scratch.parts_known;
        scratch.parts_known -= 1;
        let index = clamp::<{ PARTS_AT_ONCE - 1 }>(index.into()) as usize;
        *scratch
            .parts
            .get(index)
            .ok_or(KernelLoss::UnreadableMemory)?
    } else {
        user_value(scratch.next_part)?
    };
    scratch.next_part += size_of::<Iovec>() as u64;
    scratch.part.address = part.address;
    scratch.part.len = smaller(part.len, scratch.left);
    scratch.left -= scratch.part.len;
    Ok(())
}

/// [`copy`] for the part of the transfer that is in the scratch buffer.
#[inline(always)]
fn copy_part(scratch: &mut Scratch) {
    let Scratch {
        copied,
        wanted,
        passed,
        part,
        ..
    } = *scratch;
    scratch.passed = passed + part.len;
    let take = smaller(part.len, u64::from(wanted - copied)) as u32;
    match copy_user::<PART_MAX, _>(&mut scratch.payload, copied, part.address, take) {
        Ok(()) => scratch.copied = copied + take,
        Err(_) => scratch.unreadable = 1,
    }
}

/// Begins to remember a connection and tells user space its addresses.
// VERIFIER(6.1): it returns no reference: one that comes back beside a discriminant, over the
// stack, is a plain number to older kernels.
#[inline(never)]
fn open(scratch: &mut Scratch) -> Delivered<()> {
    let socket = scratch.transfer.socket;
    let ignored = !is_object(socket.id) && !sockets::is_stream(socket.sk);
    let (sequence, first_sequence) = sequence_of(&scratch.transfer);
    let (connection, is_new) = maps::remember_connection(
        socket.id,
        &Connection {
            direction: NO_DIRECTION,
            verdict: if ignored {
                VerdictKind::Ignored as u8
            } else {
                0
            },
            sequence: sequence as u8,
            first_sequence,
            sk: socket.sk,
            ..Connection::default()
        },
    )?;
    // The socket of a TLS object may be found later.
    if is_new && !ignored && socket.sk != 0 && announce(scratch).is_err() {
        maps::count(KernelLoss::RingFull);
        connection.lost = 1;
    }
    log_opened(socket.id, scratch.transfer.current.tgid);
    Ok(())
}

/// A function of its own, so that transfers don't carry the log's stack.
#[inline(never)]
fn log_opened(id: u64, tgid: u32) {
    debug!((), "connection {} opened, seen in process {}", id, tgid);
}

/// Whether a new connection's sequence numbers are followed, and where they begin.
#[inline(always)]
fn sequence_of(transfer: &Transfer) -> (Sequence, u32) {
    let sk = transfer.socket.sk;
    if transfer.sees_all || !sockets::is_tcp(sk) {
        return (Sequence::Ignored, 0);
    }
    let Ok(sequence) = sockets::copied_sequence(sk) else {
        return (Sequence::Ignored, 0);
    };
    let first = match transfer.call.direction {
        Direction::Ingress => {
            let end = u32::from(sockets::end_was_read(sk, sequence));
            sequence.wrapping_sub(transfer.len).wrapping_sub(end)
        }
        Direction::Egress => sequence,
    };
    (Sequence::Followed, first)
}

/// Tells user space the addresses of the connection in the scratch buffer.
#[inline(always)]
pub fn announce(scratch: &mut Scratch) -> Delivered<()> {
    let Transfer {
        socket, current, ..
    } = scratch.transfer;
    let record = &mut scratch.open;
    sockets::addresses(socket, &mut record.open)?;
    let path_len = if record.open.family == sockets::AF_UNIX {
        sockets::unix_path(socket.sk, &mut record.path)
    } else {
        0
    };
    record.header = header::<Header>(Kind::Open, 0, now_ns(), current);
    record.header.len += size_of::<Open>() as u32 + path_len;
    maps::send_open(scratch, path_len)
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
pub fn ended(id: u64, connection: &Connection, stage: Stage, tgid: u32, tid: u32) -> Delivered<()> {
    let record = ProgressRecord {
        header: header::<ProgressRecord>(Kind::Progress, 0, now_ns(), Current { tgid, tid }),
        progress: Progress {
            connection: id,
            stage: stage as u8,
            reserved: [0; 7],
            ingress: connection.ingress,
            egress: connection.egress,
        },
    };
    maps::send(&record, Wake::Later)
}

/// The header of a record of type `T` with `payload` bytes behind it.
#[inline(always)]
pub fn header<T>(kind: Kind, payload: u32, time_ns: u64, current: Current) -> Header {
    Header {
        len: size_of::<T>() as u32 + payload,
        kind: kind as u8,
        reserved: [0; 3],
        time_ns,
        tgid: current.tgid,
        tid: current.tid,
    }
}
