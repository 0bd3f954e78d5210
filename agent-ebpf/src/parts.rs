//! Where the bytes of a scattered transfer lie: the parts that its call lists, one after the other.
//! It reads those lists, nothing that they lead to.

use core::mem::size_of;

use wirespan_common::loss::KernelLoss;

use crate::maps::{PARTS_AT_ONCE, Scratch};
use crate::memory::{Delivered, claimed, clamp, read_user, smaller, user_value};
use crate::syscall::{Buffers, Iovec};
use crate::transfer::Transfer;

/// Gets ready to find the parts of the scattered transfer in the scratch buffer.
#[inline(always)]
pub fn begin_parts(scratch: &mut Scratch) -> Delivered<()> {
    let Transfer {
        call,
        message,
        is_whole_call,
        len,
        ..
    } = scratch.transfer;
    scratch.message = message;
    scratch.next_part = call.parts(message)?;
    // Mostly there are few, and each read costs more than what it reads.
    scratch.parts_known = match read_user(&mut scratch.parts, scratch.next_part) {
        Ok(()) => PARTS_AT_ONCE as u32,
        Err(_) => 0,
    };
    scratch.left = if matches!(call.buffers, Buffers::Messages) && is_whole_call {
        call.message_len(message)?.into()
    } else {
        len.into()
    };
    Ok(())
}

/// Finds the next part, shortened to what the transfer used of it: an empty one where a message of
/// the call ends, so that the rest is found in the next round.
#[inline(always)]
pub fn find_part(scratch: &mut Scratch) -> Delivered<()> {
    if scratch.left == 0 {
        // What is missing is in the call's next message.
        scratch.message += 1;
        scratch.parts_known = 0;
        scratch.next_part = scratch.transfer.call.parts(scratch.message)?;
        scratch.left = scratch.transfer.call.message_len(scratch.message)?.into();
        return Ok(());
    }
    let part = if scratch.parts_known != 0 {
        let index = PARTS_AT_ONCE as u32 - scratch.parts_known;
        scratch.parts_known -= 1;
        let index = clamp::<{ PARTS_AT_ONCE - 1 }>(index.into()) as usize;
        *scratch
            .parts
            .get(index)
            .ok_or(KernelLoss::UnreadableMemory)?
    } else {
        user_value(scratch.next_part)?
    };
    scratch.next_part += size_of::<Iovec>() as u64;
    scratch.part.address = part.address;
    scratch.part.len = smaller(claimed(part.len), scratch.left);
    scratch.left -= scratch.part.len;
    Ok(())
}
