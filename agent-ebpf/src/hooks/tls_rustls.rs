//! rustls: how plaintext is taken out of a connection (`Reader`) and handed to it (`Writer`).
//!
//! The ABI is Rust's own, which is documented nowhere; this is what rustc makes of these functions:
//! integers and references as in C, a slice as two of them, `io::Result<usize>` in RAX (0 if it is
//! well) and RDX. `into_first_chunk` writes its result to where RDI points and returns that, or
//! returns it in the same two registers; which one shows at its end.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use wirespan_common::watch::{PROBES_ON_THREADS, Watch};

use super::run;
use crate::maps;
use crate::memory::{Current, Delivered, current_process, stack_of, user_value};
use crate::tls::{self, Begun, EGRESS, LENDS, VECTOR, ZERO_ENDS, halves};

/// Size of a return address.
const ADDRESS_SIZE: u64 = 8;

/// `fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>` of `Reader`.
#[uprobe]
pub fn rustls_read_enter(ctx: ProbeContext) -> u32 {
    entered(|current| {
        let buffer = user_value::<u64>(argument(&ctx, 0))?;
        begin(&ctx, current, ZERO_ENDS, halves::reader(current, buffer)?)
    })
}

/// `fn into_first_chunk(self) -> io::Result<&[u8]>` of `Reader`.
#[uprobe]
pub fn rustls_chunk_enter(ctx: ProbeContext) -> u32 {
    // Which argument is the reader shows at the end.
    entered(|current| {
        let begun = Begun {
            operation: LENDS,
            object: argument(&ctx, 0),
            buffer: argument(&ctx, 0),
            room: argument(&ctx, 1),
            len_at: 0,
            stack: stack_of(ctx.regs),
        };
        tls::began(tls::thread(current), begun)
    })
}

/// `fn consume(&mut self, amt: usize)` of `Reader`.
#[uprobe]
pub fn rustls_consume_enter(ctx: ProbeContext) -> u32 {
    consumes::<true>(&ctx)
}

/// `consume` begins.
#[inline(always)]
pub fn consumes<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    let current = current_process();
    let Some(watch) = tls::watch_caller(current, PROBES_ON_THREADS) else {
        return 0;
    };
    let (reader, taken) = (argument(ctx, 0), argument(ctx, 1));
    let took = |buffer| halves::took::<WALKS>(current, watch, buffer, taken);
    run(user_value::<u64>(reader).and_then(took)) as u32
}

/// `fn write(&mut self, buf: &[u8]) -> io::Result<usize>` of `Writer`, which is a reference to the
/// connection.
#[uprobe]
pub fn rustls_writer_enter(ctx: ProbeContext) -> u32 {
    entered(|current| {
        let connection = user_value::<u64>(argument(&ctx, 0))?;
        begin(&ctx, current, EGRESS, halves::writer(current, connection)?)
    })
}

/// The same of the connection itself.
#[uprobe]
pub fn rustls_write_enter(ctx: ProbeContext) -> u32 {
    entered(|current| {
        let connection = halves::writer(current, argument(&ctx, 0))?;
        begin(&ctx, current, EGRESS, connection)
    })
}

/// `fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>` of the connection; an
/// `IoSlice` is a `struct iovec`.
#[uprobe]
pub fn rustls_writev_enter(ctx: ProbeContext) -> u32 {
    entered(|current| {
        let connection = halves::writer(current, argument(&ctx, 0))?;
        begin(&ctx, current, EGRESS | VECTOR, connection)
    })
}

/// A function returned.
#[uretprobe]
pub fn rustls_return(ctx: RetProbeContext) -> u32 {
    after_return::<true>(&ctx)
}

/// A function is about to return.
#[uprobe]
pub fn rustls_ret(ctx: ProbeContext) -> u32 {
    before_return::<true>(&ctx)
}

/// The end of a function behind its return instruction.
#[inline(always)]
pub fn after_return<const WALKS: bool>(ctx: &RetProbeContext) -> u32 {
    let stack = stack_of(ctx.regs) - ADDRESS_SIZE;
    returned::<WALKS>(&ProbeContext { regs: ctx.regs }, stack)
}

/// The end of a function at its return instruction.
#[inline(always)]
pub fn before_return<const WALKS: bool>(ctx: &ProbeContext) -> u32 {
    returned::<WALKS>(ctx, stack_of(ctx.regs))
}

#[inline(always)]
fn entered(begin: impl FnOnce(Current) -> Delivered<()>) -> u32 {
    let current = current_process();
    if tls::watch_caller(current, PROBES_ON_THREADS).is_none() {
        return 0;
    }
    run(begin(current)) as u32
}

#[inline(always)]
fn begin(ctx: &ProbeContext, current: Current, operation: u16, object: u64) -> Delivered<()> {
    let is_vector = operation & VECTOR != 0;
    let begun = Begun {
        operation,
        object,
        buffer: argument(ctx, 1),
        room: if is_vector { u64::MAX } else { argument(ctx, 2) },
        len_at: if is_vector { argument(ctx, 2) } else { 0 },
        stack: stack_of(ctx.regs),
    };
    tls::began(tls::thread(current), begun)
}

#[inline(always)]
fn returned<const WALKS: bool>(ctx: &ProbeContext, stack: u64) -> u32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let result = RetProbeContext { regs: ctx.regs }.ret::<u64>();
    run(end::<WALKS>(current, watch, stack, result, argument(ctx, 2))) as u32
}

#[inline(always)]
fn end<const WALKS: bool>(
    current: Current,
    watch: Watch,
    stack: u64,
    rax: u64,
    rdx: u64,
) -> Delivered<()> {
    let key = tls::thread(current);
    if halves::lent::<WALKS>(current, watch, stack, rax, rdx)? {
        return Ok(());
    }
    let result = if rax == 0 { rdx } else { u64::MAX };
    tls::ended::<WALKS>(current, watch, key, stack, result)
}

#[inline(always)]
fn argument(ctx: &ProbeContext, index: usize) -> u64 {
    ctx.arg::<u64>(index).unwrap_or(0)
}
