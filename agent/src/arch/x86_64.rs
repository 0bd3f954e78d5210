//! x86-64. The kernel's sources that are named here are below arch/x86.

mod arguments;
mod goroutines;
pub mod hotspot;
pub mod python;
mod returns;
pub mod tokio;

use iced_x86::{Code, Decoder, DecoderOptions};

pub use arguments::{first_call, uses_of_arguments};
pub use goroutines::{
    jump_of_stack_check, keeps_result, offset_in_is_system_goroutine, offset_of_stream_number,
    offsets_in_systemstack,
};
pub use returns::returns;

/// `host.arch` of OpenTelemetry's conventions.
pub const HOST_ARCH: &str = "amd64";

/// What filters of system calls are made for, as `seccompiler` calls it.
pub const SECCOMP_ARCHITECTURE: &str = "x86_64";

/// `EM_X86_64`, of executables that are looked into.
pub const ELF_MACHINE: u16 = 62;

/// Bytes of code that the kernel copies where it puts a probe (`MAX_UINSN_BYTES`,
/// include/asm/uprobes.h).
pub const PROBED_LEN: usize = 16;

/// What stands where a probe is put.
pub const BREAKPOINT: [u8; 1] = [INT3];

/// `int3`
const INT3: u8 = 0xcc;

/// Go's minimum size of an instruction, as its table of functions has it (`pcHeader.minLC`,
/// src/runtime/symtab.go).
pub const GO_INSTRUCTION_LEN_MIN: u8 = 1;

/// First minor version of Go 1 whose functions take their arguments in registers here.
pub const GO_REGISTERS_SINCE: u32 = 17;

/// `R_X86_64_RELATIVE`: a word that is the file's base plus a number.
pub const RELOCATION_RELATIVE: u64 = 8;

/// `R_X86_64_DTPMOD64`: the number of a module.
pub const RELOCATION_MODULE: u64 = 16;

/// Where the kernel keeps the address of a thread's own memory (`struct thread_struct`,
/// include/asm/processor.h).
pub const THREAD_POINTER: &str = "fsbase";

/// Why nothing is read of what runtimes and libraries do within, if that is so; completes a
/// sentence like "tokio's tasks can't be told apart: …".
pub const UNREAD: Option<&str> = None;

/// What [`begins_with_stack_check`] looks at.
pub const STACK_CHECK_LEN: usize = 12;

/// `endbr64`, with which functions begin that may be called indirectly (-fcf-protection).
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// `nopl 0(%rax,%rax,1)`, the five-byte nop that tracers of the target's own may write over.
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/// `ud2`
const UD2: [u8; 2] = [0x0f, 0x0b];

/// What BTFHub calls it.
pub const BTFHUB_ARCHITECTURE: &str = "x86_64";

/// Where in its stack in the kernel a task has the second argument of the system call that it is
/// in: `si` in the `struct pt_regs` at its end (include/asm/ptrace.h, include/asm/page_64_types.h).
pub const SECOND_ARGUMENT_IN_STACK: u64 = 16 * 1024 - 21 * 8 + 13 * 8;

/// Where the own memory of the thread that calls this is, as the kernel keeps it: the base of the
/// segment `fs`, of which the first word says where it is (System V ABI, thread-local storage).
#[must_use]
pub fn thread_pointer() -> Option<u64> {
    let base: u64;
    // SAFETY: it reads one word, which every thread of the C library's has there.
    unsafe {
        std::arch::asm!("mov {}, qword ptr fs:[0]", out(reg) base, options(nostack, readonly));
    }
    (base != 0).then_some(base)
}

/// Where `struct epoll_event` has its data: it is packed (include/uapi/linux/eventpoll.h).
pub const EPOLL_DATA_OFFSET: usize = 4;

/// Makes a thread that does nothing but end with this code, in system calls alone: libraries of C
/// make none but those that they look after. Returns what clone(2) does.
///
/// # Safety
/// With these flags the kernel does nothing to this process's memory but to write to `lives`, which
/// is there until the thread has gone. The thread touches no memory, and no stack.
pub unsafe fn make_thread_that_ends(flags: i32, stack: *mut u8, lives: *mut u32, code: i32) -> i64 {
    let made: i64;
    // SAFETY: as above; what it does to registers is said.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov edi, {code:e}",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            code = in(reg) code,
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone => made,
            in("rdi") i64::from(flags),
            in("rsi") stack,
            in("rdx") 0,
            in("r10") lives,
            in("r8") 0,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    made
}

/// The kernel function of a system call (include/asm/syscall_wrapper.h).
#[must_use]
pub fn system_call_function(call: &str) -> String {
    format!("__x64_sys_{call}")
}

/// The length of the instruction that begins some code; `None` if none does.
#[must_use]
pub fn first_instruction_len(code: &[u8]) -> Option<usize> {
    let found = Decoder::new(64, code, DecoderOptions::NONE).decode();
    (!found.is_invalid()).then(|| found.len())
}

/// Whether no function begins so: padding, int3 and ud2.
#[must_use]
pub fn is_filler(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte == 0) || head[0] == INT3 || head.starts_with(&UD2)
}

/// Length of the instructions at the beginning that change nothing. The probe is put behind them:
///
/// - The kernel emulates `push`, with which most functions go on, but steps over `endbr64` out of
///   line, which takes three times as long.
/// - Kernels from 6.18 on turn a probe on a five-byte nop into a call of their own, which in the
///   first of them wrote over the 128 bytes below the stack pointer. At a function's entry nothing
///   is kept there, so it would do no harm; but behind the nop there is nothing to argue about.
///
/// Behind them registers and stack are those of the entry, the return address on top.
#[must_use]
pub fn without_effect(head: &[u8]) -> usize {
    let mut len = 0;
    if head.starts_with(&ENDBR64) {
        len += ENDBR64.len();
    }
    while head[len..].starts_with(&NOP5) && head.len() > len + NOP5.len() {
        len += NOP5.len();
    }
    if len < head.len() { len } else { 0 }
}

/// Whether the kernel emulates the first instruction: `push` of a register (kernel/uprobes.c,
/// `push_setup_xol_ops`).
#[must_use]
pub fn is_emulated(code: &[u8]) -> bool {
    let first = Decoder::new(64, code, DecoderOptions::NONE).decode();
    first.code() == Code::Push_r64
}

/// Whether code of [`STACK_CHECK_LEN`] begins as a Go function with arguments in registers does:
/// `cmp rsp, [r14+16]`, or for larger frames `lea r12, [rsp-n]; cmp r12, [r14+16]`
/// (`cmd/internal/obj/x86/obj6.go`). The goroutine is in R14 since Go 1.17.
#[must_use]
pub fn begins_with_stack_check(head: &[u8]) -> bool {
    let compares_r12 = |from: usize| head[from..].starts_with(&[0x4d, 0x3b, 0x66, 0x10]);
    match head {
        [0x49, 0x3b, 0x66, 0x10, ..] => true,
        [0x4c, 0x8d, 0x64, 0x24, ..] => compares_r12(5),
        [0x4c, 0x8d, 0xa4, 0x24, ..] => compares_r12(8),
        _ => false,
    }
}
