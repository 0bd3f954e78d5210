//! The raw tracepoint `sys_exit`: works wherever raw tracepoints do, at a small cost for every
//! system call of the machine.

use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

use super::{Calls, Family, Types, call_ended, end, run};
#[cfg(legacy)]
use crate::arch::{changes_state, place};
use crate::maps;
#[cfg(legacy)]
use crate::memory::{Current, kernel_value};
use crate::memory::{Typed, current_process};
use crate::syscall::may_move_bytes;

/// `TP_PROTO(struct pt_regs *regs, long ret)` (include/trace/events/syscalls.h).
#[cfg(not(legacy))]
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    returned::<SysExit>(&ctx)
}

/// The same for kernels that can't walk frames.
#[cfg(not(legacy))]
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_plain(ctx: BtfTracePointContext) -> i32 {
    returned::<Plain>(&ctx)
}

/// The same for kernels that can't follow types from here (before 5.11).
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn sys_exit_untyped(ctx: RawTracePointContext) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of_busy(current.tgid) else {
        return 0;
    };
    let registers = Typed::new(ctx.arg(0));
    let told = call_ended::<Untyped>(current, watch, registers, ctx.arg(1));
    #[cfg(legacy)]
    tell_news(current, registers);
    end(&ctx, told)
}

/// What the call did to a socket's state is told at its end, if it may have done anything.
#[cfg(legacy)]
#[inline(always)]
fn tell_news(current: Current, registers: Typed) {
    if kernel_value(registers.address() + place::NUMBER).is_ok_and(changes_state) {
        run(maps::tell_news(current.tid));
    }
}

#[inline(always)]
fn returned<F: Family>(ctx: &BtfTracePointContext) -> i32 {
    let registers = Typed::new(ctx.arg(0));
    // The cheapest question comes first: most calls of a machine move no bytes.
    if !may_move_bytes(registers) {
        return 0;
    }
    let current = current_process();
    let Some(watch) = maps::watch_of_busy(current.tgid) else {
        return 0;
    };
    run(call_ended::<F>(current, watch, registers, ctx.arg(1)))
}

struct SysExit;

impl Family for SysExit {
    const CALLS: Calls = Calls::All;
    const TYPES: Types = Types::Known;
    const WALKS: bool = true;
}

struct Plain;

impl Family for Plain {
    const CALLS: Calls = Calls::All;
    const TYPES: Types = Types::Known;
    const WALKS: bool = false;
}

struct Untyped;

impl Family for Untyped {
    const CALLS: Calls = Calls::All;
    const TYPES: Types = Types::Unknown;
    const WALKS: bool = false;
}
