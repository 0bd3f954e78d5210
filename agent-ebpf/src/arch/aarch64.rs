//! AArch64: registers (`struct pt_regs`, arch/arm64/include/asm/ptrace.h), the procedure call
//! standard, Go's and Rust's own, and system calls (include/uapi/asm-generic/unistd.h).

use aya_ebpf::bindings::pt_regs;
use zerocopy::{FromBytes, IntoBytes};

/// The parts of `struct pt_regs` that system calls use, as they lie there in [`CALL_PARTS`]. X0 has
/// the result when a call ends, so the first argument is taken from where the kernel keeps it for
/// calls that it begins again (`orig_x0`); the others stay in their registers until the task leaves
/// the kernel.
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
pub struct CallRegisters {
    /// X1: the second argument.
    pub second: u64,
    /// X2: the third argument.
    pub third: u64,
    /// X3: the fourth argument.
    pub fourth: u64,
    /// `orig_x0`: the first argument.
    pub first: u64,
    /// Which system call it is (`syscallno`, of 32 bits).
    pub number: CallNumber,
    other: u32,
}

/// Where they are in `struct pt_regs`: where each part begins, and its length.
pub const CALL_PARTS: [(u64, usize); 2] = [(place::SECOND, 24), (place::FIRST, 16)];

/// Where each is in `struct pt_regs`.
#[allow(missing_docs, reason = "each is named after its field")]
pub mod place {
    pub const SECOND: u64 = 8;
    pub const THIRD: u64 = 16;
    pub const FOURTH: u64 = 24;
    pub const FIRST: u64 = 272;
    pub const NUMBER: u64 = 280;
}

/// As the kernel keeps the number of a system call in `struct pt_regs`.
pub type CallNumber = u32;

/// Numbers of system calls.
#[allow(missing_docs, reason = "each is named after its call")]
pub mod number {
    #[cfg(legacy)]
    pub const CLOSE: u32 = 57;
    pub const READ: u32 = 63;
    pub const WRITE: u32 = 64;
    pub const READV: u32 = 65;
    pub const WRITEV: u32 = 66;
    pub const SENDFILE: u32 = 71;
    pub const SPLICE: u32 = 76;
    #[cfg(legacy)]
    pub const LISTEN: u32 = 201;
    pub const SENDTO: u32 = 206;
    pub const RECVFROM: u32 = 207;
    #[cfg(legacy)]
    pub const SHUTDOWN: u32 = 210;
    pub const SENDMSG: u32 = 211;
    pub const RECVMSG: u32 = 212;
    pub const RECVMMSG: u32 = 243;
    pub const SENDMMSG: u32 = 269;
    pub const PREADV2: u32 = 286;
    pub const PWRITEV2: u32 = 287;
}

/// Whether it is one of those.
#[inline(always)]
pub fn is_listed(call: CallNumber) -> bool {
    use number::*;
    /// Those from `READ` on, a bit each.
    const LOW: u64 = 1
        | 1 << (WRITE - READ)
        | 1 << (READV - READ)
        | 1 << (WRITEV - READ)
        | 1 << (SENDFILE - READ)
        | 1 << (SPLICE - READ);
    let from_read = call.wrapping_sub(READ);
    if from_read < 64 {
        return LOW >> from_read & 1 != 0;
    }
    matches!(
        call,
        SENDTO | RECVFROM | SENDMSG | RECVMSG | RECVMMSG | SENDMMSG | PREADV2 | PWRITEV2
    )
}

/// Whether it may bring a socket into another state.
#[cfg(legacy)]
#[inline(always)]
pub fn changes_state(call: u32) -> bool {
    matches!(call, number::CLOSE | number::SHUTDOWN | number::LISTEN)
}

/// Bits of an address that a process may have (Documentation/arm64/memory.rst): those of the kernel
/// have all others set.
#[cfg(legacy)]
pub const ADDRESS_BITS: u32 = 52;

