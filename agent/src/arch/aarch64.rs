//! AArch64. The kernel's sources that are named here are below arch/arm64.
//!
//! What shows where plaintext is handed over and what Go's runtime keeps is read; what runtimes and
//! libraries do within is not yet ([`UNREAD`]).

mod goroutines;
mod returns;
mod unread;

use yaxpeax_arch::{Arch, Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{ARMv8, Instruction, Opcode, Operand, SizeCode};

pub use goroutines::{
    begins_with_stack_check, jump_of_stack_check, keeps_result, offset_in_is_system_goroutine,
    offset_of_stream_number, offsets_in_systemstack,
};
pub use returns::returns;
pub use unread::{first_call, hotspot, python, tokio, uses_of_arguments};

/// `host.arch` of OpenTelemetry's conventions.
pub const HOST_ARCH: &str = "arm64";

/// What filters of system calls are made for, as `seccompiler` calls it.
pub const SECCOMP_ARCHITECTURE: &str = "aarch64";

/// `EM_AARCH64`, of executables that are looked into.
pub const ELF_MACHINE: u16 = 183;

/// Bytes of code that the kernel copies where it puts a probe (`MAX_UINSN_BYTES`,
/// include/asm/uprobes.h).
pub const PROBED_LEN: usize = INSTRUCTION_LEN;

/// What stands where a probe is put: `brk #5` (`BRK64_OPCODE_UPROBES`,
/// include/asm/debug-monitors.h).
pub const BREAKPOINT: [u8; INSTRUCTION_LEN] = 0xd420_00a0_u32.to_le_bytes();

/// Go's minimum size of an instruction, as its table of functions has it (`pcHeader.minLC`,
/// src/runtime/symtab.go).
pub const GO_INSTRUCTION_LEN_MIN: u8 = 4;

/// First minor version of Go 1 whose functions take their arguments in registers here.
pub const GO_REGISTERS_SINCE: u32 = 18;

/// `R_AARCH64_RELATIVE`: a word that is the file's base plus a number.
pub const RELOCATION_RELATIVE: u64 = 1027;

/// `R_AARCH64_TLS_DTPMOD64`: the number of a module.
pub const RELOCATION_MODULE: u64 = 1028;

/// Where the kernel keeps the address of a thread's own memory while the thread does not run, as
/// its first word (`struct thread_struct`, include/asm/processor.h).
pub const THREAD_POINTER: &str = "uw";

/// Why nothing is read of what runtimes and libraries do within, if that is so; completes a
/// sentence like "tokio's tasks can't be told apart: …".
pub const UNREAD: Option<&str> =
    Some("wirespan does not read such code on this processor (AArch64) yet");

/// What [`begins_with_stack_check`] looks at.
pub const STACK_CHECK_LEN: usize = 3 * INSTRUCTION_LEN;

/// All instructions are as long.
const INSTRUCTION_LEN: usize = 4;

/// `bti`, `bti c`, `bti j` and `bti jc`, with which code begins that is jumped to indirectly
/// (-mbranch-protection), but for the two bits in which they differ.
const BTI: u32 = 0xd503_241f;
const BTI_KINDS: u32 = 3 << 6;

/// What BTFHub calls it.
pub const BTFHUB_ARCHITECTURE: &str = "arm64";

/// Where in its stack in the kernel a task has the second argument of the system call that it is
/// in: X1 in the `struct pt_regs` at its end (include/asm/ptrace.h), on kernels with pages of 4 or
/// 16 KiB (`THREAD_SIZE`, include/asm/memory.h) until one gives that structure another size.
pub const SECOND_ARGUMENT_IN_STACK: u64 = 16 * 1024 - 42 * 8 + 8;

/// Where the own memory of the thread that calls this is, as the kernel keeps it: `tpidr_el0`.
#[cfg(target_arch = "aarch64")]
#[must_use]
pub fn thread_pointer() -> Option<u64> {
    let base: u64;
    // SAFETY: every thread may read that register, and nothing else is touched.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) base, options(nomem, nostack));
    }
    // The first thread sets it without a word to the kernel, which learns it as the thread makes
    // room for another one (`tls_preserve_current_state`, kernel/process.c).
    std::thread::sleep(std::time::Duration::from_micros(1));
    (base != 0).then_some(base)
}

/// Where `struct epoll_event` has its data (include/uapi/linux/eventpoll.h).
pub const EPOLL_DATA_OFFSET: usize = 8;

/// Makes a thread that does nothing but end with this code, in system calls alone: libraries of C
/// make none but those that they look after. Returns what clone(2) does.
///
/// # Safety
/// With these flags the kernel does nothing to this process's memory but to write to `lives`, which
/// is there until the thread has gone. The thread touches no memory, and no stack.
#[cfg(target_arch = "aarch64")]
pub unsafe fn make_thread_that_ends(flags: i32, stack: *mut u8, lives: *mut u32, code: i32) -> i64 {
    let made: i64;
    // SAFETY: as above; what it does to registers is said.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov w0, {code:w}",
            "mov x8, {exit}",
            "svc 0",
            "brk #1",
            "2:",
            code = in(reg) code,
            exit = const libc::SYS_exit,
            inlateout("x0") i64::from(flags) => made,
            in("x1") stack,
            in("x2") 0,
            in("x3") 0,
            in("x4") lives,
            inout("x8") libc::SYS_clone => _,
            options(nostack),
        );
    }
    made
}

