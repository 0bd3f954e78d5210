//! kretprobes for the functions of all socket calls: the last choice, because a kretprobe
//! misses calls when many are blocked (`agent/src/capture/strategy.rs`).

use aya_ebpf::macros::kretprobe;
use aya_ebpf::programs::RetProbeContext;

use super::{Calls, Family, Types, call_ended, end};
use crate::arch;
use crate::maps;
use crate::memory::{Typed, current_process, current_task, kernel_value, offset};

/// On the return of a system call that returns a number of bytes.
#[kretprobe]
pub fn return_bytes(ctx: RetProbeContext) -> u32 {
    returned::<Single>(&ctx)
}

/// On the return of a system call that returns a number of messages.
#[kretprobe]
pub fn return_messages(ctx: RetProbeContext) -> u32 {
    returned::<Multiple>(&ctx)
}

/// The call's arguments are still where the task left them when it entered the kernel, at the top
/// of its stack; the helper that tells is younger than kernels that need this.
#[inline(always)]
fn returned<F: Family>(ctx: &RetProbeContext) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let Ok(stack) = kernel_value::<u64>(current_task() + offset(|o| &o.task_struct_stack)) else {
        return 0;
    };
    let registers = Typed::new(arch::entry_registers(stack) as *const u8);
    end(ctx, call_ended::<F>(current, watch, registers, ctx.ret())) as u32
}

/// Calls that return a number of bytes.
struct Single;

impl Family for Single {
    const CALLS: Calls = Calls::Single;
    const TYPES: Types = Types::Unknown;
    const WALKS: bool = false;
}

/// sendmmsg and recvmmsg.
struct Multiple;

impl Family for Multiple {
    const CALLS: Calls = Calls::Multiple;
    const TYPES: Types = Types::Unknown;
    const WALKS: bool = false;
}
