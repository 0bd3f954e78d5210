//! GnuTLS: the functions through which plaintext passes. They take a session, a buffer and a
//! length, and return a number of bytes or an error, so one program serves several functions; how
//! calls are told apart from one another does not differ from OpenSSL.
//!
//! Corked sends count when they are made, not when they are sent.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use super::tls_openssl::{entered, result_at, returned};
use crate::tls::Operation;

/// `ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size)`, and the
/// same for early data.
#[uprobe]
pub fn gnutls_recv_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Read, false)
}

/// `ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t data_size)`, the
/// same for early data, and `gnutls_record_send2`, which goes on with how to pad it.
#[uprobe]
pub fn gnutls_send_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Write, false)
}

/// Return of a function that receives.
#[uretprobe]
pub fn gnutls_recv_return(ctx: RetProbeContext) -> u32 {
    returned(Operation::Read, ctx.ret())
}

/// The same at a return instruction.
#[uprobe]
pub fn gnutls_recv_ret(ctx: ProbeContext) -> u32 {
    returned(Operation::Read, result_at(&ctx))
}

/// Return of a function that sends.
#[uretprobe]
pub fn gnutls_send_return(ctx: RetProbeContext) -> u32 {
    returned(Operation::Write, ctx.ret())
}

/// The same at a return instruction.
#[uprobe]
pub fn gnutls_send_ret(ctx: ProbeContext) -> u32 {
    returned(Operation::Write, result_at(&ctx))
}
