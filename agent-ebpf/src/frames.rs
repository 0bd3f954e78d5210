//! The frames of HTTP/2 (RFC 9113, 4.1), walked by their lengths, so that payloads of DATA frames
//! need not be copied. It is asked only for connections that speak HTTP/2, because user space said
//! so or because the client's preface was met, and reads nothing but that and frame headers.
//!
//! What is copied: every frame header, other frames' payloads up to `FRAME_BYTES_MAX`, of a DATA
//! frame's payload `DATA_WHOLE_MAX` bytes or, if it is longer, the first `DATA_BYTES_MAX`. Each
//! contiguous stretch is one record with `captured == len`; where the next record's position is
//! farther on, the bytes between were left out.
//!
//! A walk begins with the client's preface, at a boundary that user space knows or, if the stream
//! is past that, at the start of a transfer: after `PROOF` plausible frames in a row it is
//! believed. A frame that is not plausible ends it; then transfers are copied as far as one record
//! goes until the next is proved.

mod preface;

pub use preface::look_for_preface;

use wirespan_common::connection::Connection;
use wirespan_common::watch::NO_BOUNDARY;

use crate::maps::{self, HEADER_LEN, HEADER_ROOM, HEADER_SIZE, PART_MAX, PROOF, Scratch, Walk};
use crate::memory::{Delivered, claimed, clamp, copy_user, copy_user_at, repeat, smaller};
use crate::parts::{begin_parts, find_part};
use crate::records::describe;
use crate::syscall::{Buffers, Iovec};

/// Payloads of DATA frames up to this length are copied whole: several small messages (gRPC) may
/// share one, and each is counted by its prefix.
const DATA_WHOLE_MAX: u32 = 2048;
/// Of longer ones this many bytes: a message's prefix (gRPC) and some of the message.
const DATA_BYTES_MAX: u32 = 64;
/// Of other frames' payloads this many bytes.
const FRAME_BYTES_MAX: u32 = 8 * 1024;
/// Longest stretch to which another frame can be added.
const STRETCH_MAX: u32 = PART_MAX as u32 - FRAME_BYTES_MAX - HEADER_LEN as u32;
/// Frames and parts of one transfer that are looked at.
const ROUNDS_MAX: u32 = 4096;
/// A frame's length is a number of 24 bits.
const FRAME_LEN_MAX: u64 = 1 << 24;

/// Walks the frames of the transfer in the scratch buffer, which begins at `position` of its
/// stream. Says in [`Frames::is_dealt_with`] whether that was all: if not, the walk is not proved,
/// and the transfer is one like any other.
#[inline(never)]
pub fn walk(scratch: &mut Scratch, connection: &mut Connection, position: u64, now_ns: u64) {
    scratch.frames.is_dealt_with = 0;
    let id = scratch.transfer.socket.id;
    let Some(walks) = maps::frames(id) else {
        return;
    };
    let direction = scratch.transfer.call.direction;
    let walk = if clamp::<1>(direction as u64) == 0 {
        &mut walks.ingress
    } else {
        &mut walks.egress
    };
    if walk.proved < PROOF.into() {
        let boundary = maps::boundary_of(id, direction);
        if boundary != NO_BOUNDARY && boundary >= position && boundary - position < FRAME_LEN_MAX {
            walk.remaining = (boundary - position) as u32;
            walk.wanted = walk.remaining.min(FRAME_BYTES_MAX);
            walk.header_len = 0;
            walk.proved = PROOF.into();
        }
    }
    let frames = &mut scratch.frames;
    frames.is_proved = u8::from(walk.proved >= PROOF.into());
    frames.is_lost = 0;
    frames.position = position;
    frames.end = position + u64::from(scratch.transfer.len);
    frames.done = 0;
    frames.stretch_len = 0;
    frames.is_due = 0;
    frames.now_ns = now_ns;
    let is_proved = frames.is_proved;
    match scratch.transfer.call.buffers {
        Buffers::Unmapped | Buffers::Spliced => {
            let len = scratch.transfer.len;
            if len <= walk.remaining {
                walk.remaining -= len;
                walk.wanted = walk.wanted.saturating_sub(len);
                scratch.frames.is_dealt_with = is_proved;
            } else {
                walk.lose();
            }
            return;
        }
        // Several messages in one call: nobody is known to do that with HTTP/2.
        Buffers::Messages => {
            walk.lose();
            return;
        }
        Buffers::One => {
            scratch.part = Iovec {
                address: scratch.transfer.call.address,
                len: smaller(
                    claimed(scratch.transfer.call.count),
                    scratch.transfer.len.into(),
                ),
            };
        }
        Buffers::Vector | Buffers::Message => {
            scratch.part.len = 0;
            if begin_parts(scratch).is_err() {
                walk.lose();
                return;
            }
        }
    }
    scratch.unreadable = 0;
    let mut round = Round {
        scratch,
        connection,
        walk,
    };
    repeat(ROUNDS_MAX, step, &mut round);
    let Round {
        scratch,
        connection,
        walk,
    } = round;
    scratch.frames.is_due = 1;
    flush(scratch, connection);
    let frames = &scratch.frames;
    if scratch.unreadable != 0 || frames.is_lost != 0 {
        walk.lose();
        copy_rest(scratch, connection);
    } else if frames.position < frames.end {
        // Too many frames; nothing was wrong with them.
        walk.lose();
        walk.proved = u32::from(PROOF) - 1;
        copy_rest(scratch, connection);
    }
    scratch.frames.is_dealt_with = is_proved;
}

