//! The ring buffer that takes records to user space.

use core::mem::size_of;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_ringbuf_output;
use aya_ebpf::macros::map;
use aya_ebpf::maps::RingBuf;
use wirespan_common::loss::KernelLoss;
use wirespan_common::record::{Header, Open};
use zerocopy::{Immutable, IntoBytes};

use super::scratch::{ChunkRecord, PAYLOAD_ROOM, Scratch};
use crate::memory::{Delivered, clamp};
use crate::sockets::PATH_MAX;

/// Records for user space. Its size is set when it is loaded.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(4 * 1024 * 1024, 0);

/// Sends the chunk in the scratch buffer with the payload that was copied.
#[inline(always)]
pub fn send_chunk(scratch: &mut Scratch) -> Delivered<()> {
    let payload = clamp::<PAYLOAD_ROOM>(u64::from(scratch.copied));
    // SAFETY: head and payload lie one behind the other.
    unsafe {
        send_bytes(
            &raw mut scratch.head,
            size_of::<ChunkRecord>() as u64 + payload,
            Wake::Later,
        )
    }
}

/// Sends the open record in the scratch buffer with `path_len` bytes of its path.
#[inline(always)]
pub fn send_open(scratch: &mut Scratch, path_len: u32) -> Delivered<()> {
    let len = (size_of::<Header>() + size_of::<Open>()) as u64;
    let path_len = clamp::<PATH_MAX>(u64::from(path_len));
    // SAFETY: the path lies directly behind header and body.
    unsafe { send_bytes(&raw mut scratch.open, len + path_len, Wake::Later) }
}

/// Whether user space should look at once or when it comes round.
#[derive(Clone, Copy)]
pub enum Wake {
    /// Somebody waits for what this record says.
    Now,
    /// It may wait for the reader's next look.
    Later,
}

/// Sends a record that is a single value.
#[inline(always)]
pub fn send<T: IntoBytes + Immutable>(record: &T, wake: Wake) -> Delivered<()> {
    // SAFETY: a value without holes (IntoBytes), all of it.
    unsafe { send_bytes(record, size_of::<T>() as u64, wake) }
}

/// Sends `len` bytes from `record` on.
///
/// # Safety
/// As many bytes must be readable there and initialised.
#[inline(always)]
unsafe fn send_bytes<T>(record: *const T, len: u64, wake: Wake) -> Delivered<()> {
    let flags = match wake {
        Wake::Now => BPF_RB_FORCE_WAKEUP,
        Wake::Later => BPF_RB_NO_WAKEUP,
    };
    // SAFETY: the caller vouches for the bytes; the map is one.
    let failed = unsafe {
        bpf_ringbuf_output(
            (&raw const RECORDS).cast_mut().cast(),
            record.cast_mut().cast(),
            len,
            u64::from(flags),
        )
    };
    if failed != 0 {
        Err(KernelLoss::RingFull)
    } else {
        Ok(())
    }
}
