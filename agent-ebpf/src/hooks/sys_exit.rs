//! The raw tracepoint `sys_exit`: works wherever raw tracepoints do, at a small cost for every
//! system call of the machine.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

use super::{Calls, call_ended, run};
use crate::maps;
use crate::memory::current_process;

/// `TP_PROTO(struct pt_regs *regs, long ret)` (include/trace/events/syscalls.h).
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    run(call_ended(
        Calls::All,
        current,
        watch,
        ctx.arg(0),
        ctx.arg(1),
    ))
}