/// What a round works on.
struct Round<'a> {
    scratch: &'a mut Scratch,
    connection: &'a mut Connection,
    walk: &'a mut Walk,
}

/// One round: what was collected is written, the next part is taken, a frame header is read, its
/// payload is passed over; each where it is time for that. Returns 1 after the last one.
// VERIFIER(6.18): four functions that return nothing and have all they need in memory of maps: the
// ways through one are then not multiplied with those through the next.
extern "C" fn step(_index: u32, round: &mut Round<'_>) -> u64 {
    flush(round.scratch, round.connection);
    take_part_if_over(round.scratch);
    read_header(round.scratch, round.walk);
    pass_payload(round.scratch, round.walk);
    let frames = &round.scratch.frames;
    u64::from(frames.is_lost != 0 || round.scratch.unreadable != 0 || frames.position >= frames.end)
}

#[inline(never)]
fn take_part_if_over(scratch: &mut Scratch) {
    if scratch.frames.done < scratch.part.len {
        return;
    }
    scratch.frames.done = 0;
    scratch.part.len = 0;
    if find_part(scratch).is_err() {
        scratch.unreadable = 1;
    }
}

/// Adds to the frame header that is under way, if one is.
#[inline(never)]
fn read_header(scratch: &mut Scratch, walk: &mut Walk) {
    let left = scratch.part.len.wrapping_sub(scratch.frames.done);
    if walk.remaining != 0 || left == 0 {
        return;
    }
    let missing = HEADER_LEN - clamp::<{ HEADER_LEN as usize }>(walk.header_len.into());
    let take = smaller(left, missing) as u32;
    let address = scratch.part.address.wrapping_add(scratch.frames.done);
    let header = &mut walk.header;
    let copied = copy_user_at::<HEADER_ROOM, { HEADER_LEN as usize }, HEADER_SIZE>(
        header,
        walk.header_len,
        address,
        take,
    );
    if copied.is_err() {
        scratch.unreadable = 1;
        return;
    }
    extend(scratch, take);
    advance(scratch, take);
    walk.header_len += take;
    if u64::from(walk.header_len) >= HEADER_LEN {
        walk.header_len = 0;
        begin_frame(scratch, walk);
    }
}

/// Passes over what of the frame's payload is in the present part.
#[inline(never)]
fn pass_payload(scratch: &mut Scratch, walk: &mut Walk) {
    let left = scratch.part.len.wrapping_sub(scratch.frames.done);
    if walk.remaining == 0 || left == 0 {
        return;
    }
    let take = smaller(left, walk.remaining.into()) as u32;
    let copied = smaller(take.into(), walk.wanted.into()) as u32;
    extend(scratch, copied);
    walk.wanted -= copied;
    walk.remaining -= take;
    advance(scratch, take);
    scratch.frames.is_due = u8::from(copied < take);
}

