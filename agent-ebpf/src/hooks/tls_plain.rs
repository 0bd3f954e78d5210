//! The programs that hand plaintext on once more, for kernels that can't walk frames (before 5.17).
//! Those that only note what a call begins with are the same everywhere.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use super::{tls_calls, tls_go, tls_rustls};

/// See [`tls_calls::tls_return`].
#[uretprobe]
pub fn tls_return_plain(ctx: RetProbeContext) -> u32 {
    tls_calls::after_return::<false>(&ctx)
}

/// See [`tls_calls::tls_ret`].
#[uprobe]
pub fn tls_ret_plain(ctx: ProbeContext) -> u32 {
    tls_calls::before_return::<false>(&ctx)
}

/// See [`tls_go::go_write_enter`].
#[uprobe]
pub fn go_write_enter_plain(ctx: ProbeContext) -> u32 {
    tls_go::writes::<false>(&ctx)
}

/// See [`tls_go::go_ret`].
#[uprobe]
pub fn go_ret_plain(ctx: ProbeContext) -> u32 {
    tls_go::returns::<false>(&ctx)
}

/// See [`tls_go::go_read_deferred`].
#[uprobe]
pub fn go_read_deferred_plain(ctx: ProbeContext) -> u32 {
    tls_go::defers::<false>(&ctx)
}

/// See [`tls_rustls::rustls_consume_enter`].
#[uprobe]
pub fn rustls_consume_enter_plain(ctx: ProbeContext) -> u32 {
    tls_rustls::consumes::<false>(&ctx)
}

/// See [`tls_rustls::rustls_reader_consume_enter`].
#[uprobe]
pub fn rustls_reader_consume_enter_plain(ctx: ProbeContext) -> u32 {
    tls_rustls::reader_consumes::<false>(&ctx)
}

/// See [`tls_rustls::rustls_return`].
#[uretprobe]
pub fn rustls_return_plain(ctx: RetProbeContext) -> u32 {
    tls_rustls::after_return::<false>(&ctx)
}

/// See [`tls_rustls::rustls_ret`].
#[uprobe]
pub fn rustls_ret_plain(ctx: ProbeContext) -> u32 {
    tls_rustls::before_return::<false>(&ctx)
}
