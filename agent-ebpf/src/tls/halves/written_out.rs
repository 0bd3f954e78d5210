//! The searches of `halves.rs` where there are no loops: each word that is looked at is a call, and
//! what may be before a buffer is remembered.

use super::{CONNECTION_LEN_MAX, RING, WORD, is_memory};
use crate::maps::{self, ObjectKey};
use crate::memory::{eight_rounds, user_value};

/// How far within a connection a buffer is that was read there and has the same memory still; 0 if
/// there is none.
#[inline(always)]
pub fn read_within(tgid: u32, connection: u64) -> u64 {
    eight_rounds!(far, {
        eight_rounds!(middle, {
            eight_rounds!(near, {
                let distance = (64 * far + 8 * middle + near) * WORD;
                let is_looked_at = distance != 0 && distance < CONNECTION_LEN_MAX;
                if is_looked_at && reads_at(tgid, connection + distance) {
                    return distance;
                }
            });
        });
    });
    0
}

/// Whether a buffer was read there, and has the same memory still.
#[inline(never)]
fn reads_at(tgid: u32, buffer: u64) -> bool {
    let word = user_value::<u64>(buffer + RING).unwrap_or(0);
    is_memory(word) && maps::buffer_of_ring(tgid, word) == Some(buffer)
}

/// How far before a buffer a connection begins that was written and not read; 0 if there is none
/// among those that the process wrote last.
#[inline(always)]
pub fn written_before(tgid: u32, buffer: u64) -> u64 {
    let Some(written) = maps::written(tgid) else {
        return 0;
    };
    let mut nearest = CONNECTION_LEN_MAX;
    eight_rounds!(index, {
        let distance = buffer.wrapping_sub(written.connections[index as usize]);
        if distance != 0 && distance < nearest {
            nearest = distance;
        }
    });
    let is_found = nearest < CONNECTION_LEN_MAX;
    if is_found && is_unread(tgid, buffer - nearest) {
        nearest
    } else {
        0
    }
}

/// Whether a connection was written there, and not read.
#[inline(always)]
fn is_unread(tgid: u32, connection: u64) -> bool {
    let object = maps::object(ObjectKey::new(tgid, connection));
    object.is_some_and(|object| object.ring == 0)
}
