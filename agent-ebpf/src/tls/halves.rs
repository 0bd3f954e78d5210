//! Objects that are read by one address and written by another: in rustls what is read is a buffer
//! (`ChunkVecBuffer`) within the connection, and what is written is the connection itself. Both are
//! one object here, by the buffer's address.
//!
//! Where the buffer lies in a connection is up to the compiler, and the same for all connections of
//! a program. It is learned. Of a connection that is written, a buffer that was read within it and
//! still has the same memory is its own; if that is read there again, it is certain, because what
//! was there before may still stand beyond a connection's end, but nobody reads it. Of a buffer
//! that is read for the first time, what was written closest before it is its own; if several have
//! it at the same distance, that is certain, too. What was said of a connection before it is known
//! moves with it.
//!
//! Connections are moved about in memory, between the first bytes that a server reads and its first
//! answer for one. A buffer's memory stays where it is: who has that is the same connection, unless
//! the one that had it is over. Nothing says that it is but the end of its socket.

#[cfg(legacy)]
mod written_out;

use wirespan_common::watch::Watch;

use crate::maps::{self, Halves, Object, ObjectKey};
use crate::memory::{Current, Delivered, user_value};
use crate::tls::carriers::new_id;
use crate::tls::{self, Begun, OF_RUSTLS, ZERO_ENDS};
#[cfg(legacy)]
use written_out::{read_within, written_before};

/// Size of a word.
const WORD: u64 = 8;
/// What is written of a connection is smaller than this, in bytes, and whole connections are not.
const CONNECTION_LEN_MAX: u64 = 1024;
/// So many connections of a process are looked at for a buffer.
const LOOKS_MAX: u32 = 1024;
/// So many that agree are enough.
const AGREED_MIN: u32 = 16;
/// Where a buffer has the address of its memory; see [`takes`].
const RING: u64 = 3 * WORD;
/// A buffer that never had any has no address there.
const RING_MIN: u64 = 4096;
/// Addresses of a process are below.
const ADDRESS_END: u64 = 1 << 47;

/// The object that is read by this buffer.
#[inline(never)]
pub fn reader(current: Current, buffer: u64) -> Delivered<u64> {
    let tgid = current.tgid;
    let ring = user_value::<u64>(buffer + RING)?;
    let mut owner = maps::buffer_of_ring(tgid, ring);
    let mut known = maps::halves(tgid);
    if known.is_certain == 0
        && let Some(distance) = maps::expected_distance(tgid, buffer)
    {
        known.distance = distance;
        known.is_certain = 1;
        maps::remember_halves(tgid, &known);
    }
    if owner == Some(buffer) {
        if !is_over(tgid, buffer) {
            return Ok(buffer);
        }
        // Another connection has the same memory.
        maps::forget_object(ObjectKey::new(tgid, buffer));
        owner = None;
    }
    if known.is_certain != 0 {
        join(tgid, buffer - known.distance, buffer)?;
    } else if owner.is_none() && known.looks < LOOKS_MAX {
        let distance = written_before(tgid, buffer);
        agree(&mut known, distance);
        maps::remember_halves(tgid, &known);
        if distance != 0 {
            join(tgid, buffer - distance, buffer)?;
        }
    }
    follow(tgid, buffer, ring)?;
    Ok(buffer)
}

/// Whether the object that is read there was on a socket which it is on no longer.
#[inline(always)]
fn is_over(tgid: u32, buffer: u64) -> bool {
    match maps::object(ObjectKey::new(tgid, buffer)) {
        Some(object) => object.carrier != 0 && maps::carried_by(object.carrier) != Some(object.id),
        None => true,
    }
}

