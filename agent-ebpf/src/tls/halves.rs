//! Objects that are read by one address and written by another: in rustls what is read is a buffer
//! (`ChunkVecBuffer`) within the connection, and what is written is the connection itself. Both are
//! one object here, by the buffer's address.
//!
//! Where the buffer lies in a connection is up to the compiler, and differs between clients and
//! servers. It is learned: a buffer that a thread reads and a connection that it writes belong
//! together if the one lies within the other. What was said of a connection before that is known
//! moves with it.

use wirespan_common::watch::Watch;

use crate::maps::{self, ObjectKey};
use crate::memory::{Current, Delivered, user_value};
use crate::tls::{self, Begun, ZERO_ENDS};

/// Size of a word.
const WORD: u64 = 8;
/// Connections are smaller than this, in bytes.
const CONNECTION_LEN_MAX: u64 = 4096;

/// The object that is read by this buffer.
#[inline(never)]
pub fn reader(current: Current, buffer: u64) -> Delivered<u64> {
    let task = maps::touch_task(tls::thread(current))?;
    task.reader = buffer;
    let tgid = current.tgid;
    if maps::object(key(tgid, buffer)).is_some() {
        return Ok(buffer);
    }
    let connection = task.writer;
    if lies_within(buffer, connection) {
        learn(tgid, buffer - connection);
    }
    let [first, second] = maps::halves(tgid);
    if first != 0 {
        join(tgid, buffer - first, buffer)?;
    }
    if second != 0 {
        join(tgid, buffer - second, buffer)?;
    }
    Ok(buffer)
}

/// The object that is written by this connection's address.
#[inline(never)]
pub fn writer(current: Current, connection: u64) -> Delivered<u64> {
    let task = maps::touch_task(tls::thread(current))?;
    task.writer = connection;
    let tgid = current.tgid;
    let buffer = task.reader;
    if lies_within(buffer, connection) {
        learn(tgid, buffer - connection);
        return Ok(buffer);
    }
    let [first, second] = maps::halves(tgid);
    if first == 0 {
        return Ok(connection);
    }
    if second == 0 || maps::object(key(tgid, connection + first)).is_some() {
        return Ok(connection + first);
    }
    if maps::object(key(tgid, connection + second)).is_some() {
        return Ok(connection + second);
    }
    Ok(connection)
}

#[inline(always)]
fn lies_within(buffer: u64, connection: u64) -> bool {
    connection != 0 && buffer > connection && buffer - connection < CONNECTION_LEN_MAX
}

#[inline(always)]
fn key(tgid: u32, address: u64) -> ObjectKey {
    ObjectKey {
        address,
        tgid: tgid.into(),
    }
}

/// Buffers lie so far within connections.
#[inline(always)]
fn learn(tgid: u32, distance: u64) {
    let [first, second] = maps::halves(tgid);
    if first != distance && second != distance {
        maps::remember_halves(tgid, [distance, first]);
    }
}

/// What was known by the connection's address is known by the buffer's from now on.
#[inline(always)]
fn join(tgid: u32, connection: u64, buffer: u64) -> Delivered<()> {
    let Some(object) = maps::object(key(tgid, connection)) else {
        return Ok(());
    };
    let object = *object;
    maps::forget_object(key(tgid, connection));
    maps::move_object(key(tgid, buffer), object)
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
        operation: ZERO_ENDS,
        object,
        buffer: address,
        room: len,
        len_at: 0,
        stack: 0,
    };
    tls::began(thread, begun)?;
    tls::ended::<WALKS>(current, watch, thread, 0, len)
}
