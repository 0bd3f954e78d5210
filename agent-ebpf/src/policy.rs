//! What of a connection's bytes is worth copying: decisions on numbers, of which [`crate::capture`]
//! makes copies and records. It reads no memory and asks no map, so that it is tried out on the
//! host (`tests/kernel_side`).
//!
//! The policy, in units of a *turn* (transfers in one direction until the direction changes): the
//! first `opening_bytes_max` bytes of a turn are copied, of later transfers the first
//! `later_bytes_max` bytes each, until the turn has copied `TURN_BYTES_MAX`. All the rest is only
//! counted: the next record of either stream, or user space when it asks, tells how much it was.

use wirespan_common::connection::{Budget, Connection};
use wirespan_common::record::{Direction, Extent};
use wirespan_common::watch::{TURN_BYTES_MAX, VerdictKind};

use crate::maps::PART_MAX;
use crate::memory::clamp;
use crate::transfer::Transfer;

/// A connection that moved this much in both directions does not begin to speak HTTP/2 any more.
const PREFACE_POSITION_MAX: u64 = 4 * 1024;

/// A connection that moved this much in each direction does not begin to speak TLS any more.
const UPGRADE_POSITION_MAX: u64 = 4 * 1024;

/// A turn begins with this transfer: budgets are full again.
#[inline(always)]
pub fn begin_turn(connection: &mut Connection, transfer: &Transfer) {
    connection.direction = transfer.call.direction as u8;
    *budget_of(connection, transfer.call.direction) = Budget {
        turn_bytes_left: TURN_BYTES_MAX,
        opening_bytes_left: transfer.watch.opening_bytes_max,
    };
}

/// How many of the transfer's first bytes are worth copying.
#[inline(always)]
pub fn wanted(connection: &mut Connection, transfer: &Transfer) -> u32 {
    let budget = *budget_of(connection, transfer.call.direction);
    let allowed = if connection.verdict == VerdictKind::Http2 as u8 {
        // No walk yet, and a header block that is cut spoils all that follow (HPACK).
        PART_MAX as u32
    } else {
        transfer
            .watch
            .later_bytes_max
            .max(budget.opening_bytes_left)
    };
    transfer
        .len
        .min(allowed)
        .min(budget.turn_bytes_left)
        .min(PART_MAX as u32)
}

/// So many bytes of this direction were copied.
#[inline(always)]
pub fn spend(connection: &mut Connection, direction: Direction, copied: u32) {
    let budget = budget_of(connection, direction);
    budget.turn_bytes_left = budget.turn_bytes_left.saturating_sub(copied);
    budget.opening_bytes_left = budget.opening_bytes_left.saturating_sub(copied);
}

/// Whether it is worth looking for the beginning of HTTP/2. User space would find it too, but only
/// after a burst of calls has been cut short. An upgrade is asked for by a first request; how long
/// that is in one direction does not matter.
#[inline(always)]
pub fn may_become_http2(connection: &Connection) -> bool {
    let early = |extent: &Extent| extent.position < PREFACE_POSITION_MAX;
    let is_open = connection.verdict == 0 || connection.verdict == VerdictKind::Understood as u8;
    is_open && (early(&connection.ingress) || early(&connection.egress))
}

/// Whether it is known that no TLS record comes on a socket any more: what it speaks is understood,
/// and who asks for TLS in plaintext (`CONNECT`, PostgreSQL's `SSLRequest`) does so early.
#[inline(always)]
pub fn stays_plaintext(connection: &Connection) -> bool {
    let is_understood = connection.verdict == VerdictKind::Understood as u8
        || connection.verdict == VerdictKind::Http2 as u8;
    let Connection {
        ingress, egress, ..
    } = connection;
    is_understood && ingress.position.min(egress.position) >= UPGRADE_POSITION_MAX
}

/// What may still be copied of one direction.
// VERIFIER(6.18): as for `extent_of`.
#[inline(always)]
fn budget_of(connection: &mut Connection, direction: Direction) -> &mut Budget {
    if clamp::<1>(direction as u64) == 0 {
        &mut connection.ingress_budget
    } else {
        &mut connection.egress_budget
    }
}
