//! rustls: how plaintext is taken out of a connection (`Reader`) and handed to it (`Writer`).
//!
//! The ABI is Rust's own, which is documented nowhere; `discover` reads off the code what these
//! functions are given, and leaves alone what differs: integers and references as in C, a slice as
//! two of them, `io::Result<usize>` in two registers, of which the first is 0 if it is well.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use wirespan_common::watch::{PROBES_ON_THREADS, Watch};

use super::end;
use super::tls_calls::argument;
use crate::arch::SECOND_RESULT;
use crate::maps;
use crate::memory::{Current, Delivered, current_process, stack_at_return, stack_of, user_value};
use crate::tls::{self, Begun, EGRESS, FROM_FILE, OF_RUSTLS, VECTOR, ZERO_ENDS, halves};

/// `fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>` of `Reader`, which begins with the
/// address of the buffer that it reads.
#[uprobe]
pub fn rustls_read_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, |current, _| {
        let buffer = user_value::<u64>(argument(&ctx, 0))?;
        let begun = Begun {
            operation: OF_RUSTLS | ZERO_ENDS,
            object: halves::reader(current, buffer)?,
            buffer: argument(&ctx, 1),
            room: argument(&ctx, 2),
            len_at: 0,
            stack: stack_of(ctx.regs),
        };
        tls::began(tls::thread(current), begun)
    })
}

/// `fn consume(&mut self, amt: usize)` of `Reader`, which begins with the buffer's address.
#[cfg(not(legacy))]
#[uprobe]
pub fn rustls_reader_consume_enter(ctx: ProbeContext) -> u32 {
    reader_consumes::<true>(&ctx)
}

/// `fn consume_first_chunk(&mut self, used: usize)` of the buffer itself.
#[cfg(not(legacy))]
#[uprobe]
pub fn rustls_consume_enter(ctx: ProbeContext) -> u32 {
    consumes::<true>(&ctx)
}

/// A reader's `consume` begins.
#[inline(always)]
pub fn reader_consumes<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    entered(ctx, |current, watch| {
        let buffer = user_value(argument(ctx, 0))?;
        halves::takes::<WALKS>(current, watch, buffer, argument(ctx, 1))
    })
}

/// A buffer's `consume` begins.
#[inline(always)]
pub fn consumes<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    entered(ctx, |current, watch| {
        halves::takes::<WALKS>(current, watch, argument(ctx, 0), argument(ctx, 1))
    })
}

/// `fn send_appdata_encrypt(&mut self, payload: OutboundChunks<'_>, …) -> usize` of `CommonState`.
/// The chunks are 0, address and length; or address and count of slices, which are laid out like
/// `struct iovec`, and which of their bytes, from and until.
#[uprobe]
pub fn rustls_send_enter(ctx: ProbeContext) -> u32 {
    entered(&ctx, |current, _| {
        let [first, second, third, fourth] = user_value::<[u64; 4]>(argument(&ctx, 1))?;
        let begun = Begun {
            operation: OF_RUSTLS | EGRESS,
            object: halves::writer(current, argument(&ctx, 0))?,
            buffer: second,
            room: third,
            len_at: 0,
            stack: stack_of(ctx.regs),
        };
        let begun = if first == 0 {
            begun
        } else {
            Begun {
                // Where they don't begin with the first slice, they are only counted.
                operation: begun.operation | if third == 0 { VECTOR } else { FROM_FILE },
                buffer: first,
                room: fourth.saturating_sub(third),
                len_at: if third == 0 { second } else { 0 },
                ..begun
            }
        };
        tls::began(tls::thread(current), begun)
    })
}

/// A function returned.
#[cfg(not(legacy))]
#[uretprobe]
pub fn rustls_return(ctx: RetProbeContext) -> u32 {
    after_return::<true>(&ctx)
}

/// A function is about to return.
#[cfg(not(legacy))]
#[uprobe]
pub fn rustls_ret(ctx: ProbeContext) -> u32 {
    before_return::<true>(&ctx)
}

/// The end of a function behind its return instruction.
#[inline(always)]
pub fn after_return<const WALKS: bool>(ctx: &RetProbeContext) -> u32 {
    let stack = stack_at_return(ctx.regs);
    returned::<WALKS>(&ProbeContext { regs: ctx.regs }, stack)
}

/// The end of a function at its return instruction.
#[inline(always)]
pub fn before_return<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    returned::<WALKS>(ctx, stack_of(ctx.regs))
}

#[inline(always)]
fn entered(ctx: &ProbeContext, begin: impl FnOnce(Current, Watch) -> Delivered<()>) -> u32 {
    let current = current_process();
    let Some(watch) = tls::watch_caller(current, PROBES_ON_THREADS) else {
        return 0;
    };
    end(ctx, begin(current, watch)) as u32
}

#[inline(always)]
fn returned<const WALKS: bool>(ctx: &ProbeContext, stack: u64) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let thread = tls::thread(current);
    let first = RetProbeContext { regs: ctx.regs }.ret::<u64>();
    let result = match maps::task(thread) {
        Some(task) if task.frame.operation & EGRESS != 0 => first,
        _ if first == 0 => argument(ctx, SECOND_RESULT),
        _ => u64::MAX,
    };
    let told = tls::ended::<WALKS>(current, watch, thread, stack, result);
    end(ctx, told) as u32
}
