//! Room within a message for a field that is inserted.

use crate::maps;
use crate::memory::{NotDone, SentMessage};

use super::tcp_of;

/// The longest message that is shown whole after it was widened: in one piece it goes into one
/// segment. In three, Nagle holds the last one back until the first is acknowledged.
const WHOLE_MAX: u32 = 32 * 1024;

/// Makes room for `len` bytes at `at` in a message of `size`, and has it shown as far as `behind`
/// bytes behind that. Returns whether there is memory for it; if not, the message is as it was.
///
/// # Errors
/// It is not, or not as it was taken to be.
#[inline(always)]
pub fn make(
    message: SentMessage,
    at: u32,
    len: u32,
    behind: u32,
    size: u32,
) -> Result<bool, NotDone> {
    if message.widen(at, len).is_err() {
        return Ok(false);
    }
    let longer = size.wrapping_add(len);
    let least = at + len + behind;
    let whole = if longer < WHOLE_MAX { longer } else { least };
    if message.show(whole).or_else(|_| message.show(least)).is_ok() {
        return if message.size() == longer {
            Ok(true)
        } else {
            Err(NotDone)
        };
    }
    message.narrow(at, len)?;
    if message.size() != size {
        return Err(NotDone);
    }
    Ok(false)
}

/// Has the positions of the socket's stream known that user space will see.
#[inline(always)]
pub fn was_filled(message: SentMessage, len: u32) {
    if let Some(tcp) = tcp_of(message.sk()) {
        maps::remember_widened(tcp.address(), len);
    }
}