/// Address of the registers with which a task entered the kernel: the top of its kernel stack
/// (`task_pt_regs`, arch/arm64/include/asm/processor.h).
///
/// Sizes are those of kernels 5.10 to 5.14 with pages of 4 or 16 KiB and without KASAN: others tell
/// themselves (`bpf_task_pt_regs`), or have no fitting numbers there.
#[inline(always)]
pub fn entry_registers(kernel_stack: u64) -> u64 {
    /// arch/arm64/include/asm/memory.h
    const THREAD_SIZE: u64 = 16 * 1024;
    const PT_REGS_SIZE: u64 = 42 * 8;
    kernel_stack + THREAD_SIZE - PT_REGS_SIZE
}

/// The stack pointer.
#[inline(always)]
pub fn stack(registers: &pt_regs) -> u64 {
    registers.sp
}

/// The address of the instruction.
#[inline(always)]
pub fn place(registers: &pt_regs) -> u64 {
    registers.pc
}

/// Bytes by which a return moves the stack pointer: none, its address is in a register.
pub const RETURN_SIZE: u64 = 0;

/// Where a function that begins returns to, if a register says so: X30, the link register.
#[inline(always)]
pub fn link(registers: &pt_regs) -> Option<u64> {
    Some(registers.regs[30])
}

/// Where `struct epoll_event` has its data (include/uapi/linux/eventpoll.h).
pub const EPOLL_DATA_OFFSET: u64 = 8;

/// Where the first four arguments of a function of C are when it begins.
#[inline(always)]
pub fn argument_places(registers: &pt_regs) -> [*const u64; 4] {
    [
        &raw const registers.regs[0],
        &raw const registers.regs[1],
        &raw const registers.regs[2],
        &raw const registers.regs[3],
    ]
}

/// Where functions of C keep what they work on while they call others, of ten the first seven: in
/// user space no finder names any of this processor yet.
#[inline(always)]
pub fn kept_places(registers: &pt_regs) -> [*const u64; 7] {
    [
        &raw const registers.regs[19],
        &raw const registers.regs[20],
        &raw const registers.regs[21],
        &raw const registers.regs[22],
        &raw const registers.regs[23],
        &raw const registers.regs[24],
        &raw const registers.regs[25],
    ]
}

/// Of what these have, the one whose register has this number in instructions; 0 if none has.
#[inline(always)]
pub fn kept([a, b, c, d, e, f, g]: [u64; 7], number: u64) -> u64 {
    match number {
        19 => a,
        20 => b,
        21 => c,
        22 => d,
        23 => e,
        24 => f,
        25 => g,
        _ => 0,
    }
}

/// Which argument's register has the second word of a result of two: X1.
pub const SECOND_RESULT: usize = 1;

/// Registers in which Go passes arguments and results since 1.18 (the assembly's 1.17 has them on
/// the stack), and keeps its goroutine (src/cmd/compile/abi-internal.md).
#[derive(Clone, Copy)]
pub struct GoRegisters {
    /// R0: the first argument or result.
    pub first: u64,
    /// R1: the second.
    pub second: u64,
    /// R2: the third.
    pub third: u64,
    /// R3: the fourth.
    pub fourth: u64,
    /// R28: the goroutine.
    pub goroutine: u64,
}

impl GoRegisters {
    /// Those among all of them.
    #[inline(always)]
    pub fn of(registers: &pt_regs) -> Self {
        Self {
            first: registers.regs[0],
            second: registers.regs[1],
            third: registers.regs[2],
            fourth: registers.regs[3],
            goroutine: registers.regs[28],
        }
    }
}

/// Whether the jump behind the check of the stack's size, where a Go function begins, is about to
/// be taken (`b.ls`): the goroutine gets a larger stack, and the function begins anew.
#[inline(always)]
pub fn grows_stack(registers: &pt_regs) -> bool {
    const CARRY: u64 = 1 << 29;
    const ZERO: u64 = 1 << 30;
    registers.pstate & (CARRY | ZERO) != CARRY
}

/// Which word of the stack is loaded by the instruction at the beginning of `code` into the
/// register of a Go function's first result. Nobody asks: return instructions are emulated here
/// (`simulate_br_blr_ret`, arch/arm64/kernel/probes/simulate-insn.c).
#[inline(always)]
pub fn loads_result(_: [u8; 8]) -> Option<u64> {
    None
}

/// Where the goroutine's register is in `struct pt_regs`.
pub const GOROUTINE_OFFSET: u64 = 28 * 8;
