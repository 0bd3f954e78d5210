//! Which bytes a system call moved, told by its number and arguments. It reads no payload.
//!
//! Arguments stay in the registers that a task entered the kernel with until it leaves
//! ([`crate::arch`]), so the end of a call is enough to know it.

use wirespan_common::record::Direction;
use zerocopy::{FromBytes, IntoBytes};

use crate::arch::{CALL_PARTS, CallNumber, CallRegisters, is_listed, number, place};
use crate::memory::{Delivered, Typed, read_kernel_part, user_value};

/// What a call read from or wrote to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Buffers {
    /// One piece of memory at `address`.
    One,
    /// `count` of `struct iovec` at `address`.
    Vector,
    /// One `struct msghdr` at `address`.
    Message,
    /// `count` of `struct mmsghdr` at `address`.
    Messages,
    /// Nothing that is mapped (sendfile).
    Unmapped,
    /// Nothing that is mapped; `count` is the descriptor that was written to (splice).
    Spliced,
}

/// A system call on a descriptor.
#[derive(Clone, Copy)]
pub struct Call {
    /// The descriptor that may be a socket.
    pub fd: u32,
    /// Which way bytes went.
    pub direction: Direction,
    /// What `address` and `count` mean.
    pub buffers: Buffers,
    /// See [`Buffers`].
    pub address: u64,
    /// See [`Buffers`]; for one piece of memory its length.
    pub count: u64,
    /// `MSG_*` flags.
    pub flags: u32,
}

impl CallRegisters {
    /// Those at `address`.
    #[inline(never)]
    pub fn read(&mut self, address: u64) -> bool {
        let mut rest = self.as_mut_bytes();
        for (offset, len) in CALL_PARTS {
            let Some((part, behind)) = rest.split_at_mut_checked(len) else {
                return false;
            };
            if read_kernel_part(part, address + offset).is_err() {
                return false;
            }
            rest = behind;
        }
        true
    }

    /// What [`decode`] needs of those in a `struct pt_regs`.
    #[inline(always)]
    pub fn load(&mut self, registers: Typed) {
        self.fourth = registers.value(place::FOURTH);
        self.third = registers.value(place::THIRD);
        self.second = registers.value(place::SECOND);
        self.first = registers.value(place::FIRST);
        self.number = registers.value(place::NUMBER);
    }
}

/// Whether the call with these registers (a `struct pt_regs`) may move bytes on a descriptor.
#[inline(always)]
pub fn may_move_bytes(registers: Typed) -> bool {
    is_listed(registers.value(place::NUMBER))
}

/// `struct iovec`, `struct user_msghdr` and `struct mmsghdr` of 64-bit programs
/// (include/linux/socket.h).
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
pub struct Iovec {
    /// Where it begins.
    pub address: u64,
    /// Its length.
    pub len: u64,
}
const MSGHDR_IOV_OFFSET: u64 = 16;
const MMSGHDR_LEN_OFFSET: u64 = 56;
/// Distance of two `struct mmsghdr`.
pub const MMSGHDR_SIZE: u64 = 64;

/// Decodes the call with these user registers. Returns whether it moves bytes on a descriptor;
/// `call` is filled in only then.
// VERIFIER(6.18): a function of its own, which writes to memory of a map: the verifier then follows
// what comes after it once, not once for each kind of call.
#[inline(never)]
pub fn decode(r: &CallRegisters, call: &mut Call) -> bool {
    use Direction::{Egress, Ingress};
    use number::*;
    let (direction, buffers, flags) = match r.number {
        READ => (Ingress, Buffers::One, 0),
        WRITE => (Egress, Buffers::One, 0),
        RECVFROM => (Ingress, Buffers::One, r.fourth),
        SENDTO => (Egress, Buffers::One, r.fourth),
        READV | PREADV2 => (Ingress, Buffers::Vector, 0),
        WRITEV | PWRITEV2 => (Egress, Buffers::Vector, 0),
        RECVMSG => (Ingress, Buffers::Message, r.third),
        SENDMSG => (Egress, Buffers::Message, r.third),
        RECVMMSG => (Ingress, Buffers::Messages, r.fourth),
        SENDMMSG => (Egress, Buffers::Messages, r.fourth),
        SENDFILE => (Egress, Buffers::Unmapped, 0),
        SPLICE => (Ingress, Buffers::Spliced, 0),
        _ => return false,
    };
    call.fd = r.first as u32;
    call.direction = direction;
    call.buffers = buffers;
    call.address = r.second;
    call.count = r.third;
    call.flags = flags as u32;
    true
}

impl Call {
    /// Flags under which a receive brings no bytes of the stream: `MSG_OOB`, `MSG_PEEK`,
    /// `MSG_ERRQUEUE` (include/linux/socket.h).
    pub const NOT_STREAM: u32 = 0x1 | 0x2 | 0x2000;

    /// Whether the bytes it brought stay in the stream or never were in it.
    #[inline(always)]
    pub fn is_beside_stream(&self) -> bool {
        is_beside_stream(self.direction, self.flags)
    }

    /// Whether it took bytes out of the stream and put them nowhere: `MSG_TRUNC` of a receive
    /// (tcp(7)).
    #[inline(always)]
    pub fn discards(&self) -> bool {
        matches!(self.direction, Direction::Ingress) && self.flags & 0x20 != 0
    }

    /// Where the call's message number `index`, or the call itself, describes its parts: an array
    /// of `struct iovec`.
    #[inline(always)]
    pub fn parts(&self, index: u64) -> Delivered<u64> {
        match self.buffers {
            Buffers::Message | Buffers::Messages => {
                user_value(self.address + index * MMSGHDR_SIZE + MSGHDR_IOV_OFFSET)
            }
            _ => Ok(self.address),
        }
    }

    /// Bytes that message number `index` moved, where the call returns a number of messages.
    #[inline(always)]
    pub fn message_len(&self, index: u64) -> Delivered<u32> {
        user_value(self.address + index * MMSGHDR_SIZE + MMSGHDR_LEN_OFFSET)
    }
}

/// Whether a transfer with these `MSG_*` flags is none of the stream.
#[inline(always)]
pub fn is_beside_stream(direction: Direction, flags: u32) -> bool {
    match direction {
        Direction::Ingress => flags & Call::NOT_STREAM != 0,
        // MSG_OOB: urgent data is sent beside the stream.
        Direction::Egress => flags & 0x1 != 0,
    }
}

/// Whether a system call of this number may write to a socket what its process has in memory.
#[inline(always)]
pub fn may_send(number: CallNumber) -> bool {
    use number::*;
    let number = number as CallNumber;
    matches!(
        number,
        WRITE | WRITEV | SENDTO | SENDMSG | SENDMMSG | PWRITEV2
    )
}

/// The descriptor that it is about.
#[inline(always)]
pub fn descriptor(registers: Typed) -> u32 {
    registers.value::<u64>(place::FIRST) as u32
}
