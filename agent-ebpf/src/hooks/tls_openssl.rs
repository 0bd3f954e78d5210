//! OpenSSL, LibreSSL and BoringSSL: the `SSL_*` functions through which plaintext passes, or which
//! tell an object's socket. A probe may outlast the watching of its process by a moment, so the
//! first question is whether anybody cares about the one that runs.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;

use super::end;
use super::tls_calls::{argument, entered};
use crate::maps;
use crate::memory::current_process;
use crate::tls::{self, EGRESS, FROM_FILE, MOVES_NOTHING, RETURNS_INT, ZERO_ENDS};

/// `int SSL_read(SSL *ssl, void *buf, int num)`
#[uprobe]
pub fn ssl_read_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, RETURNS_INT | ZERO_ENDS)
}

/// `int ssl_read_internal(SSL *s, void *buf, size_t num, size_t *readbytes)`, which OpenSSL has
/// both `SSL_read` and `SSL_read_ex` call, and whose 0 is that of `SSL_read`.
#[uprobe]
pub fn ssl_read_inner_enter(ctx: ProbeContext) -> u32 {
    entered_ex(&ctx, RETURNS_INT | ZERO_ENDS)
}

/// `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`, whose 0 is any failure.
#[uprobe]
pub fn ssl_read_ex_enter(ctx: ProbeContext) -> u32 {
    entered_ex(&ctx, RETURNS_INT)
}

/// `int SSL_write(SSL *ssl, const void *buf, int num)`
#[uprobe]
pub fn ssl_write_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, RETURNS_INT | EGRESS)
}

/// `int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written)`, and what OpenSSL has
/// both this and `SSL_write` call.
#[uprobe]
pub fn ssl_write_ex_enter(ctx: ProbeContext) -> u32 {
    entered_ex(&ctx, RETURNS_INT | EGRESS)
}

/// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`
#[uprobe]
pub fn ssl_sendfile_enter(ctx: ProbeContext) -> u32 {
    super::tls_calls::entered_with(&ctx, EGRESS | FROM_FILE, 3, None)
}

/// `int SSL_do_handshake(SSL *ssl)`
#[uprobe]
pub fn ssl_handshake_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, RETURNS_INT | MOVES_NOTHING)
}

/// `int SSL_set_fd(SSL *ssl, int fd)`
#[uprobe]
pub fn ssl_set_fd_enter(ctx: ProbeContext) -> u32 {
    set_fd(&ctx, argument(&ctx, 0), argument(&ctx, 1))
}

/// `void SSL_free(SSL *ssl)`; another reference may keep the object: what it says then is taken for
/// a new connection.
#[uprobe]
pub fn ssl_free_enter(ctx: ProbeContext) -> u32 {
    free(&ctx, argument(&ctx, 0))
}

/// An object is given its descriptor, of which the upper half of the register is no part.
#[inline(always)]
pub fn set_fd(ctx: &ProbeContext, object: u64, fd: u64) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    let told = tls::carriers::given_descriptor(current, object, fd as u32);
    end(ctx, told) as u32
}

/// An object is given up.
#[inline(always)]
pub fn free(ctx: &ProbeContext, object: u64) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    end(ctx, tls::carriers::freed(current, object)) as u32
}

#[inline(always)]
fn entered_ex(ctx: &ProbeContext, operation: u16) -> u32 {
    super::tls_calls::entered_with(ctx, operation, 2, Some(3))
}
