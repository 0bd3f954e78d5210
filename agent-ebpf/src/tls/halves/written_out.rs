//! The searches of `halves.rs` where there are no loops: each word that is looked at is a call.

use super::{CONNECTION_LEN_MAX, RING, WORD, is_memory};
use crate::maps::{self, Halves, ObjectKey};
use crate::memory::{eight_rounds, user_value};

/// As far before a buffer is looked at a time, in bytes: programs that read buffers are the longest
/// of all.
const STRETCH: u64 = 32 * WORD;
const STRETCHES: u64 = CONNECTION_LEN_MAX / STRETCH;

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
/// within the stretch that is looked at.
#[inline(always)]
pub fn written_before(tgid: u32, buffer: u64, known: &Halves) -> u64 {
    let nearest = buffer - stretch(known) - WORD;
    eight_rounds!(far, {
        eight_rounds!(near, {
            let further = (8 * far + near) * WORD;
            if further < STRETCH && writes_at(tgid, nearest - further) {
                return buffer - (nearest - further);
            }
        });
    });
    0
}

/// Whether a connection was written there, and not read.
#[inline(never)]
fn writes_at(tgid: u32, connection: u64) -> bool {
    let object = maps::object(ObjectKey::new(tgid, connection));
    object.is_some_and(|object| object.ring == 0)
}

/// How far before a buffer it is looked: as far as one was seen, else each stretch in its turn. As
/// who writes and who reads take turns with their looks, every second one is theirs.
#[inline(always)]
fn stretch(known: &Halves) -> u64 {
    if known.distance != 0 {
        return (known.distance - WORD) / STRETCH * STRETCH;
    }
    let looks = u64::from(known.looks);
    (looks + looks / STRETCHES) % STRETCHES * STRETCH
}
