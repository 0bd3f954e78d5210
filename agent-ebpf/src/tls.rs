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
//!
//! What is said of sockets holds for objects, too: what one of them carries may be TLS records
//! again (an HTTPS proxy), and then it is what another object is on.

pub mod carriers;
pub mod evidence;
pub mod halves;

use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{Direction, Stage};
use wirespan_common::watch::{VerdictKind, Watch};

use crate::capture;
use crate::maps::{self, FRAMES_AROUND, Frame, ObjectKey, Scratch, Task, TaskKey};
use crate::memory::{Current, Delivered, user_value};
use crate::sockets::Socket;
use crate::syscall::{Buffers, Call};
use carriers::{object_reached, settle};
use evidence::{record_type, records_moved};

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

/// The object is of rustls.
pub const OF_RUSTLS: u16 = 256;

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

/// Transfers of an object that are looked at for TLS records outside of any call around them: a
/// tunnel begins early.
const LOOKS_MAX: u64 = 1024;

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

/// A call begins on the task. Those whose ends were missed are forgotten with it.
#[inline(always)]
pub fn began(key: TaskKey, begun: Begun) -> Delivered<()> {
    let task = maps::touch_task(key)?;
    if task.frame.object == begun.object {
        // Some libraries shake hands within a read or a write, by their own public function.
        if begun.operation & (MOVES_NOTHING | TOLD_BEFORE) == MOVES_NOTHING {
            return Ok(());
        }
        // The stack grows downwards; a call from further up shows that an end was missed.
        if task.frame.operation & TOLD_BEFORE != 0 && begun.stack < task.frame.stack {
            return Ok(());
        }
    }
    task.goroutine = if begun.operation & OF_GO != 0 {
        key.task
    } else {
        0
    };
    let all_kept = make_way(task, begun.object, begun.stack);
    let frame = &mut task.frame;
    frame.object = begun.object;
    frame.buffer = begun.buffer;
    frame.room = begun.room;
    frame.len_at = begun.len_at;
    frame.stack = begun.stack;
    frame.operation = begun.operation;
    frame.nested = 0;
    if all_kept {
        Ok(())
    } else {
        Err(KernelLoss::TlsNested)
    }
}

/// Makes the task's frame free for a call with the object: one with another object that is under
/// way has this one within it, and is kept. Returns whether all are.
#[inline(always)]
fn make_way(task: &mut Task, object: u64, stack: u64) -> bool {
    if was_told(&task.frame) {
        task.leave();
    }
    let mut round = 0;
    while round <= FRAMES_AROUND {
        let is_over = task.frame.object != object && task.frame.stack <= stack;
        if stack == 0 || task.frame.object == 0 || !is_over {
            break;
        }
        task.leave();
        round += 1;
    }
    task.frame.object == 0 || task.frame.object == object || task.keep()
}

/// Whether this is a write of Go, which was told when it began and is not seen to end.
#[inline(always)]
fn was_told(frame: &Frame) -> bool {
    const WRITE_OF_GO: u16 = OF_GO | EGRESS;
    frame.object != 0 && frame.operation & WRITE_OF_GO == WRITE_OF_GO
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
    let Begun {
        object,
        buffer,
        room,
        operation,
        ..
    } = begun;
    if begins_again(&task.frame, object, buffer, room, operation) {
        return Ok(());
    }
    let begins = began(key, begun);
    tell::<WALKS>(current, watch, task, begun.room)?;
    begins
}

/// Whether the call that is under way is this one, which has sent nothing yet.
// VERIFIER(5.10): apart, so that what comes after it is not followed for each way to the answer.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
fn begins_again(frame: &Frame, object: u64, buffer: u64, room: u64, operation: u16) -> bool {
    let is_same = frame.object == object && frame.buffer == buffer && frame.room == room;
    is_same && frame.operation == operation && frame.nested == 0
}

/// A function of a library returned `result` on the task, which had its return address at `stack`.
///
/// Where a function of a library calls another one with the same object, the inner one is taken for
/// the call: nothing is counted twice.
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
    if was_told(&task.frame) {
        task.leave();
    }
    if !task.returns_to(stack) {
        return Ok(());
    }
    tell::<WALKS>(current, watch, task, result)
}

