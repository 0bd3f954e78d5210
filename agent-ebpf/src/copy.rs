//! Copies what is wanted of a transfer into the record in the making.

use wirespan_common::loss::KernelLoss;

use crate::maps::{PART_MAX, Scratch};
use crate::memory::{Delivered, claimed, copy_user, repeat, smaller, user_tail};
use crate::parts::{begin_parts, find_part};
use crate::syscall::{Buffers, Iovec};
use crate::transfer::Transfer;

/// Parts of a scattered transfer that are looked at, over all its messages, each of which but the
/// first counts as one more; the bytes of further ones are only counted. Without loops they are as
/// many.
#[cfg(not(legacy))]
const PARTS_MAX: u64 = 16;

/// The same where a loop costs the verifier nothing. gRPC's C core makes three or four of each
/// header field that it inserts.
const PARTS_MAX_LOOPED: u32 = 256;

/// Copies the first `wanted` bytes of the transfer in the scratch buffer, and the last ones too if
/// that is not all.
#[inline(always)]
pub fn copy<const WALKS: bool>(scratch: &mut Scratch) -> Delivered<()> {
    scratch.copied = 0;
    scratch.passed = 0;
    scratch.tail_len = 0;
    scratch.unreadable = 0;
    let Transfer { call, len, .. } = scratch.transfer;
    match call.buffers {
        Buffers::Unmapped | Buffers::Spliced => return Ok(()),
        Buffers::One => {
            scratch.part = Iovec {
                address: call.address,
                len: smaller(claimed(call.count), len.into()),
            };
            copy_part(scratch);
        }
        Buffers::Vector | Buffers::Message | Buffers::Messages => {
            begin_parts(scratch)?;
            // Mostly one part is all, or nearly: it needs no function of its own.
            #[cfg(not(legacy))]
            take_part(scratch);
            if WALKS && !is_over(scratch) {
                let mut parts = Parts { scratch };
                repeat(PARTS_MAX_LOOPED, one_part, &mut parts);
            }
            #[cfg(legacy)]
            {
                crate::memory::eight_rounds!(_round, next_part(scratch));
                crate::memory::eight_rounds!(_round, next_part(scratch));
            }
            #[cfg(not(legacy))]
            {
                let mut round = 0;
                while !WALKS && round < PARTS_MAX {
                    if is_over(scratch) {
                        break;
                    }
                    next_part(scratch);
                    round += 1;
                }
            }
        }
    }
    if scratch.passed == u64::from(scratch.transfer.len) && scratch.copied < scratch.transfer.len {
        let Iovec { address, len } = scratch.part;
        (scratch.tail, scratch.tail_len) = user_tail(address, len);
    }
    unreadable(scratch)
}

/// What a round of the loop over parts is given: the helper takes a pointer to the stack alone.
struct Parts<'a> {
    scratch: &'a mut Scratch,
}

extern "C" fn one_part(_index: u32, parts: &mut Parts<'_>) -> u64 {
    take_part(parts.scratch);
    u64::from(is_over(parts.scratch))
}

/// Whether there is nothing more to copy, or no way to.
#[inline(always)]
fn is_over(scratch: &Scratch) -> bool {
    scratch.unreadable != 0 || scratch.passed >= u64::from(scratch.transfer.len)
}

/// Whether all parts that were looked at could be read.
#[inline(always)]
pub fn unreadable(scratch: &Scratch) -> Delivered<()> {
    if scratch.unreadable != 0 {
        Err(KernelLoss::UnreadableMemory)
    } else {
        Ok(())
    }
}

/// Finds the next part of the transfer in the scratch buffer and copies what is wanted of it.
// VERIFIER(6.18): all that a round of the loop above needs is in memory of a map, and this returns
// nothing, so that rounds look the same to the verifier. With values in registers it followed a
// million instructions.
#[inline(never)]
fn next_part(scratch: &mut Scratch) {
    if cfg!(legacy) && is_over(scratch) {
        return;
    }
    take_part(scratch);
}

/// The same within a function of its own.
#[inline(always)]
fn take_part(scratch: &mut Scratch) {
    scratch.part.len = 0;
    if find_part(scratch).is_err() {
        scratch.unreadable = 1;
    } else {
        copy_part(scratch);
    }
}

/// [`copy`] for the part of the transfer that is in the scratch buffer.
#[inline(always)]
fn copy_part(scratch: &mut Scratch) {
    let Scratch {
        copied,
        wanted,
        passed,
        part,
        ..
    } = *scratch;
    scratch.passed = passed + part.len;
    let take = smaller(part.len, u64::from(wanted - copied)) as u32;
    match copy_user::<PART_MAX, _>(&mut scratch.payload, copied, part.address, take) {
        Ok(()) => scratch.copied = copied + take,
        Err(_) => scratch.unreadable = 1,
    }
}
