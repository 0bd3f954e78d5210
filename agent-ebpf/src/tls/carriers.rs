//! What a TLS object is on: found, changed, gone, and told to those who are on it. A socket, or
//! another object.

use wirespan_common::record::{
    ConnectionId, Direction, OBJECT_BIT, OBJECT_MOVES, OPEN_LATE, Stage,
};
use wirespan_common::watch::VerdictKind;

use super::{OF_GO, OF_RUSTLS, halves};
use crate::go_net;
use crate::left_alone;
use crate::maps::{self, FRAMES_AROUND, Frame, Object, ObjectKey, Scratch, Task};
use crate::memory::{Current, Delivered, now_ns, processor};
use crate::records::{self, Announced};
use crate::sockets::{self, Socket};

/// Types of TLS records (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Objects on a socket, one on the other.
const OBJECTS_MAX: usize = if cfg!(legacy) { 2 } else { FRAMES_AROUND + 1 };

/// Finds the socket of the object in the scratch buffer in what the task did.
#[inline(never)]
pub fn settle(task: &mut Task, scratch: &mut Scratch) -> Delivered<()> {
    let key = scratch.object;
    let object = match maps::object(key) {
        Some(object) => object,
        None => {
            maps::remember_object(key, new_id(scratch.operation))?;
            match maps::object(key) {
                Some(object) => object,
                None => return Ok(()),
            }
        }
    };
    let Frame {
        nested, nested_sk, ..
    } = task.frame;
    if nested != 0 {
        if object.carrier != nested {
            return bind(object, scratch, nested, nested_sk);
        }
        return Ok(());
    }
    if object.carrier != 0 && maps::carried_by(object.carrier) != Some(object.id) {
        // That socket is gone, or another object's by now.
        part(object, scratch)?;
    }
    if object.carrier != 0 {
        return Ok(());
    }
    if scratch.operation & OF_GO != 0 {
        let under = match go_net::under(key.address)
            .and_then(go_net::descriptor_of)
            .and_then(of_descriptor)
        {
            Some(socket) => Some(socket),
            None => object_under(key),
        };
        return match under {
            Some(under) if under.id != object.id && maps::carried_by(under.id).is_none() => {
                bind_first(object, scratch, under.id, under.sk)
            }
            _ => Ok(()),
        };
    }
    let is_reading = matches!(scratch.transfer.call.direction, Direction::Ingress);
    if is_reading
        && task.fresh != 0
        && task.fresh != object.id
        && task.fresh_is_doubtful == 0
        && (scratch.transfer.len != 0 || task.fresh_type == HANDSHAKE)
        && maps::carried_by(task.fresh).is_none()
    {
        let fresh = task.fresh;
        task.fresh = 0;
        return bind(object, scratch, fresh, task.fresh_sk);
    }
    if scratch.operation & OF_RUSTLS != 0 && halves::may_lack_its_reader(key, object) {
        return Ok(());
    }
    if task.pending != key.address {
        task.pending_is_doubtful = u8::from(task.pending != 0);
        task.pending = key.address;
    }
    Ok(())
}

/// The object is on this socket, and on no other one any more.
#[inline(always)]
fn bind(
    object: &mut Object,
    scratch: &mut Scratch,
    carrier: ConnectionId,
    sk: u64,
) -> Delivered<()> {
    if object.carrier != 0 {
        part(object, scratch)?;
    }
    bind_first(object, scratch, carrier, sk)
}

/// The object, which had no socket, is on this one.
#[inline(never)]
pub fn bind_first(
    object: &mut Object,
    scratch: &mut Scratch,
    carrier: ConnectionId,
    sk: u64,
) -> Delivered<()> {
    if !sockets::is_stream(sk) {
        return Ok(());
    }
    object.carrier = carrier;
    object.sk = sk;
    maps::carries(carrier, object.id);
    let Some(connection) = maps::connection(object.id) else {
        return Ok(());
    };
    // Plaintext came before.
    connection.sk = sk;
    let moved_on = scratch.transfer.socket;
    scratch.transfer.socket = Socket { id: object.id, sk };
    scratch.carrier = carrier;
    scratch.open.open.flags = OPEN_LATE;
    let announced = records::announce::<false>(scratch, connection.shard);
    scratch.transfer.socket = moved_on;
    if matches!(announced?, Announced::IsOwn) {
        connection.verdict = VerdictKind::Unfit as u8;
    }
    connection.draw = scratch.draw;
    Ok(())
}

/// The object leaves its socket. What it says from now on is another connection.
#[inline(never)]
pub fn part(object: &mut Object, scratch: &Scratch) -> Delivered<()> {
    let told = object_reached::<false>(object.id, Stage::Closed, scratch.transfer.current);
    if maps::carried_by(object.carrier) == Some(object.id) {
        maps::carries_nothing(object.carrier);
    }
    object.carrier = 0;
    object.sk = 0;
    object.used = 0;
    object.id = new_id(scratch.operation) | object.id & OBJECT_MOVES;
    told
}

