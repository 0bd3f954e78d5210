//! Connections that are neither copied nor told of: nobody understands them, or not all can be
//! followed at the moment ([`wirespan_common::sampling`]). They cost what finding that out costs,
//! and are counted.
//!
//! Whether a connection is left out is decided when it is new here, by a number that both of its
//! ends have. One that was is followed again from the first turn at which its number is among those
//! that are: user space is told that it begins in the middle.

use wirespan_common::connection::Connection;
use wirespan_common::record::{ConnectionId, Direction, Stage};
use wirespan_common::sampling::{LeftAlone, is_left_out};
use wirespan_common::watch::{VerdictKind, Watch};

use crate::maps;
use crate::sockets::Socket;

/// Transfers of a connection that nobody understands which are looked at for the beginning of TLS,
/// in a process that has it: some protocols speak in plain at first (`STARTTLS`, PostgreSQL).
const LOOKS_MAX: u8 = 64;

/// A verdict by which a connection is left alone from now on is noted, and counted. Returns whether
/// it is one.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
pub fn begins(connection: &mut Connection, verdict: u8) -> bool {
    if !VerdictKind::leaves_alone(verdict) {
        return false;
    }
    if connection.verdict != verdict {
        connection.verdict = verdict;
        connection.left_alone = 0;
        if let Some(reason) = reason_of(verdict) {
            maps::count_left_alone(reason, 1, 0);
        }
    }
    true
}

/// What is said of the connection with this id is noted, where nothing was yet. Returns whether it
/// is left alone for it.
#[inline(always)]
pub fn learns(connection: &mut Connection, id: u64) -> bool {
    let told = maps::verdict_of(id);
    if begins(connection, told) {
        return true;
    }
    connection.verdict = told;
    false
}

/// So many bytes moved on the connection. Returns whether that is all there is to do about them.
#[cfg_attr(legacy, inline(never))]
#[cfg_attr(not(legacy), inline(always))]
pub fn passes(connection: &mut Connection, direction: Direction, len: u32) -> bool {
    let verdict = connection.verdict;
    if !VerdictKind::leaves_alone(verdict) {
        return false;
    }
    if verdict == VerdictKind::LeftOut as u8 && connection.direction != direction as u8 {
        if !is_left_out(connection.draw, maps::left_out_below()) {
            // The turn is still to be seen by who takes note of it.
            return false;
        }
        connection.direction = direction as u8;
    }
    if let Some(reason) = reason_of(verdict) {
        maps::count_left_alone(reason, 0, len.into());
    }
    true
}

/// [`passes`] before anything is known of a transfer but its socket, where nothing else is to be
/// learnt from it: `connection` is what is remembered of that, `result` what the call returned.
#[inline(always)]
pub fn passes_early(
    watch: Watch,
    connection: &mut Connection,
    id: ConnectionId,
    direction: Direction,
    result: i64,
) -> bool {
    if !VerdictKind::leaves_alone(connection.verdict) {
        return false;
    }
    if watch.probes != 0 {
        if connection.verdict == VerdictKind::LeftOut as u8 {
            // A TLS object may be looking for its socket, and is left out by itself.
            return false;
        }
        if connection.left_alone < LOOKS_MAX {
            connection.left_alone += 1;
            return false;
        }
    }
    if connection.verdict == VerdictKind::Ignored as u8 {
        maps::remember_quiet(id, connection.sk);
    }
    // Whatever else a call may say, it is told to nobody.
    result <= 0 || passes(connection, direction, result as u32)
}

/// The same for a socket of which it was found out before, which takes no look into a table.
#[inline(always)]
pub fn passes_unseen(socket: Socket, result: i64) -> bool {
    if !maps::is_quiet(socket.id, socket.sk) {
        return false;
    }
    if result > 0 {
        maps::count_left_alone(LeftAlone::NotUnderstood, 0, result as u64);
    }
    true
}

/// Whether user space is told that the connection came to this stage: not of one that is left
/// alone, but for the end of one that it knows, from before it was left out.
#[inline(always)]
pub fn is_told(connection: &Connection, stage: Stage) -> bool {
    if !VerdictKind::leaves_alone(connection.verdict) {
        return true;
    }
    let is_end = matches!(stage, Stage::Closed | Stage::Reset);
    let is_known = connection.ingress.last_ns | connection.egress.last_ns != 0;
    connection.verdict == VerdictKind::LeftOut as u8 && is_end && is_known
}

/// Why; `None` where nobody wants to know.
#[inline(always)]
fn reason_of(verdict: u8) -> Option<LeftAlone> {
    if verdict == VerdictKind::LeftOut as u8 {
        Some(LeftAlone::CpuLimit)
    } else if verdict == VerdictKind::Ignored as u8 {
        Some(LeftAlone::NotUnderstood)
    } else {
        None
    }
}
