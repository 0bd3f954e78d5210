//! Go's crypto/tls: `(*Conn).Read`, `Write` and `Close`, by the register ABI of Go 1.17 and later
//! (src/cmd/compile/abi-internal.md; [`GoRegisters`]). No return probe: a goroutine's stack moves.
//! A call belongs to its goroutine, which may end it on another thread.
//!
//! The probes are on the jump behind the check of the stack's size, as the kernel emulates it: what
//! it steps over out of line takes an exception more, which a hypervisor hears of first.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;

use wirespan_common::loss::KernelLoss;
use wirespan_common::watch::{PROBES_ON_GOROUTINES, Watch};

use super::{end, run};
use crate::arch::GoRegisters;
use crate::maps::{self, TaskKey};
use crate::memory::{Current, current_process, deferred_result, go_registers, grows_stack};
use crate::tls::{self, Begun, EGRESS, OF_GO};

/// `func (c *Conn) Read(b []byte) (int, error)`
#[uprobe]
pub fn go_read_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, OF_GO)
}

/// `func (c *Conn) Write(b []byte) (int, error)`, which writes all or breaks the connection. So
/// what it is given is told at once: another goroutine may read the answer before it returns.
#[cfg(not(legacy))]
#[uprobe]
pub fn go_write_enter(ctx: ProbeContext) -> u32 {
    writes::<true>(&ctx)
}

/// `Write` begins.
#[inline(always)]
pub fn writes<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    let current = current_process();
    let Some(watch) = tls::watch_caller(current, PROBES_ON_GOROUTINES) else {
        return 0;
    };
    let goroutine = goroutine(current, go_registers(ctx.regs).goroutine);
    let begun = begun(ctx, OF_GO | EGRESS);
    end(ctx, tls::wrote::<WALKS>(current, watch, goroutine, begun)) as u32
}

/// `func (c *Conn) Close() error`
#[uprobe]
pub fn go_close_enter(ctx: ProbeContext) -> u32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_none() {
        return 0;
    }
    let object = go_registers(ctx.regs).first;
    end(&ctx, tls::carriers::freed(current, object)) as u32
}

#[inline(always)]
fn entered(ctx: &ProbeContext, operation: u16) -> u32 {
    let current = current_process();
    if tls::watch_caller(current, PROBES_ON_GOROUTINES).is_none() {
        return 0;
    }
    let goroutine = goroutine(current, go_registers(ctx.regs).goroutine);
    run(tls::began(goroutine, begun(ctx, operation))) as u32
}

#[inline(always)]
fn begun(ctx: &ProbeContext, operation: u16) -> Begun {
    let GoRegisters {
        first,
        second,
        third,
        ..
    } = go_registers(ctx.regs);
    Begun {
        operation,
        object: first,
        buffer: second,
        room: third,
        len_at: 0,
        // The stack may be elsewhere when the call ends.
        stack: 0,
    }
}

/// A return instruction of `Read`.
#[cfg(not(legacy))]
#[uprobe]
pub fn go_ret(ctx: ProbeContext) -> u32 {
    returns::<true>(&ctx)
}

/// What `Read` defers begins: its results stand.
#[cfg(not(legacy))]
#[uprobe]
pub fn go_read_deferred(ctx: ProbeContext) -> u32 {
    defers::<true>(&ctx)
}

/// `Read` has what it deferred run.
#[inline(always)]
pub fn defers<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    // It begins once more, and may end another call if that is within one.
    if grows_stack(ctx.regs) {
        return 0;
    }
    let Some(result) = deferred_result(ctx.regs) else {
        return end(ctx, Err(KernelLoss::TlsImplausible)) as u32;
    };
    ended::<WALKS>(ctx, current, watch, result)
}

/// `Read` ends.
#[inline(always)]
pub fn returns<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    ended::<WALKS>(ctx, current, watch, go_registers(ctx.regs).first)
}

#[inline(always)]
fn ended<const WALKS: bool>(
    ctx: &ProbeContext,
    current: Current,
    watch: Watch,
    result: u64,
) -> u32 {
    let goroutine = goroutine(current, go_registers(ctx.regs).goroutine);
    let told = tls::ended::<WALKS>(current, watch, goroutine, 0, result);
    end(ctx, told) as u32
}

#[inline(always)]
fn goroutine(current: Current, address: u64) -> TaskKey {
    TaskKey {
        task: address,
        tgid: current.tgid.into(),
    }
}