/// Reads a whole frame header.
#[inline(always)]
fn begin_frame(scratch: &mut Scratch, walk: &mut Walk) {
    let [a, b, c, kind, _, d, e, f, g, ..] = walk.header;
    let len = u32::from_be_bytes([0, a, b, c]);
    let stream = u32::from_be_bytes([d & 0x7f, e, f, g]);
    if !is_plausible(kind, len, stream) {
        scratch.frames.is_lost = 1;
        return;
    }
    if walk.proved < PROOF.into() {
        walk.proved += 1;
    }
    walk.remaining = len;
    walk.wanted = match kind {
        DATA if len <= DATA_WHOLE_MAX => len,
        DATA => DATA_BYTES_MAX,
        _ => len.min(FRAME_BYTES_MAX),
    };
}

const DATA: u8 = 0;
/// The last type of frame that is registered (`PRIORITY_UPDATE`, RFC 9218).
const KIND_MAX: u8 = 0x10;

/// Whether a frame like this keeps to the rules for its type (RFC 9113, 6.1 to 6.10).
#[inline(always)]
fn is_plausible(kind: u8, len: u32, stream: u32) -> bool {
    match kind {
        // DATA, HEADERS, PUSH_PROMISE, CONTINUATION
        DATA | 1 | 5 | 9 => stream != 0,
        // PRIORITY
        2 => stream != 0 && len == 5,
        // RST_STREAM
        3 => stream != 0 && len == 4,
        // SETTINGS
        4 => stream == 0 && len.is_multiple_of(6),
        // PING
        6 => stream == 0 && len == 8,
        // GOAWAY
        7 => stream == 0 && len >= 8,
        // WINDOW_UPDATE
        8 => len == 4,
        other => other <= KIND_MAX,
    }
}

/// Adds the next bytes of the present part to the stretch that is to be copied.
#[inline(always)]
fn extend(scratch: &mut Scratch, len: u32) {
    let frames = &mut scratch.frames;
    if frames.stretch_len == 0 {
        frames.stretch_position = frames.position;
        frames.stretch_address = scratch.part.address.wrapping_add(frames.done);
    }
    frames.stretch_len += len;
}

#[inline(always)]
fn advance(scratch: &mut Scratch, len: u32) {
    scratch.frames.done += u64::from(len);
    scratch.frames.position += u64::from(len);
}

/// What follows where the walk ended early is copied as far as one record goes.
#[inline(always)]
fn copy_rest(scratch: &mut Scratch, connection: &mut Connection) {
    let left = scratch.part.len.wrapping_sub(scratch.frames.done);
    if scratch.unreadable != 0 || left > scratch.part.len {
        return;
    }
    extend(scratch, smaller(left, PART_MAX as u64) as u32);
    scratch.frames.is_due = 1;
    flush(scratch, connection);
}

/// Writes the record of the stretch, if there is one and it is time for it.
// VERIFIER(6.18): whether it is time is asked here and not in a function around this one, which
// would be one call more than the kernel follows.
#[inline(never)]
fn flush(scratch: &mut Scratch, connection: &mut Connection) {
    let frames = &scratch.frames;
    if frames.done < scratch.part.len && frames.stretch_len <= STRETCH_MAX && frames.is_due == 0 {
        return;
    }
    let len = scratch.frames.stretch_len;
    scratch.frames.stretch_len = 0;
    scratch.frames.is_due = 0;
    if len == 0 || scratch.frames.is_proved == 0 {
        return;
    }
    let address = scratch.frames.stretch_address;
    let copied: Delivered<()> = copy_user::<PART_MAX, _>(&mut scratch.payload, 0, address, len);
    if copied.is_err() {
        scratch.unreadable = 1;
        return;
    }
    scratch.copied = len;
    scratch.tail_len = 0;
    let (position, now_ns) = (scratch.frames.stretch_position, scratch.frames.now_ns);
    describe(scratch, connection, position, len, now_ns);
    let sent = maps::send_chunk(scratch);
    connection.lost = u8::from(sent.is_err());
    if let Err(loss) = sent {
        maps::count(loss);
    }
}