/// The object that is written by this connection's address.
#[inline(never)]
pub fn writer(current: Current, connection: u64) -> Delivered<u64> {
    let tgid = current.tgid;
    let mut known = maps::halves(tgid);
    if known.is_certain != 0 {
        let buffer = connection + known.distance;
        let ring = user_value::<u64>(buffer + RING)?;
        if ring >= RING_MIN && maps::buffer_of_ring(tgid, ring) != Some(buffer) {
            join(tgid, connection, buffer)?;
            follow(tgid, buffer, ring)?;
        }
        return Ok(buffer);
    }
    if known.looks >= LOOKS_MAX {
        return Ok(connection + known.distance);
    }
    #[cfg(legacy)]
    maps::remember_written(tgid, connection);
    let distance = read_within(tgid, connection);
    agree(&mut known, distance);
    maps::remember_halves(tgid, &known);
    if distance != 0 {
        maps::expect_buffer(tgid, connection + distance, distance);
    }
    Ok(connection + distance)
}

/// Whether the object may be what is written of a connection alone, whose buffer is an object
/// apart: if this one took the socket, the other one could not. Whoever reads takes both.
#[inline(always)]
pub fn may_lack_its_reader(key: ObjectKey, object: &Object) -> bool {
    object.ring == 0 && maps::halves(key.tgid as u32).is_certain == 0
}

/// One more connection was looked at: it has its buffer there, or 0 if that was not seen.
#[inline(always)]
fn agree(known: &mut Halves, distance: u64) {
    known.looks += 1;
    if distance == 0 {
        return;
    }
    if known.distance == distance {
        known.agreed += 1;
    } else {
        known.distance = distance;
        known.agreed = 1;
    }
    if known.agreed >= AGREED_MIN {
        known.is_certain = 1;
    }
}

/// Whether a buffer may have its memory there.
#[inline(always)]
fn is_memory(address: u64) -> bool {
    address >= RING_MIN && address.is_multiple_of(WORD) && address < ADDRESS_END
}

/// How far within a connection a buffer is that was read there and has the same memory still; 0 if
/// there is none.
#[cfg(not(legacy))]
#[inline(always)]
fn read_within(tgid: u32, connection: u64) -> u64 {
    let mut distance = WORD;
    while distance < CONNECTION_LEN_MAX {
        let buffer = connection + distance;
        let Ok(word) = user_value::<u64>(buffer + RING) else {
            return 0;
        };
        if is_memory(word) && maps::buffer_of_ring(tgid, word) == Some(buffer) {
            return distance;
        }
        distance += WORD;
    }
    0
}

/// How far before a buffer a connection begins that was written and not read; 0 if there is none.
#[cfg(not(legacy))]
#[inline(always)]
fn written_before(tgid: u32, buffer: u64) -> u64 {
    let mut distance = WORD;
    while distance < CONNECTION_LEN_MAX {
        if let Some(object) = maps::object(ObjectKey::new(tgid, buffer - distance))
            && object.ring == 0
        {
            return distance;
        }
        distance += WORD;
    }
    0
}

/// The buffer has its memory there. If that was another one's, whose socket is known, the
/// connection was moved here.
#[inline(always)]
fn follow(tgid: u32, buffer: u64, ring: u64) -> Delivered<()> {
    if ring < RING_MIN {
        return Ok(());
    }
    let key = ObjectKey::new(tgid, buffer);
    if let Some(before) = maps::buffer_of_ring(tgid, ring)
        && before != buffer
        && let Some(object) = maps::object(ObjectKey::new(tgid, before))
        && object.ring == ring
    {
        let object = *object;
        let is_on_socket = object.carrier != 0 && !is_over(tgid, before);
        maps::forget_object(ObjectKey::new(tgid, before));
        if is_on_socket {
            maps::move_object(key, object)?;
        }
    }
    if maps::object(key).is_none() {
        maps::remember_object(key, new_id(OF_RUSTLS))?;
    }
    if let Some(object) = maps::object(key) {
        let left = object.ring;
        if left != ring && left != 0 && maps::buffer_of_ring(tgid, left) == Some(buffer) {
            maps::forget_ring(tgid, left);
        }
        object.ring = ring;
    }
    maps::remember_ring(tgid, ring, buffer);
    Ok(())
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
    let [ring, first, _, before] = user_value::<[u64; 4]>(buffer + RING)?;
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
