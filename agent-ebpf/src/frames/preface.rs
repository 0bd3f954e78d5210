//! Where HTTP/2 begins: with the client's preface. User space would find it too, but only after a
//! burst of calls has been cut short. Nothing else is recognised here.

use wirespan_common::connection::Connection;
use wirespan_common::watch::VerdictKind;

use crate::maps::{self, Scratch};
use crate::memory::{clamp, user_value};
use crate::syscall::{Buffers, Iovec};
use crate::transfer::Transfer;

/// Length of the client's preface (RFC 9113, 3.4).
const PREFACE_LEN: u32 = 24;
/// What it begins with.
const PREFACE_START: u64 = u64::from_ne_bytes(*b"PRI * HT");

/// Looks whether the transfer in the scratch buffer begins with the client's preface. If so, the
/// connection speaks HTTP/2 from there on, in both directions. What the server said by then is
/// whole frames, or after an upgrade the response in HTTP/1.1 and whole frames; where it is not,
/// its next frame is not plausible, and the walk begins where frames are proved.
#[inline(never)]
pub fn look_for_preface(scratch: &mut Scratch, connection: &mut Connection) {
    let Transfer {
        call,
        message,
        socket,
        ..
    } = scratch.transfer;
    let part = match call.buffers {
        Buffers::One => Iovec {
            address: call.address,
            len: scratch.transfer.len.into(),
        },
        Buffers::Vector | Buffers::Message => {
            let Ok(parts) = call.parts(message) else {
                return;
            };
            let Ok(part) = user_value::<Iovec>(parts) else {
                return;
            };
            part
        }
        Buffers::Messages | Buffers::Unmapped | Buffers::Spliced => return,
    };
    if part.len < PREFACE_LEN.into() || scratch.transfer.len < PREFACE_LEN {
        return;
    }
    let Ok(start) = user_value::<u64>(part.address) else {
        return;
    };
    if start != PREFACE_START {
        return;
    }
    let Some(walks) = maps::frames(socket.id) else {
        return;
    };
    connection.verdict = VerdictKind::Http2 as u8;
    let (this, other) = if clamp::<1>(call.direction as u64) == 0 {
        (&mut walks.ingress, &mut walks.egress)
    } else {
        (&mut walks.egress, &mut walks.ingress)
    };
    this.begin(PREFACE_LEN);
    other.begin(0);
}
