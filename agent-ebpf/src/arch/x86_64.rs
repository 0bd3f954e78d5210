//! x86-64: registers (`struct pt_regs`, arch/x86/include/asm/ptrace.h), the System V ABI, Go's and
//! Rust's own, and system calls (arch/x86/entry/syscalls/syscall_64.tbl).

use aya_ebpf::bindings::pt_regs;
use zerocopy::{FromBytes, IntoBytes};

/// The part of `struct pt_regs` that system calls use, as it lies there ([`CALL_PARTS`]). Arguments
/// stay in it from when a task enters the kernel until it leaves (arch/x86/entry/calling.h).
#[derive(Clone, Copy, FromBytes, IntoBytes)]
#[repr(C)]
pub struct CallRegisters {
    /// R10: the fourth argument.
    pub fourth: u64,
    r9: u64,
    r8: u64,
    ax: u64,
    cx: u64,
    /// RDX: the third argument.
    pub third: u64,
    /// RSI: the second argument.
    pub second: u64,
    /// RDI: the first argument.
    pub first: u64,
    /// Which system call it is.
    pub number: CallNumber,
}

/// Where they are in `struct pt_regs`: where each part begins, and its length.
pub const CALL_PARTS: [(u64, usize); 1] = [(place::FOURTH, size_of::<CallRegisters>())];

/// Where each is in `struct pt_regs`.
#[allow(missing_docs, reason = "each is named after its field")]
pub mod place {
    pub const FOURTH: u64 = 0x38;
    pub const THIRD: u64 = 0x60;
    pub const SECOND: u64 = 0x68;
    pub const FIRST: u64 = 0x70;
    pub const NUMBER: u64 = 0x78;
}

/// As the kernel keeps the number of a system call in `struct pt_regs`.
pub type CallNumber = u64;

/// Numbers of system calls.
#[allow(missing_docs, reason = "each is named after its call")]
pub mod number {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    #[cfg(legacy)]
    pub const CLOSE: u64 = 3;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    #[cfg(legacy)]
    pub const SHUTDOWN: u64 = 48;
    #[cfg(legacy)]
    pub const LISTEN: u64 = 50;
    pub const SPLICE: u64 = 275;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
    pub const PREADV2: u64 = 327;
    pub const PWRITEV2: u64 = 328;
}

/// Whether it is one of those.
#[inline(always)]
pub fn is_listed(call: CallNumber) -> bool {
    use number::*;
    /// Those under 64, a bit each.
    const LOW: u64 = 1 << READ
        | 1 << WRITE
        | 1 << READV
        | 1 << WRITEV
        | 1 << SENDFILE
        | 1 << SENDTO
        | 1 << RECVFROM
        | 1 << SENDMSG
        | 1 << RECVMSG;
    if call < 64 {
        return LOW >> call & 1 != 0;
    }
    matches!(call, SPLICE | RECVMMSG | SENDMMSG | PREADV2 | PWRITEV2)
}

/// Whether it may bring a socket into another state.
#[cfg(legacy)]
#[inline(always)]
pub fn changes_state(call: u64) -> bool {
    matches!(call, number::CLOSE | number::SHUTDOWN | number::LISTEN)
}

/// Address of the registers with which a task entered the kernel: the top of its kernel stack
/// (`task_pt_regs`, arch/x86/include/asm/processor.h).
#[inline(always)]
pub fn entry_registers(kernel_stack: u64) -> u64 {
    /// Without KASAN (arch/x86/include/asm/page_64_types.h).
    const THREAD_SIZE: u64 = 16 * 1024;
    const PT_REGS_SIZE: u64 = 21 * 8;
    kernel_stack + THREAD_SIZE - PT_REGS_SIZE
}

/// Bits of an address that a process has, unless it asks for more (Documentation/arch/x86/x86_64/
/// mm.rst).
#[cfg(legacy)]
pub const ADDRESS_BITS: u32 = 47;

