//! Takes note of transfers: copies what [`policy`] says is worth it, counts the rest, and writes
//! the record that says so. It looks at no payload.

use wirespan_common::connection::{Connection, NO_DIRECTION, Sequence};
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{Direction, OPEN_COUNTED, OPEN_RESUMED, OPEN_SEQUENCED, is_object};
use wirespan_common::sampling::ALWAYS_FOLLOWED;
use wirespan_common::watch::VerdictKind;

use crate::copy::{copy, unreadable};
#[cfg(not(legacy))]
use crate::frames;
use crate::left_alone;
use crate::logging::debug;
use crate::maps::{self, Scratch};
use crate::memory::{Delivered, now_ns};
use crate::policy;
use crate::records::{Announced, announce, describe, extent_of};
use crate::sockets;
use crate::tasks;
use crate::transfer::Transfer;

/// Takes note of the transfer in the scratch buffer: copies what is worth it, counts the rest.
/// `known` is what is remembered of its connection.
#[cfg(not(legacy))]
#[inline(never)]
pub fn transferred(scratch: &mut Scratch, known: Option<&'static mut Connection>) -> Delivered<()> {
    take_note::<true, false>(scratch, known)
}

/// [`transferred`] for kernels that can't walk frames (before 5.17).
#[inline(never)]
pub fn transferred_plain(
    scratch: &mut Scratch,
    known: Option<&'static mut Connection>,
) -> Delivered<()> {
    take_note::<false, false>(scratch, known)
}

/// The same for plaintext of a TLS object, which has no sequence numbers to note: programs are
/// short of instructions.
#[cfg(legacy)]
#[inline(never)]
pub fn transferred_plaintext(
    scratch: &mut Scratch,
    known: Option<&'static mut Connection>,
) -> Delivered<()> {
    take_note::<false, true>(scratch, known)
}

/// [`transferred`] within the function that calls it.
#[inline(always)]
pub fn take_note<const WALKS: bool, const OF_OBJECT: bool>(
    scratch: &mut Scratch,
    known: Option<&'static mut Connection>,
) -> Delivered<()> {
    let id = scratch.transfer.socket.id;
    let (direction, len) = (scratch.transfer.call.direction, scratch.transfer.len);
    // VERIFIER(6.18): one place where a connection is begun, as all that it does is followed anew
    // for each.
    let mut known = known;
    scratch.open.open.flags = 0;
    if let Some(left) = &mut known
        && VerdictKind::leaves_alone(left.verdict)
    {
        if left_alone::passes(left, direction, len) {
            return Ok(());
        }
        // It was left out, and is followed again.
        maps::forget_connection(id);
        scratch.open.open.flags = OPEN_RESUMED;
        known = None;
    }
    let connection = known.map_or_else(|| new_connection::<OF_OBJECT>(scratch), Ok)?;
    if connection.verdict == VerdictKind::Carrier as u8 {
        return Ok(());
    }
    let is_left = VerdictKind::leaves_alone(connection.verdict);
    if is_left || connection.verdict == 0 && left_alone::learns(connection, id) {
        left_alone::passes(connection, direction, len);
        return Ok(());
    }
    // VERIFIER(6.18): before anything is decided, because it is followed anew for each outcome.
    tasks::note(scratch, connection);
    let transfer = &scratch.transfer;
    let turned = connection.direction != direction as u8;
    if turned {
        turn(connection, transfer);
    }
    if matches!(direction, Direction::Ingress) {
        connection.reader = transfer.current.tid;
    }
    let now = now_ns();
    let position = extent_of(connection, direction).position;
    #[cfg(not(legacy))]
    if WALKS && turned && policy::may_become_http2(connection) {
        frames::look_for_preface(scratch, connection);
    }
    let walks = WALKS && connection.verdict == VerdictKind::Http2 as u8;
    #[cfg(not(legacy))]
    if walks {
        frames::walk(scratch, connection, position, now);
    }
    let told = if walks && scratch.frames.is_dealt_with != 0 {
        scratch.tail_len = 0;
        unreadable(scratch)
    } else {
        record::<WALKS>(scratch, connection, position, now)
    };
    // Behind all records: those of the other direction, which another thread may be writing at this
    // moment, tell how far this one is, and what was not recorded by then counts as left out.
    let extent = extent_of(connection, direction);
    extent.position = position + u64::from(scratch.transfer.len);
    extent.last_ns = now;
    extent.tail = scratch.tail;
    extent.tail_len = scratch.tail_len;
    // VERIFIER(6.18): the constant first, so that nobody follows both directions for nothing.
    if maps::propagates() && matches!(direction, Direction::Egress) {
        maps::note_widened(scratch.transfer.socket.sk);
    }
    told
}

