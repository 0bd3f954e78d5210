//! What a task is made of (`runtime::task::core::Cell`): header, scheduler, number, its future, and
//! a trailer. A future that takes from a channel has its address, so that the channel is found
//! there though nobody has seen the task wait for it: of a new connection, many requests may be in
//! the channel before its task runs for the first time. Executors of hyper-util and tonic put
//! futures into boxes, so that the task has a box's address only.

use wirespan_common::runtime::Runtime;
use wirespan_common::tokio::TokioLayout;

use super::{ADDRESS_END, next, number, taker};
use crate::maps::{self, TaskInbox};
use crate::memory::{Delivered, repeat, user_value};

/// Before a channel in what several have part in (`alloc::sync::ArcInner`, aligned as the channel
/// is): two counts.
const COUNTS: u64 = 0x80;
/// Words that are looked at; of a larger task nothing is known.
const WORDS_MAX: u64 = 512;
/// Bytes of a future that is no more than a box.
const BOX_MAX: u64 = 64;
/// Boxes within boxes.
const BOXES_MAX: u32 = 3;
/// So often, in all, one task is looked at.
const LOOKS_MAX: u32 = 4;

/// Looks for the channel that the task that runs takes from, which is not `but`. It has taken
/// something from it before. Several that may be it are none.
#[inline(always)]
pub fn look(runtime: &Runtime, inbox: &mut TaskInbox, (tgid, task): (u32, u64), but: u64) {
    if inbox.looks >= LOOKS_MAX {
        return;
    }
    inbox.looks += 1;
    let Some(header) = maps::task_header(tgid, task) else {
        return;
    };
    let Ok((mut from, mut end)) = future(runtime, header, task) else {
        return;
    };
    let mut boxes = 0;
    while boxes < BOXES_MAX && end - from <= BOX_MAX {
        (from, end) = boxed(from, end);
        boxes += 1;
    }
    let mut round = WordRound {
        runtime,
        task,
        but,
        at: from,
        end,
        found: 0,
        is_clear: 1,
    };
    repeat(WORDS_MAX as u32, one_word, &mut round);
    if round.is_clear != 0 {
        inbox.channel = round.found;
    }
}

/// What each word is looked at with.
struct WordRound<'a> {
    runtime: &'a Runtime,
    task: u64,
    but: u64,
    at: u64,
    end: u64,
    /// The channel that was found; 0 if none was.
    found: u64,
    /// 0: memory could not be read, or several were found.
    is_clear: u64,
}

// VERIFIER(6.1): followed anew for each word, this takes more than a million instructions.
extern "C" fn one_word(_: u32, round: &mut WordRound<'_>) -> u64 {
    let at = round.at;
    if at >= round.end {
        return 1;
    }
    round.at = at + 8;
    let Ok(shared) = user_value::<u64>(at) else {
        round.is_clear = 0;
        return 1;
    };
    if shared == 0 || !shared.is_multiple_of(COUNTS) || shared >= ADDRESS_END {
        return 0;
    }
    let channel = shared + COUNTS;
    let is_known = channel == round.but || channel == round.found;
    if is_known || !is_taken(round.runtime, channel, round.task) {
        return 0;
    }
    if round.found != 0 {
        round.is_clear = 0;
        return 1;
    }
    round.found = channel;
    0
}

/// From where to where a task's future is. Offsets of the parts stand one behind the other in the
/// task's table of functions (tokio/src/runtime/task/raw.rs, `Vtable`): trailer, scheduler, number.
#[inline(always)]
fn future(runtime: &Runtime, header: u64, task: u64) -> Delivered<(u64, u64)> {
    let layout = TokioLayout::of(runtime);
    // It may be another one's by now.
    let (own, table) = number(runtime, header)?;
    let offsets = table
        .wrapping_add(u64::from(layout.id_offset))
        .wrapping_sub(16);
    let [trailer, scheduler, id] = user_value::<[u64; 3]>(offsets)?;
    let is_it = own == task && scheduler < id && id < trailer && trailer <= 8 * WORDS_MAX;
    Ok(if is_it {
        (header + id + 8, header + trailer)
    } else {
        (0, 0)
    })
}

/// From where to where what is in a box is (`Box<dyn Future>`): an address, and that of a table of
/// functions, in which the second and third word are the size and alignment of what is there.
#[inline(always)]
fn boxed(from: u64, end: u64) -> (u64, u64) {
    let mut word = 0;
    while word < BOX_MAX / 8 {
        let at = from + 8 * word;
        word += 1;
        if at + 16 > end {
            break;
        }
        let Ok([data, table]) = user_value::<[u64; 2]>(at) else {
            break;
        };
        if !is_address(data) || !is_address(table) {
            continue;
        }
        let Ok([size, align]) = user_value::<[u64; 2]>(table + 8) else {
            continue;
        };
        let is_aligned = (8..=COUNTS).contains(&align) && align & (align - 1) == 0;
        let mask = align.wrapping_sub(1);
        if is_aligned && size & mask == 0 && data & mask == 0 && size <= 8 * WORDS_MAX {
            return (data, data + size);
        }
    }
    (0, 0)
}

#[inline(always)]
fn is_address(word: u64) -> bool {
    word != 0 && word.is_multiple_of(8) && word < ADDRESS_END
}

/// Whether it looks like a channel of which something was taken, which nobody else waits for.
#[inline(always)]
fn is_taken(runtime: &Runtime, channel: u64, task: u64) -> bool {
    let Ok([tail, end]) = user_value::<[u64; 2]>(channel) else {
        return false;
    };
    if !is_address(tail) {
        return false;
    }
    // One more than what is taken next, which is behind the first place.
    if next(channel, end).unwrap_or(0) < 2 {
        return false;
    }
    let waits = taker(runtime, channel).unwrap_or(0);
    waits == 0 || waits == task
}
