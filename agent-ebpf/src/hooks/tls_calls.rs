//! Calls of TLS libraries written in C: how they begin, and the one program for all their ends. It
//! knows no library's functions.
//!
//! Arguments are those of the System V ABI, the first being the object, the second a buffer. A
//! return belongs to the call whose return address lay where it does.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use wirespan_common::watch::PROBES_ON_THREADS;

use super::{end, run};
use crate::maps;
use crate::memory::{current_process, stack_at_return, stack_of};
use crate::tls::{self, Begun};

/// A function begins whose third argument is the length of the buffer, and which returns how much
/// of it was used.
#[inline(always)]
pub fn entered(ctx: &ProbeContext, operation: u16) -> u32 {
    entered_with(ctx, operation, 2, None)
}

/// A function begins; by number, which of its arguments is the length of the buffer, and which the
/// place where it writes how much of it was used.
#[inline(always)]
pub fn entered_with(ctx: &ProbeContext, operation: u16, room: usize, len_at: Option<usize>) -> u32 {
    let arguments = Arguments {
        object: argument(ctx, 0),
        buffer: argument(ctx, 1),
        room: argument(ctx, room),
        len_at: len_at.map(|index| argument(ctx, index)),
    };
    begins(operation, arguments, stack_of(ctx.regs))
}

/// What a function is called with.
pub struct Arguments {
    /// The object.
    pub object: u64,
    /// The buffer.
    pub buffer: u64,
    /// How long that is.
    pub room: u64,
    /// Where it writes how much of it was used, if it does.
    pub len_at: Option<u64>,
}

/// A function begins; the return address is at `stack`.
#[inline(always)]
pub fn begins(operation: u16, arguments: Arguments, stack: u64) -> u32 {
    let current = current_process();
    if tls::watch_caller(current, PROBES_ON_THREADS).is_none() {
        return 0;
    }
    let Arguments {
        object,
        buffer,
        room,
        len_at,
    } = arguments;
    let begun = Begun {
        operation,
        object,
        buffer,
        // The upper half of a register that holds an `int` means nothing.
        room: if operation & tls::RETURNS_INT != 0 && len_at.is_none() {
            u64::from(room as u32)
        } else {
            room
        },
        len_at: len_at.unwrap_or(0),
        stack,
    };
    run(tls::began(tls::thread(current), begun)) as u32
}

/// An argument of the function, by number; 0 where the ABI has it on the stack.
#[inline(always)]
pub fn argument(ctx: &ProbeContext, index: usize) -> u64 {
    ctx.arg::<u64>(index).unwrap_or(0)
}

/// A function returned.
#[cfg(not(legacy))]
#[uretprobe]
pub fn tls_return(ctx: RetProbeContext) -> u32 {
    after_return::<true>(&ctx)
}

/// A function is about to return.
#[cfg(not(legacy))]
#[uprobe]
pub fn tls_ret(ctx: ProbeContext) -> u32 {
    before_return::<true>(&ctx)
}

/// The end of a function behind its return instruction.
#[inline(always)]
pub fn after_return<const WALKS: bool>(ctx: &RetProbeContext) -> u32 {
    returned::<WALKS>(ctx, stack_at_return(ctx.regs))
}

/// The end of a function at its return instruction.
#[inline(always)]
pub fn before_return<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    // The result is in the same register at either place.
    returned::<WALKS>(&RetProbeContext { regs: ctx.regs }, stack_of(ctx.regs))
}

#[inline(always)]
fn returned<const WALKS: bool>(ctx: &RetProbeContext, stack: u64) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let thread = tls::thread(current);
    let told = tls::ended::<WALKS>(current, watch, thread, stack, ctx.ret());
    end(ctx, told) as u32
}
