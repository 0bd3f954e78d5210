//! The kernel side's maps that copying uses, one entry each, and the scratch buffer.

use std::cell::UnsafeCell;

use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{ConnectionId, Direction, Tail};

use crate::kernel::{self, Sent};
use crate::memory::Delivered;
use crate::syscall::Iovec;
use crate::transfer::Transfer;

#[path = "../../../agent-ebpf/src/maps"]
#[allow(dead_code, reason = "a part of the kernel side, without the rest")]
mod files {
    pub mod sizes;
    pub mod walks;
}

pub use files::sizes::{PART_MAX, PARTS_AT_ONCE, PAYLOAD_ROOM};
pub use files::walks::{Frames, HEADER_LEN, HEADER_ROOM, HEADER_SIZE, PROOF, Walk, Walks};

/// The members of the kernel side's scratch buffer that copying uses; see there. What a record says
/// stands in two members of its own.
pub struct Scratch {
    pub transfer: Transfer,
    pub copied: u32,
    pub wanted: u32,
    pub next_part: u64,
    pub parts: [Iovec; PARTS_AT_ONCE],
    pub parts_known: u32,
    pub left: u64,
    pub message: u64,
    pub part: Iovec,
    pub passed: u64,
    pub tail: Tail,
    pub tail_len: u8,
    pub unreadable: u8,
    pub frames: Frames,
    pub position: u64,
    pub len: u32,
    pub payload: [u8; PAYLOAD_ROOM],
}

thread_local! {
    static WALKS: &'static UnsafeCell<Walks> =
        Box::leak(Box::new(UnsafeCell::new(Walks::UNKNOWN)));
}

/// Lends what is known of the connection's frames.
pub fn frames(_id: ConnectionId) -> Option<&'static mut Walks> {
    let walks = WALKS.with(|walks| walks.get());
    // SAFETY: it lives for ever, belongs to this thread, and whoever is lent it gives it back
    // before the next asks: the kernel side looks for a preface, then walks.
    Some(unsafe { &mut *walks })
}

/// Nothing is known any more.
pub fn forget_frames() {
    if let Some(walks) = frames(0) {
        *walks = Walks::UNKNOWN;
    }
}

pub fn boundary_of(_id: ConnectionId, direction: Direction) -> u64 {
    kernel::with(|kernel| kernel.boundaries[direction as usize])
}

pub fn send_chunk(scratch: &mut Scratch) -> Delivered<()> {
    let payload = (scratch.copied as usize).min(PAYLOAD_ROOM);
    assert_eq!(
        payload, scratch.copied as usize,
        "a record's length is not that of its payload"
    );
    let sent = Sent {
        position: scratch.position,
        len: scratch.len,
        bytes: scratch.payload[..payload].to_vec(),
    };
    kernel::with(|kernel| {
        if kernel.ring_is_full {
            return Err(KernelLoss::RingFull);
        }
        kernel.sent.push(sent);
        Ok(())
    })
}

pub fn count(loss: KernelLoss) {
    kernel::with(|kernel| kernel.losses.push(loss));
}
