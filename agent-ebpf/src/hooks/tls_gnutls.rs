//! GnuTLS: the functions through which plaintext passes. They take a session, a buffer and a
//! length, and return a number of bytes or an error, so one program serves several functions.
//!
//! Corked sends count when they are made, not when they are sent, which the library does by its own
//! public functions.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;

use super::tls_calls::entered;
use crate::tls::{EGRESS, MOVES_NOTHING, TOLD_BEFORE, ZERO_ENDS};

/// `ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size)`, and the
/// same for early data.
#[uprobe]
pub fn gnutls_recv_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, ZERO_ENDS)
}

/// `ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t data_size)`, the
/// same for early data, and `gnutls_record_send2`, which goes on with how to pad it.
#[uprobe]
pub fn gnutls_send_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, EGRESS)
}

/// `int gnutls_record_uncork(gnutls_session_t session, unsigned int flags)`
#[uprobe]
pub fn gnutls_uncork_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, MOVES_NOTHING | TOLD_BEFORE)
}