/// The `tls.Conn` that a Go `tls.Conn` is on, if that was seen.
#[inline(always)]
fn object_under(key: ObjectKey) -> Option<Socket> {
    let address = go_net::under(key.address)?;
    let under = maps::object(ObjectKey {
        address,
        tgid: key.tgid,
    })?;
    (under.carrier != 0).then_some(Socket {
        id: under.id,
        sk: under.sk,
    })
}

/// The program says which descriptor the object uses.
#[inline(always)]
pub fn given_descriptor(current: Current, address: u64, fd: u32) -> Delivered<()> {
    let Some(socket) = of_descriptor(fd) else {
        return Ok(());
    };
    let key = ObjectKey::new(current.tgid, address);
    if maps::object(key).is_none() {
        maps::remember_object(key, new_id(0))?;
    }
    match maps::object(key) {
        Some(object) if object.carrier != socket.id => maps::with_scratch(|scratch| {
            scratch.transfer.current = current;
            bind(object, scratch, socket.id, socket.sk)
        }),
        _ => Ok(()),
    }
}

/// The socket behind a descriptor of the current process.
#[inline(always)]
fn of_descriptor(fd: u32) -> Option<Socket> {
    sockets::of_descriptor(sockets::descriptors()?, fd)
}

/// The program frees the object.
#[inline(always)]
pub fn freed(current: Current, address: u64) -> Delivered<()> {
    let key = ObjectKey::new(current.tgid, address);
    let Some(object) = maps::object(key) else {
        return Ok(());
    };
    let Object { id, carrier, .. } = *object;
    maps::forget_object(key);
    if carrier != 0 && maps::carried_by(carrier) == Some(id) {
        maps::carries_nothing(carrier);
    }
    object_reached::<false>(id, Stage::Closed, current)
}

/// What carries an object came to this stage, and so did the object.
#[inline(always)]
pub fn carrier_reached<const IN_INTERRUPT: bool>(
    carrier: ConnectionId,
    stage: Stage,
    current: Current,
) -> Delivered<()> {
    let Some(id) = maps::carried_by(carrier) else {
        return Ok(());
    };
    // When a socket is closed that was torn down before is not seen. Who has an object's address
    // by then must not be taken for it.
    let is_torn_down = stage as u8 == Stage::Reset as u8 && id & OBJECT_MOVES != 0;
    if is_torn_down || stage as u8 == Stage::Closed as u8 {
        maps::carries_nothing(carrier);
    }
    object_reached::<IN_INTERRUPT>(id, stage, current)
}

/// Tells user space that an object came to this stage, and so did those on it.
#[inline(never)]
pub fn object_reached<const IN_INTERRUPT: bool>(
    id: ConnectionId,
    stage: Stage,
    current: Current,
) -> Delivered<()> {
    let mut id = id;
    let mut round = 0;
    while round < OBJECTS_MAX {
        over::<IN_INTERRUPT>(id, stage, current)?;
        let Some(next) = maps::carried_by(id) else {
            return Ok(());
        };
        if stage as u8 == Stage::Closed as u8 {
            maps::carries_nothing(id);
        }
        id = next;
        round += 1;
    }
    Ok(())
}

/// Tells user space how an object's connection ended, if anything was said on it.
#[inline(always)]
fn over<const IN_INTERRUPT: bool>(
    id: ConnectionId,
    stage: Stage,
    current: Current,
) -> Delivered<()> {
    let Some(connection) = maps::connection(id) else {
        return Ok(());
    };
    let told = if left_alone::is_told(connection, stage) {
        records::ended::<IN_INTERRUPT>(id, connection, stage, current.tgid, current.tid)
    } else {
        Ok(())
    };
    if stage as u8 == Stage::Closed as u8 {
        maps::forget_connection(id);
    }
    told
}

/// Whether a socket carries the object, or one that does.
#[inline(always)]
pub fn is_on(socket: ConnectionId, object: ConnectionId) -> bool {
    let mut carrier = socket;
    let mut round = 0;
    while round < OBJECTS_MAX {
        match maps::carried_by(carrier) {
            Some(id) if id == object => return true,
            Some(id) => carrier = id,
            None => return false,
        }
        round += 1;
    }
    false
}

/// An identity that nothing else has: of two made at the same time, each is of another processor.
#[inline(always)]
pub fn new_id(operation: u16) -> ConnectionId {
    let moves = if operation & OF_RUSTLS != 0 {
        OBJECT_MOVES
    } else {
        0
    };
    OBJECT_BIT | now_ns() << 9 | moves | u64::from(processor() & 0xff)
}