/// The task's innermost call moved plaintext, as `result` says. It is left, unless it was only told
/// early.
#[inline(always)]
fn tell<const WALKS: bool>(
    current: Current,
    watch: Watch,
    task: &mut Task,
    result: u64,
) -> Delivered<()> {
    let told = maps::with_scratch(|scratch| {
        scratch.goroutine = task.goroutine;
        let transfer = &mut scratch.transfer;
        transfer.current = current;
        transfer.watch = watch;
        let described = describe(&task.frame, scratch, result);
        if described.is_ok()
            && let Err(loss) = settle(task, scratch)
        {
            maps::count(loss);
        }
        if !was_told(&task.frame) {
            task.leave();
        }
        described?;
        if scratch.transfer.len != 0 {
            return moved::<WALKS>(task, scratch);
        }
        if result_of(scratch.operation, result) == 0 && scratch.operation & ZERO_ENDS != 0 {
            return said_goodbye(scratch);
        }
        Ok(())
    });
    if let Err(loss) = told
        && loss as u32 == KernelLoss::ScratchBusy as u32
        && !was_told(&task.frame)
    {
        task.leave();
    }
    told
}

/// What a function returned. Errors are negative; the upper half of a register that holds an `int`
/// means nothing.
#[inline(always)]
fn result_of(operation: u16, result: u64) -> i64 {
    if operation & RETURNS_INT != 0 {
        i64::from(result as i32)
    } else {
        result as i64
    }
}

/// Fills in what a call that returned `result` moved.
#[inline(always)]
fn describe(frame: &Frame, scratch: &mut Scratch, result: u64) -> Delivered<()> {
    let operation = frame.operation;
    let result = result_of(operation, result);
    scratch.operation = operation;
    let transfer = &mut scratch.transfer;
    scratch.object = ObjectKey::new(transfer.current.tgid, frame.object);
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
        address: frame.buffer,
        count: 0,
        flags: 0,
    };
    // A call moves less than 2 GiB, as with sockets.
    let len = if result <= 0 || operation & MOVES_NOTHING != 0 {
        0
    } else if frame.len_at != 0 && operation & VECTOR == 0 {
        user_value::<u64>(frame.len_at)?
    } else {
        result as u64
    };
    if len > frame.room {
        // Not the function that it was taken for.
        return Err(KernelLoss::TlsImplausible);
    }
    transfer.len = len as u32;
    transfer.call.count = if operation & VECTOR != 0 {
        frame.len_at
    } else {
        transfer.len.into()
    };
    Ok(())
}

/// Plaintext of the object in the scratch buffer moved, on a task that has left the call.
// In its place: a function's frame is rounded up, and there are many below this one.
#[inline(always)]
fn moved<const WALKS: bool>(task: &mut Task, scratch: &mut Scratch) -> Delivered<()> {
    let Some(object) = maps::object(scratch.object) else {
        return Ok(());
    };
    if object.used == 0 && object.carrier != 0 {
        // Not before: until then user space is shown how the handshake begins.
        if let Some(carrier) = maps::connection(object.carrier) {
            carrier.verdict = VerdictKind::Carrier as u8;
        }
    }
    scratch.carrier = object.carrier;
    scratch.transfer.socket = Socket {
        id: object.id,
        sk: object.sk,
    };
    if object.carrier != 0 && (object.used < LOOKS_MAX || task.frame.object != 0) {
        object.used += 1;
        if record_type(scratch) != 0
            && let Err(loss) = records_moved(task, scratch)
        {
            maps::count(loss);
        }
    }
    let known = maps::connection(scratch.transfer.socket.id);
    #[cfg(legacy)]
    return capture::transferred_plaintext(scratch, known);
    #[cfg(not(legacy))]
    if WALKS {
        capture::transferred(scratch, known)
    } else {
        capture::transferred_plain(scratch, known)
    }
}

/// The peer's plaintext ended.
#[inline(never)]
fn said_goodbye(scratch: &Scratch) -> Delivered<()> {
    match maps::object(scratch.object) {
        Some(object) => {
            object_reached::<false>(object.id, Stage::IngressEnded, scratch.transfer.current)
        }
        None => Ok(()),
    }
}
