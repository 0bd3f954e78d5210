//! Objects that are read by one address and written by another: in rustls what is read is a buffer
//! (`ChunkVecBuffer`) within the connection, and what is written is the connection itself. Both are
//! one object here, by the buffer's address.
//!
//! Where the buffer lies in a connection is up to the compiler, and the same for all connections of
//! a program. It is learned: of the buffers that a process read last and the connections that it
//! wrote last, those belong together of which one lies within the other. What was said of a
//! connection before that is known moves with it.

use wirespan_common::watch::Watch;

use crate::maps::{self, ObjectKey, RECENT_HALVES};
use crate::memory::{Current, Delivered, user_value};
use crate::tls::{self, Begun, OF_RUSTLS, ZERO_ENDS};

/// Size of a word.
const WORD: u64 = 8;
/// What is written of a connection is smaller than this, in bytes, and whole connections are not.
const CONNECTION_LEN_MAX: u64 = 1024;

/// The object that is read by this buffer.
#[inline(never)]
pub fn reader(current: Current, buffer: u64) -> Delivered<u64> {
    let tgid = current.tgid;
    if maps::object(ObjectKey::new(tgid, buffer)).is_some() {
        return Ok(buffer);
    }
    let mut known = maps::halves(tgid);
    if known.distance == 0 {
        for connection in known.writers {
            if lies_within(buffer, connection) {
                known.distance = buffer - connection;
            }
        }
        push(&mut known.readers, buffer);
        maps::remember_halves(tgid, &known);
    }
    if known.distance != 0 {
        join(tgid, buffer - known.distance, buffer)?;
    }
    Ok(buffer)
}

/// The object that is written by this connection's address.
#[inline(never)]
pub fn writer(current: Current, connection: u64) -> Delivered<u64> {
    let tgid = current.tgid;
    let mut known = maps::halves(tgid);
    if known.distance == 0 {
        for buffer in known.readers {
            if lies_within(buffer, connection) {
                known.distance = buffer - connection;
            }
        }
        push(&mut known.writers, connection);
        maps::remember_halves(tgid, &known);
    }
    Ok(connection + known.distance)
}

/// Remembers an address as the latest.
#[inline(always)]
fn push(recent: &mut [u64; RECENT_HALVES], address: u64) {
    if recent[0] != address {
        *recent = [address, recent[0], recent[1], recent[2]];
    }
}

#[inline(always)]
fn lies_within(buffer: u64, connection: u64) -> bool {
    connection != 0 && buffer > connection && buffer - connection < CONNECTION_LEN_MAX
}

/// What was known by the connection's address is known by the buffer's from now on.
#[inline(always)]
fn join(tgid: u32, connection: u64, buffer: u64) -> Delivered<()> {
    let Some(object) = maps::object(ObjectKey::new(tgid, connection)) else {
        return Ok(());
    };
    let object = *object;
    maps::forget_object(ObjectKey::new(tgid, connection));
    maps::move_object(ObjectKey::new(tgid, buffer), object)
}

/// So many bytes of the buffer's first chunk are taken, by whom they were lent.
///
/// A `ChunkVecBuffer`, in words: 3 is the address of a ring of chunks, 4 the index of the first, 6
/// how much of that was taken before. A chunk has three words, the second being its bytes' address.
/// `discover` has checked that the code has it so.
#[inline(always)]
pub fn takes<const WALKS: bool>(
    current: Current,
    watch: Watch,
    buffer: u64,
    taken: u64,
) -> Delivered<()> {
    if taken == 0 {
        return Ok(());
    }
    let [ring, first, _, before] = user_value::<[u64; 4]>(buffer + 3 * WORD)?;
    let chunk = ring.wrapping_add(first.wrapping_mul(3 * WORD));
    let address = user_value::<u64>(chunk + WORD)?.wrapping_add(before);
    let object = reader(current, buffer)?;
    moved::<WALKS>(current, watch, object, address, taken)
}

#[inline(always)]
fn moved<const WALKS: bool>(
    current: Current,
    watch: Watch,
    object: u64,
    address: u64,
    len: u64,
) -> Delivered<()> {
    let thread = tls::thread(current);
    let begun = Begun {
        operation: OF_RUSTLS | ZERO_ENDS,
        object,
        buffer: address,
        room: len,
        len_at: 0,
        stack: 0,
    };
    tls::began(thread, begun)?;
    tls::ended::<WALKS>(current, watch, thread, 0, len)
}
