//! The beginnings of all functions of libraries written in C in one program, for kernels that
//! attach one to many places at once (uprobe_multi, 6.6): a process then takes one link for all of
//! them. What it stands on is told by the cookie. Each does what the function's own program does.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_common::probes;

use super::tls_calls::{Arguments, begins};
use super::tls_openssl::{free, set_fd};
use crate::maps;
use crate::memory::{arguments, attach_cookie, stack_of};
use crate::tls::{EGRESS, FROM_FILE, MOVES_NOTHING, RETURNS_INT, TOLD_BEFORE, ZERO_ENDS};

/// A function begins.
#[uprobe]
pub fn tls_enter(ctx: ProbeContext) -> u32 {
    let [object, buffer, third, fourth] = arguments(ctx.regs);
    // What a call is for; the room in its buffer, and where it says how much of that was used.
    let (operation, room, len_at) = match attach_cookie(ctx.regs) {
        probes::SSL_READ => (RETURNS_INT | ZERO_ENDS, third, None),
        probes::SSL_READ_EX => (RETURNS_INT, third, Some(fourth)),
        probes::SSL_READ_INNER => (RETURNS_INT | ZERO_ENDS, third, Some(fourth)),
        probes::SSL_WRITE => (RETURNS_INT | EGRESS, third, None),
        probes::SSL_WRITE_EX => (RETURNS_INT | EGRESS, third, Some(fourth)),
        probes::SSL_SENDFILE => (EGRESS | FROM_FILE, fourth, None),
        probes::HANDSHAKE => (RETURNS_INT | MOVES_NOTHING, third, None),
        probes::GNUTLS_RECV => (ZERO_ENDS, third, None),
        probes::GNUTLS_SEND => (EGRESS, third, None),
        probes::GNUTLS_UNCORK => (MOVES_NOTHING | TOLD_BEFORE, third, None),
        probes::SSL_SET_FD => return set_fd(&ctx, object, buffer),
        probes::FREE => return free(&ctx, object),
        probes::TRIED => {
            maps::count_try();
            return 0;
        }
        _ => return 0,
    };
    let arguments = Arguments {
        object,
        buffer,
        room,
        len_at,
    };
    begins(operation, arguments, stack_of(ctx.regs))
}
