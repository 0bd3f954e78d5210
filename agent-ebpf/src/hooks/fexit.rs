//! fexit on the functions of the socket calls: arguments and result in one program, and nothing for
//! other calls. The programs differ only in their names, because each can be bound to one function.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

use super::{Calls, Family, Types, call_ended, run};
use crate::maps;
use crate::memory::{Typed, current_process};

/// On the return of `long __x64_sys_…(const struct pt_regs *regs)`
/// (arch/x86/include/asm/syscall_wrapper.h): the result stands behind the one argument.
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
struct Single;

impl Family for Single {
    const CALLS: Calls = Calls::Single;
    const TYPES: Types = Types::Known;
}

/// sendmmsg and recvmmsg.
struct Multiple;

impl Family for Multiple {
    const CALLS: Calls = Calls::Multiple;
    const TYPES: Types = Types::Known;
}

macro_rules! on_return_of {
    ($calls:ty: $($name:ident)*) => {$(
        #[allow(missing_docs, reason = "each is named after the function it is bound to")]
        #[fexit]
        pub fn $name(ctx: FExitContext) -> i32 {
            returned::<$calls>(&ctx)
        }
    )*};
}

on_return_of! { Single:
    exit_read exit_write exit_readv exit_writev exit_preadv2 exit_pwritev2
    exit_sendto exit_recvfrom exit_sendmsg exit_recvmsg exit_sendfile64 exit_splice
}
on_return_of! { Multiple: exit_sendmmsg exit_recvmmsg }