/// Copies what is worth it of the transfer in the scratch buffer, which begins at `position` of its
/// stream, and writes the record.
#[inline(always)]
fn record<const WALKS: bool>(
    scratch: &mut Scratch,
    connection: &mut Connection,
    position: u64,
    now: u64,
) -> Delivered<()> {
    scratch.wanted = policy::wanted(connection, &scratch.transfer);
    let readable = copy::<WALKS>(scratch);
    if scratch.copied == 0 {
        return readable;
    }
    let len = scratch.transfer.len;
    describe(scratch, connection, position, len, now);
    let sent = maps::send_chunk(scratch);
    connection.lost = u8::from(sent.is_err());
    policy::spend(connection, scratch.transfer.call.direction, scratch.copied);
    sent.and(readable)
}

/// The direction changed: budgets are full again, and bytes may have been read that no hook saw.
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
    policy::begin_turn(connection, transfer);
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

/// Begins to remember the connection of the transfer in the scratch buffer, which is announced with
/// the flags in it and others.
#[inline(always)]
fn new_connection<const OF_OBJECT: bool>(
    scratch: &mut Scratch,
) -> Delivered<&'static mut Connection> {
    if !OF_OBJECT {
        note_sequences(scratch);
    }
    open(scratch)?;
    let known = maps::connection(scratch.transfer.socket.id);
    known.ok_or(KernelLoss::ConnectionsFull)
}

/// Begins to remember a connection and tells user space its addresses, unless it is left out.
// VERIFIER(6.1): it returns no reference: one that comes back beside a discriminant, over the
// stack, is a plain number to older kernels.
#[inline(never)]
fn open(scratch: &mut Scratch) -> Delivered<()> {
    let socket = scratch.transfer.socket;
    let ignored = !is_object(socket.id) && !sockets::is_stream(socket.sk);
    let (sequence, first_sequence) = sequence_of(&scratch.transfer);
    let shard = shard_of(scratch);
    // Nobody writes to the other members: they are zero.
    let new = &mut scratch.connection;
    new.direction = NO_DIRECTION;
    new.verdict = if ignored { VerdictKind::Unfit as u8 } else { 0 };
    new.draw = ALWAYS_FOLLOWED;
    new.sequence = sequence as u8;
    new.first_sequence = first_sequence;
    new.sk = socket.sk;
    new.shard = shard;
    let (connection, is_new) = maps::remember_connection(socket.id, new)?;
    // The socket of a TLS object may be found later.
    if is_new && !ignored && socket.sk != 0 {
        match announce::<true>(scratch, connection.shard) {
            Ok(Announced::Told) => {}
            Ok(Announced::IsOwn) => connection.verdict = VerdictKind::Unfit as u8,
            Ok(Announced::LeftOut) => {
                left_alone::begins(connection, VerdictKind::LeftOut as u8);
            }
            Err(_) => {
                maps::count(KernelLoss::RingFull);
                connection.lost = 1;
            }
        }
        connection.draw = scratch.draw;
    }
    log_opened(socket.id, scratch.transfer.current.tgid);
    Ok(())
}

/// The shard of a connection that is seen for the first time: its process's, or that of the socket
/// which carries it, which another process may have been seen with first.
#[inline(always)]
fn shard_of(scratch: &Scratch) -> u8 {
    let of_process = scratch.transfer.watch.shard;
    if maps::shards() <= 1 || !is_object(scratch.transfer.socket.id) {
        return of_process;
    }
    match maps::connection(scratch.carrier) {
        Some(carrier) => carrier.shard,
        None => of_process,
    }
}

/// Where TCP's own counts stood before the transfer in the scratch buffer, by which user space sees
/// whether a connection that was forgotten here went on, and whether bytes were missed meanwhile.
#[inline(never)]
fn note_sequences(scratch: &mut Scratch) {
    let transfer = &scratch.transfer;
    let sk = transfer.socket.sk;
    let open = &mut scratch.open.open;
    if is_object(transfer.socket.id) || !sockets::is_tcp(sk) {
        return;
    }
    let read = sockets::copied_sequence(sk);
    let (Ok(read), Ok(written)) = (read, sockets::written_sequence(sk)) else {
        return;
    };
    let end = u32::from(sockets::end_was_read(sk, read));
    let (of_read, of_written) = match transfer.call.direction {
        Direction::Ingress => (transfer.len, 0),
        Direction::Egress => (0, transfer.len.wrapping_add(inserted(sk))),
    };
    open.first_sequences[0] = read.wrapping_sub(end).wrapping_sub(of_read);
    open.first_sequences[1] = written.wrapping_sub(of_written);
    open.flags |= OPEN_SEQUENCED;
    if let Some(positions) = sockets::tcp_positions(sk, read.wrapping_sub(end), written) {
        open.first_positions[0] = positions.read.wrapping_sub(of_read.into());
        open.first_positions[1] = positions.written.wrapping_sub(of_written.into());
        open.flags |= OPEN_COUNTED;
    }
}

/// Bytes that were inserted into the transfer of a socket that is about to be noted.
#[inline(always)]
fn inserted(sk: u64) -> u32 {
    if !maps::propagates() {
        return 0;
    }
    maps::widened(sk).map_or(0, |it| it.total.wrapping_sub(it.noted))
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