/// The stack pointer.
#[inline(always)]
pub fn stack(registers: &pt_regs) -> u64 {
    registers.rsp
}

/// The address of the instruction.
#[inline(always)]
pub fn place(registers: &pt_regs) -> u64 {
    registers.rip
}

/// Bytes by which a return moves the stack pointer: the return address lies there.
pub const RETURN_SIZE: u64 = 8;

/// Where a function that begins returns to, if a register says so: it lies on the stack.
#[inline(always)]
pub fn link(_: &pt_regs) -> Option<u64> {
    None
}

/// Where `struct epoll_event` has its data: it is packed (include/uapi/linux/eventpoll.h).
pub const EPOLL_DATA_OFFSET: u64 = 4;

/// Where the first four arguments of a function of C are when it begins (System V ABI).
#[inline(always)]
pub fn argument_places(registers: &pt_regs) -> [*const u64; 4] {
    [
        &raw const registers.rdi,
        &raw const registers.rsi,
        &raw const registers.rdx,
        &raw const registers.rcx,
    ]
}

/// Where functions of C keep what they work on while they call others, and their result.
#[inline(always)]
pub fn kept_places(registers: &pt_regs) -> [*const u64; 7] {
    [
        &raw const registers.rax,
        &raw const registers.rbx,
        &raw const registers.rbp,
        &raw const registers.r12,
        &raw const registers.r13,
        &raw const registers.r14,
        &raw const registers.r15,
    ]
}

/// Of what these have, the one whose register has this number in instructions; 0 if none has.
#[inline(always)]
pub fn kept([a, b, c, d, e, f, g]: [u64; 7], number: u64) -> u64 {
    match number {
        0 => a,
        3 => b,
        5 => c,
        12 => d,
        13 => e,
        14 => f,
        15 => g,
        _ => 0,
    }
}

/// Which argument's register has the second word of a result of two: RDX.
pub const SECOND_RESULT: usize = 2;

/// Registers in which Go passes arguments and results since 1.17, and keeps its goroutine
/// (src/cmd/compile/abi-internal.md).
#[derive(Clone, Copy)]
pub struct GoRegisters {
    /// RAX: the first argument or result.
    pub first: u64,
    /// RBX: the second.
    pub second: u64,
    /// RCX: the third.
    pub third: u64,
    /// RDI: the fourth.
    pub fourth: u64,
    /// R14: the goroutine.
    pub goroutine: u64,
}

impl GoRegisters {
    /// Those among all of them.
    #[inline(always)]
    pub fn of(registers: &pt_regs) -> Self {
        Self {
            first: registers.rax,
            second: registers.rbx,
            third: registers.rcx,
            fourth: registers.rdi,
            goroutine: registers.r14,
        }
    }
}

/// Whether the jump behind the check of the stack's size, where a Go function begins, is about to
/// be taken (`jbe`): the goroutine gets a larger stack, and the function begins anew.
#[inline(always)]
pub fn grows_stack(registers: &pt_regs) -> bool {
    const CARRY: u64 = 1;
    const ZERO: u64 = 1 << 6;
    registers.eflags & (CARRY | ZERO) != 0
}

/// Which word of the stack is loaded by the instruction at the beginning of `code` into the
/// register of a Go function's first result, in bytes above the stack pointer: `mov n(%rsp), %rax`.
#[inline(always)]
pub fn loads_result(code: [u8; 8]) -> Option<u64> {
    match code {
        [0x48, 0x8b, 0x44, 0x24, short, ..] if short < 0x80 => Some(short.into()),
        [0x48, 0x8b, 0x84, 0x24, a, b, c @ 0..0x80, d @ 0] => {
            Some(u32::from_le_bytes([a, b, c, d]).into())
        }
        _ => None,
    }
}

/// Where the goroutine's register is in `struct pt_regs`.
pub const GOROUTINE_OFFSET: u64 = 8;
