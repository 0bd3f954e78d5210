//! fexit on the functions of the socket calls: arguments and result in one program, and nothing for
//! other calls. The programs differ only in their names, because each can be bound to one function.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

use super::{Calls, Family, Types, call_ended, run};
use crate::maps;
use crate::memory::{Typed, current_process};

/// On the return of a system call's own function, `long …(const struct pt_regs *regs)`
/// (arch/*/include/asm/syscall_wrapper.h): the result stands behind the one argument.
#[inline(always)]
fn returned<F: Family>(ctx: &FExitContext) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let registers = Typed::new(ctx.arg(0));
    run(call_ended::<F>(current, watch, registers, ctx.arg(1)))
}

/// Calls that return a number of bytes.
struct Single<const WALKS: bool>;

impl<const WALKS: bool> Family for Single<WALKS> {
    const CALLS: Calls = Calls::Single;
    const TYPES: Types = Types::Known;
    const WALKS: bool = WALKS;
}

/// sendmmsg and recvmmsg.
struct Multiple<const WALKS: bool>;

impl<const WALKS: bool> Family for Multiple<WALKS> {
    const CALLS: Calls = Calls::Multiple;
    const TYPES: Types = Types::Known;
    const WALKS: bool = WALKS;
}

macro_rules! on_return_of {
    ($calls:ident: $($name:ident $plain:ident)*) => {$(
        #[allow(missing_docs, reason = "each is named after the function it is bound to")]
        #[fexit]
        pub fn $name(ctx: FExitContext) -> i32 {
            returned::<$calls<true>>(&ctx)
        }

        #[allow(missing_docs, reason = "the same for kernels that can't walk frames")]
        #[fexit]
        pub fn $plain(ctx: FExitContext) -> i32 {
            returned::<$calls<false>>(&ctx)
        }
    )*};
}

/// Does nothing: by it is found out whether a function can have such programs.
#[fexit]
pub fn fexit_trial(_: FExitContext) -> i32 {
    0
}

on_return_of! { Single:
    exit_read plain_read exit_write plain_write
    exit_readv plain_readv exit_writev plain_writev
    exit_preadv2 plain_preadv2 exit_pwritev2 plain_pwritev2
    exit_sendto plain_sendto exit_recvfrom plain_recvfrom
    exit_sendmsg plain_sendmsg exit_recvmsg plain_recvmsg
    exit_sendfile64 plain_sendfile64 exit_splice plain_splice
}
on_return_of! { Multiple: exit_sendmmsg plain_sendmmsg exit_recvmmsg plain_recvmmsg }
