//! From TLS objects to the sockets underneath: which call of which library is under way on a task,
//! and which socket its object is on. It understands no library and looks at no more of a socket's
//! bytes than the header of a TLS record; plaintext is handed to `capture` as if a socket had moved
//! it.
//!
//! How an object finds its socket, best evidence first:
//! 1. TLS records move on a socket while the library is called with the object.
//! 2. The program says so (`SSL_set_fd`).
//! 3. Where the program moves encrypted bytes itself: what a task read last from a socket, and no
//!    object has taken, belongs to the object that makes something of it next; what an object has
//!    to send goes out with the task's next send. Only where there is one candidate: an object
//!    without a socket is better than one with another's.

pub mod halves;

use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{ConnectionId, Direction, OBJECT_BIT, OPEN_LATE, Stage};
use wirespan_common::watch::{PROBES_ON_GOROUTINES, VerdictKind, Watch};

use crate::capture;
use crate::maps::{self, Object, ObjectKey, Scratch, Task, TaskKey};
use crate::memory::{Current, Delivered, kernel_value, now_ns, processor, user_value};
use crate::records::{self, Announced};
use crate::sockets::{self, Socket};
use crate::syscall::{Buffers, Call, Iovec};

/// What a library is called for, as a bit set: plaintext goes out, and not to the caller.
pub const EGRESS: u16 = 1;
/// It comes from a file.
pub const FROM_FILE: u16 = 2;
/// None moves; the call is to agree on keys.
pub const MOVES_NOTHING: u16 = 4;
/// The function returns an `int`.
pub const RETURNS_INT: u16 = 8;
/// A read that returns 0 has met the end of the peer's plaintext.
pub const ZERO_ENDS: u16 = 16;
/// The object is a Go `tls.Conn`.
pub const OF_GO: u16 = 32;

/// What the library calls within this call moves nothing that was not told before.
pub const TOLD_BEFORE: u16 = 64;

/// The buffer is several: `struct iovec`s, as many as `len_at` says.
pub const VECTOR: u16 = 128;

/// A call of a library that begins.
#[derive(Clone, Copy)]
pub struct Begun {
    /// What for.
    pub operation: u16,
    /// Address of the object.
    pub object: u64,
    /// The caller's buffer.
    pub buffer: u64,
    /// Length of that buffer.
    pub room: u64,
    /// Where the library will write how many bytes moved; 0 if it returns that.
    pub len_at: u64,
    /// Where the stack ends: the return address is there.
    pub stack: u64,
}

/// Types of TLS records (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// `pt_regs.r14` (arch/x86/include/asm/ptrace.h), where Go keeps its goroutine (src/cmd/compile/
/// abi-internal.md).
const R14_OFFSET: u64 = 8;

/// Whether the process that calls a library is watched. If so, its socket calls are looked at from
/// here on, whether or not user space has found the library in it yet.
#[inline(always)]
pub fn watch_caller(current: Current, probes: u32) -> Option<Watch> {
    let watch = maps::watch_of(current.tgid)?;
    if watch.probes & probes == 0 {
        maps::add_probes(current.tgid, probes);
    }
    Some(watch)
}

/// The thread as a task.
#[inline(always)]
pub fn thread(current: Current) -> TaskKey {
    TaskKey {
        task: current.tid.into(),
        tgid: 0,
    }
}

/// A call begins on the task. One whose end was missed is forgotten with it.
#[inline(always)]
pub fn began(key: TaskKey, begun: Begun) -> Delivered<()> {
    let task = maps::touch_task(key)?;
    if task.object == begun.object {
        // Some libraries shake hands within a read or a write, by their own public function.
        if begun.operation & (MOVES_NOTHING | TOLD_BEFORE) == MOVES_NOTHING {
            return Ok(());
        }
        // The stack grows downwards; a call from further up shows that an end was missed.
        if task.operation & TOLD_BEFORE != 0 && begun.stack < task.stack {
            return Ok(());
        }
    }
    task.object = begun.object;
    task.buffer = begun.buffer;
    task.room = begun.room;
    task.len_at = begun.len_at;
    task.stack = begun.stack;
    task.operation = begun.operation;
    task.nested = 0;
    Ok(())
}

