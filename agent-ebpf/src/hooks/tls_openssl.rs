//! OpenSSL, LibreSSL and BoringSSL: the `SSL_*` functions through which plaintext passes, or which
//! tell an object's socket. Attached to files, not to processes: the first question is whether
//! anybody cares about the one that runs.
//!
//! Arguments are those of the System V ABI. The programs on returns exist twice: as return probes,
//! and for return instructions.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use super::run;
use crate::maps;
use crate::memory::current_process;
use crate::tls::{self, Begun, Operation};

/// A function begins whose first two arguments are the object and a buffer; where it writes how
/// many bytes moved, if it does, is its fourth.
#[inline(always)]
pub fn entered(ctx: &ProbeContext, operation: Operation, writes_len: bool) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    let argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
    let begun = Begun {
        operation,
        object: argument(0),
        buffer: argument(1),
        len_at: if writes_len { argument(3) } else { 0 },
    };
    run(tls::began(tls::thread(current), begun)) as u32
}

/// It ended with `result`.
#[inline(always)]
pub fn returned(operation: Operation, result: i64) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    run(tls::ended(
        current,
        watch,
        tls::thread(current),
        operation,
        result,
    )) as u32
}

/// `int SSL_read(SSL *ssl, void *buf, int num)`
#[uprobe]
pub fn ssl_read_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Read, false)
}

/// `int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes)`
#[uprobe]
pub fn ssl_read_ex_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Read, true)
}

/// `int SSL_write(SSL *ssl, const void *buf, int num)`
#[uprobe]
pub fn ssl_write_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Write, false)
}

/// `int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written)`
#[uprobe]
pub fn ssl_write_ex_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Write, true)
}

/// `ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags)`
#[uprobe]
pub fn ssl_sendfile_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::SendFile, false)
}

/// `int SSL_do_handshake(SSL *ssl)`
#[uprobe]
pub fn ssl_handshake_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, Operation::Handshake, false)
}

/// `int SSL_set_fd(SSL *ssl, int fd)`
#[uprobe]
pub fn ssl_set_fd_enter(ctx: ProbeContext) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    let (Some(object), Some(fd)) = (ctx.arg::<u64>(0), ctx.arg::<u32>(1)) else {
        return 0;
    };
    run(tls::given_descriptor(current, object, fd)) as u32
}

/// `void SSL_free(SSL *ssl)`; another reference may keep the object: what it says then is taken for
/// a new connection.
#[uprobe]
pub fn ssl_free_enter(ctx: ProbeContext) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    let object = ctx.arg::<u64>(0).unwrap_or(0);
    run(tls::freed(current, object)) as u32
}

macro_rules! on_return {
    ($($probe:ident $instruction:ident: $operation:ident as $result:ty;)*) => {$(
        #[allow(missing_docs, reason = "named after what returns")]
        #[uretprobe]
        pub fn $probe(ctx: RetProbeContext) -> u32 {
            returned(Operation::$operation, ctx.ret::<$result>().into())
        }
        #[allow(missing_docs, reason = "named after what returns")]
        #[uprobe]
        pub fn $instruction(ctx: ProbeContext) -> u32 {
            returned(Operation::$operation, result_at(&ctx) as $result as i64)
        }
    )*};
}

// The upper half of a register that holds an `int` means nothing.
on_return! {
    ssl_read_return ssl_read_ret: Read as i32;
    ssl_write_return ssl_write_ret: Write as i32;
    ssl_sendfile_return ssl_sendfile_ret: SendFile as i64;
    ssl_handshake_return ssl_handshake_ret: Handshake as i32;
}

/// What a function returns, at its return instruction.
#[inline(always)]
pub fn result_at(ctx: &ProbeContext) -> i64 {
    // The register is the same one at a return probe.
    RetProbeContext { regs: ctx.regs }.ret()
}