/// The kernel function of a system call (include/asm/syscall_wrapper.h).
#[must_use]
pub fn system_call_function(call: &str) -> String {
    format!("__arm64_sys_{call}")
}

/// The length of the instruction that begins some code; `None` if none does.
#[must_use]
pub fn first_instruction_len(code: &[u8]) -> Option<usize> {
    let first = decoded(code).next()??;
    (first.opcode != Opcode::UDF).then_some(INSTRUCTION_LEN)
}

/// Whether no function begins so: padding, `udf` and `brk`.
#[must_use]
pub fn is_filler(head: &[u8]) -> bool {
    let first = decoded(head).next().flatten();
    head.iter().all(|byte| *byte == 0)
        || first.is_some_and(|it| matches!(it.opcode, Opcode::UDF | Opcode::BRK))
}

/// Length of the instructions at the beginning that change nothing. The probe is put behind them,
/// because kernels before 5.10 refuse one on `bti`. What signs the return address (`paciasp`) is
/// not among them: a return probe puts its own in the place of that, and has to be first.
#[must_use]
pub fn without_effect(head: &[u8]) -> usize {
    let first = head.first_chunk().copied().map(u32::from_le_bytes);
    let is_bti = first.is_some_and(|word| word & !BTI_KINDS == BTI);
    if is_bti && head.len() > INSTRUCTION_LEN {
        INSTRUCTION_LEN
    } else {
        0
    }
}

/// Whether the kernel emulates the first instruction: of those with which functions begin, it steps
/// over all (`arm_probe_decode_insn`, kernel/probes/decode-insn.c).
#[must_use]
pub fn is_emulated(_code: &[u8]) -> bool {
    false
}

/// The instructions of some code in order; `None` for what is none, or not known as one.
fn decoded(code: &[u8]) -> impl Iterator<Item = Option<Instruction>> {
    let decoder = <ARMv8 as Arch>::Decoder::default();
    code.chunks(INSTRUCTION_LEN)
        .map(move |word| decoder.decode(&mut U8Reader::new(word)).ok())
}

/// Whether it calls another function.
fn is_call(it: &Instruction) -> bool {
    matches!(it.opcode, Opcode::BL | Opcode::BLR)
}

/// The number of a general register of 64 bits; the stack pointer's is 31.
fn register(operand: Operand) -> Option<u16> {
    match operand {
        Operand::Register(SizeCode::X, number) | Operand::RegisterOrSP(SizeCode::X, number) => {
            Some(number)
        }
        _ => None,
    }
}

/// A load or store of a register at a constant distance from what another one points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryAccess {
    is_load: bool,
    size: AccessSize,
    register: u16,
    base: u16,
    offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccessSize {
    Half,
    Whole,
}

/// What an instruction loads or stores, if it does no more than that.
fn access(it: &Instruction) -> Option<MemoryAccess> {
    let is_load = match it.opcode {
        Opcode::LDR | Opcode::LDUR => true,
        Opcode::STR | Opcode::STUR => false,
        _ => return None,
    };
    let Operand::Register(size, register) = it.operands[0] else {
        return None;
    };
    let Operand::RegPreIndex(base, offset, false) = it.operands[1] else {
        return None;
    };
    Some(MemoryAccess {
        is_load,
        size: match size {
            SizeCode::X => AccessSize::Whole,
            SizeCode::W => AccessSize::Half,
        },
        register,
        base,
        offset: u64::try_from(offset).ok()?,
    })
}

/// The registers that an instruction compares with each other.
fn compared(it: &Instruction) -> Option<[u16; 2]> {
    let is_compare =
        it.opcode == Opcode::SUBS && it.operands[0] == Operand::Register(SizeCode::X, 31);
    let Operand::RegShift(_, 0, SizeCode::X, second) = it.operands[2] else {
        return None;
    };
    let first = register(it.operands[1])?;
    is_compare.then_some([first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code of some words.
    pub(super) fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn probes_stand_behind_what_changes_nothing_and_before_what_signs() {
        let (bti_c, paciasp, stp) = (0xd503_245f, 0xd503_233f, 0xa9be_7bfd);
        assert_eq!(without_effect(&code(&[bti_c, stp])), 4);
        assert_eq!(without_effect(&code(&[paciasp, stp])), 0);
        assert_eq!(without_effect(&code(&[stp, stp])), 0);
        assert_eq!(without_effect(&code(&[bti_c])), 0);
    }

    #[test]
    fn fillers_are_no_functions() {
        let (udf, brk, nop) = (0, 0xd420_0000, 0xd503_201f);
        assert!(is_filler(&code(&[udf, udf])));
        assert!(is_filler(&code(&[udf, nop])));
        assert!(is_filler(&code(&[brk, nop])));
        assert!(!is_filler(&code(&[nop, udf])));
        assert_eq!(first_instruction_len(&code(&[nop])), Some(4));
        assert_eq!(first_instruction_len(&code(&[udf])), None);
        assert_eq!(first_instruction_len(&code(&[0xffff_ffff])), None);
        assert_eq!(first_instruction_len(&code(&[nop])[..3]), None);
    }
}