/// A call begins on the task which certainly writes all that it is given.
///
/// A function of Go begins twice if its stack has to grow first. The second time nothing has been
/// sent yet, which is how it is told from another write of the same memory.
#[inline(always)]
pub fn wrote<const WALKS: bool>(
    current: Current,
    watch: Watch,
    key: TaskKey,
    begun: Begun,
) -> Delivered<()> {
    let task = maps::touch_task(key)?;
    let is_same =
        task.object == begun.object && task.buffer == begun.buffer && task.room == begun.room;
    if is_same && task.operation == begun.operation && task.nested == 0 {
        return Ok(());
    }
    began(key, begun)?;
    let told = ended::<WALKS>(current, watch, key, begun.stack, begun.room);
    task.object = begun.object;
    told
}

/// A function of a library returned `result` on the task, which had its return address at `stack`.
///
/// Where a function of a library calls another one, the inner one is taken for the call: nothing is
/// counted twice.
#[inline(always)]
pub fn ended<const WALKS: bool>(
    current: Current,
    watch: Watch,
    key: TaskKey,
    stack: u64,
    result: u64,
) -> Delivered<()> {
    let Some(task) = maps::task(key) else {
        return Ok(());
    };
    if task.object == 0 || task.stack != stack {
        return Ok(());
    }
    let operation = task.operation;
    // Errors are negative; the upper half of a register that holds an `int` means nothing.
    let result = if operation & RETURNS_INT != 0 {
        i64::from(result as i32)
    } else {
        result as i64
    };
    maps::with_scratch(|scratch| {
        scratch.operation = task.operation;
        scratch.object = ObjectKey::new(current.tgid, task.object);
        let (len_at, room) = (task.len_at, task.room);
        let transfer = &mut scratch.transfer;
        transfer.current = current;
        transfer.watch = watch;
        transfer.message = 0;
        transfer.is_whole_call = true;
        transfer.sees_all = true;
        transfer.sequence_is_known = false;
        transfer.copied_sequence = 0;
        transfer.call = Call {
            fd: 0,
            direction: if operation & EGRESS != 0 {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            buffers: if operation & FROM_FILE != 0 {
                Buffers::Unmapped
            } else if operation & VECTOR != 0 {
                Buffers::Vector
            } else {
                Buffers::One
            },
            address: task.buffer,
            count: 0,
            flags: 0,
        };
        task.object = 0;
        // A call moves less than 2 GiB, as with sockets.
        let len = if result <= 0 || operation & MOVES_NOTHING != 0 {
            0
        } else if len_at != 0 && operation & VECTOR == 0 {
            user_value::<u64>(len_at)?
        } else {
            result as u64
        };
        if len > room {
            // Not the function that it was taken for.
            return Err(KernelLoss::TlsImplausible);
        }
        transfer.len = len as u32;
        transfer.call.count = if operation & VECTOR != 0 {
            len_at
        } else {
            transfer.len.into()
        };
        if let Err(loss) = settle(task, scratch) {
            maps::count(loss);
        }
        if scratch.transfer.len != 0 {
            return moved::<WALKS>(scratch);
        }
        if result == 0 && operation & ZERO_ENDS != 0 {
            return said_goodbye(scratch);
        }
        Ok(())
    })
}

/// Finds the socket of the object in the scratch buffer in what the task did.
#[inline(never)]
fn settle(task: &mut Task, scratch: &mut Scratch) -> Delivered<()> {
    let key = scratch.object;
    let object = match maps::object(key) {
        Some(object) => object,
        None => {
            maps::remember_object(key, new_id())?;
            match maps::object(key) {
                Some(object) => object,
                None => return Ok(()),
            }
        }
    };
    if task.nested != 0 {
        if object.carrier != task.nested {
            return bind(object, scratch, task.nested, task.nested_sk);
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
        return match descriptor_of_go(key.address).and_then(of_descriptor) {
            Some(socket) if maps::carried_by(socket.id).is_none() => {
                bind_first(object, scratch, socket.id, socket.sk)
            }
            _ => Ok(()),
        };
    }
    let is_reading = matches!(scratch.transfer.call.direction, Direction::Ingress);
    if is_reading
        && task.fresh != 0
        && task.fresh_is_doubtful == 0
        && (scratch.transfer.len != 0 || task.fresh_type == HANDSHAKE)
        && maps::carried_by(task.fresh).is_none()
    {
        let fresh = task.fresh;
        task.fresh = 0;
        return bind(object, scratch, fresh, task.fresh_sk);
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
fn bind_first(
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
    scratch.open.open.flags = OPEN_LATE;
    let announced = records::announce(scratch);
    scratch.transfer.socket = moved_on;
    if matches!(announced?, Announced::IsOwn) {
        connection.verdict = VerdictKind::Ignored as u8;
    }
    Ok(())
}

/// The object leaves its socket. What it says from now on is another connection.
#[inline(never)]
fn part(object: &mut Object, scratch: &Scratch) -> Delivered<()> {
    let told = over(object.id, Stage::Closed, scratch.transfer.current);
    if maps::carried_by(object.carrier) == Some(object.id) {
        maps::carries_nothing(object.carrier);
    }
    object.carrier = 0;
    object.sk = 0;
    object.used = 0;
    object.id = new_id();
    told
}

/// Plaintext of the object in the scratch buffer moved.
#[inline(never)]
fn moved<const WALKS: bool>(scratch: &mut Scratch) -> Delivered<()> {
    let Some(object) = maps::object(scratch.object) else {
        return Ok(());
    };
    if object.used == 0 && object.carrier != 0 {
        object.used = 1;
        // Not before: until then user space is shown how the handshake begins.
        if let Some(carrier) = maps::connection(object.carrier) {
            carrier.verdict = VerdictKind::Carrier as u8;
        }
    }
    scratch.transfer.socket = Socket {
        id: object.id,
        sk: object.sk,
    };
    if WALKS {
        capture::transferred(scratch)
    } else {
        capture::transferred_plain(scratch)
    }
}

/// The descriptor of a Go `tls.Conn` on a `net.TCPConn`; `None` if it is on something else, by all
/// that can be seen.
///
/// `tls.Conn.conn` is an interface: its second word leads to a `net.TCPConn`, that to a `net.netFD`
/// (src/net/fd_posix.go: `pfd poll.FD`, `family int`, `sotype int`), whose `poll.FD` begins with a
/// `fdMutex` of 16 bytes and `Sysfd int` (src/internal/poll/fd_unix.go); so since Go 1.9.
#[inline(always)]
fn descriptor_of_go(connection: u64) -> Option<u32> {
    const NETFD_SYSFD: u64 = 16;
    const NETFD_FAMILY: u64 = 56;
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    const SOCK_STREAM: u64 = 1;
    let tcp: u64 = user_value(connection + 8).ok()?;
    let descriptor: u64 = user_value(tcp).ok()?;
    let fd: u64 = user_value(descriptor + NETFD_SYSFD).ok()?;
    match user_value::<[u64; 2]>(descriptor + NETFD_FAMILY).ok()? {
        [AF_INET | AF_INET6, SOCK_STREAM] => Some(fd as u32),
        _ => None,
    }
}

/// The peer's plaintext ended.
#[inline(never)]
fn said_goodbye(scratch: &Scratch) -> Delivered<()> {
    match maps::object(scratch.object) {
        Some(object) => over(object.id, Stage::IngressEnded, scratch.transfer.current),
        None => Ok(()),
    }
}

/// The program says which descriptor the object uses.
#[inline(always)]
pub fn given_descriptor(current: Current, address: u64, fd: u32) -> Delivered<()> {
    let Some(socket) = of_descriptor(fd) else {
        return Ok(());
    };
    let key = ObjectKey::new(current.tgid, address);
    if maps::object(key).is_none() {
        maps::remember_object(key, new_id())?;
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
    over(id, Stage::Closed, current)
}

/// Tells user space how an object's connection ended, if anything was said on it.
#[inline(never)]
fn over(id: ConnectionId, stage: Stage, current: Current) -> Delivered<()> {
    let Some(connection) = maps::connection(id) else {
        return Ok(());
    };
    let told = if connection.verdict == VerdictKind::Ignored as u8 {
        Ok(())
    } else {
        records::ended(id, connection, stage, current.tgid, current.tid)
    };
    if stage as u8 == Stage::Closed as u8 {
        maps::forget_connection(id);
    }
    told
}

/// A socket that carries an object came to this stage, and so did the object.
#[inline(never)]
pub fn carrier_reached(socket: ConnectionId, stage: Stage, current: Current) -> Delivered<()> {
    let Some(id) = maps::carried_by(socket) else {
        return Ok(());
    };
    if stage as u8 == Stage::Closed as u8 {
        maps::carries_nothing(socket);
    }
    over(id, stage, current)
}

/// Bytes moved on a socket in a process with probes; they are in the scratch buffer.
#[inline(never)]
pub fn socket_moved(scratch: &mut Scratch) -> Delivered<()> {
    let transfer = &scratch.transfer;
    let current = transfer.current;
    let socket = transfer.socket;
    let is_ingress = matches!(transfer.call.direction, Direction::Ingress);
    if transfer.watch.probes & PROBES_ON_GOROUTINES != 0 {
        let goroutine = TaskKey {
            task: kernel_value(scratch.registers_at + R14_OFFSET)?,
            tgid: current.tgid.into(),
        };
        if let Some(task) = maps::task(goroutine)
            && task.object != 0
        {
            if task.nested != socket.id && record_type(scratch) != 0 {
                task.nested = socket.id;
                task.nested_sk = socket.sk;
            }
            return Ok(());
        }
    }
    let Some(task) = maps::task(thread(current)) else {
        // Before the task's first call of a library it may read what that call will decrypt.
        return if is_ingress && record_type(scratch) != 0 {
            let task = maps::touch_task(thread(current))?;
            note_fresh(task, socket, record_type(scratch));
            Ok(())
        } else {
            Ok(())
        };
    };
    if task.object != 0 {
        if task.nested != socket.id && record_type(scratch) != 0 {
            task.nested = socket.id;
            task.nested_sk = socket.sk;
        }
        return Ok(());
    }
    if is_ingress {
        let found = record_type(scratch);
        if found != 0 {
            note_fresh(task, socket, found);
        }
        return Ok(());
    }
    // What was read before has been acted upon.
    task.fresh = 0;
    task.fresh_is_doubtful = 0;
    if task.pending == 0 || record_type(scratch) == 0 {
        return Ok(());
    }
    let address = task.pending;
    task.pending = 0;
    if task.pending_is_doubtful != 0 {
        task.pending_is_doubtful = 0;
        return Ok(());
    }
    send_pending(address, scratch)
}

/// The one object that had something to send is on the socket that something was sent on.
#[inline(always)]
fn send_pending(address: u64, scratch: &mut Scratch) -> Delivered<()> {
    let Socket { id, sk } = scratch.transfer.socket;
    let key = ObjectKey::new(scratch.transfer.current.tgid, address);
    match maps::object(key) {
        Some(object) if object.carrier == 0 && maps::carried_by(id).is_none() => {
            bind_first(object, scratch, id, sk)
        }
        _ => Ok(()),
    }
}

/// TLS records were read from this socket, and nobody has made anything of them yet.
#[inline(always)]
fn note_fresh(task: &mut Task, socket: Socket, record_type: u8) {
    if maps::carried_by(socket.id).is_some() {
        // Nobody needs to find that out again.
        return;
    }
    if task.fresh != 0 && task.fresh != socket.id && maps::carried_by(task.fresh).is_none() {
        task.fresh_is_doubtful = 1;
    }
    task.fresh = socket.id;
    task.fresh_sk = socket.sk;
    task.fresh_type = record_type;
}

/// Type of the TLS record that begins where the transfer begins, or 0 if none does (RFC 8446, 5.1:
/// type, major version 3, minor version, length).
#[inline(never)]
fn record_type(scratch: &mut Scratch) -> u8 {
    let call = scratch.transfer.call;
    let start = match call.buffers {
        Buffers::Unmapped | Buffers::Spliced => return 0,
        Buffers::One => call.address,
        Buffers::Vector | Buffers::Message | Buffers::Messages => {
            let Ok(parts) = call.parts(scratch.transfer.message) else {
                return 0;
            };
            match user_value::<Iovec>(parts) {
                Ok(part) => part.address,
                Err(_) => return 0,
            }
        }
    };
    if scratch.transfer.len < 3 {
        return 0;
    }
    match user_value::<[u8; 3]>(start) {
        Ok([kind @ 20..=24, 3, 0..=4]) => kind,
        _ => 0,
    }
}

/// An identity that nothing else has: of two made at the same time, each is of another processor.
#[inline(always)]
fn new_id() -> ConnectionId {
    OBJECT_BIT | now_ns() << 8 | u64::from(processor() & 0xff)
}
