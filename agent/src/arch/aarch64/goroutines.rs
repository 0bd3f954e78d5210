//! Where functions of Go's runtime show the offsets of its structures (src/runtime/runtime2.go),
//! and where a probe in a prologue is cheap. The goroutine is in R28 (X28).

use yaxpeax_arm::armv8::a64::{Instruction, Opcode, Operand};

use super::{
    AccessSize, INSTRUCTION_LEN, MemoryAccess, access, compared, decoded, is_call, register,
};

const GOROUTINE: u16 = 28;
const STACK_POINTER: u16 = 31;
/// Where a goroutine has the end of its stack (`g.stackguard0`).
const STACK_GUARD: u64 = 16;
/// The condition `ls`: lower, or the same.
const LOWER_OR_SAME: u8 = 9;

/// Whether code of [`super::STACK_CHECK_LEN`] begins as a Go function with arguments in registers
/// does: `ldr x16, [x28, #16]; cmp sp, x16`, or for larger frames `ldr x16, [x28, #16]; sub x17,
/// sp, #n; cmp x17, x16` (`cmd/internal/obj/arm64/obj7.go`, `stacksplit`).
#[must_use]
pub fn begins_with_stack_check(head: &[u8]) -> bool {
    check(&instructions(head)).is_some()
}

/// Where the jump lies that follows the check of the stack's size, with which `code` begins. It is
/// taken before anything else has happened, and the kernel emulates it (`simulate_b_cond`,
/// kernel/probes/simulate-insn.c).
#[must_use]
pub fn jump_of_stack_check(code: &[u8]) -> Option<usize> {
    let code = instructions(code);
    let at = check(&code)?;
    let is_it = code.get(at)?.opcode == Opcode::Bcc(LOWER_OR_SAME);
    is_it.then_some(at * INSTRUCTION_LEN)
}

/// How many instructions the check of the stack's size takes, up to its jump.
fn check(code: &[Instruction]) -> Option<usize> {
    let guard = access(code.first()?).filter(|it| is_word_of(it, GOROUTINE, STACK_GUARD))?;
    let mut stack = STACK_POINTER;
    for (at, it) in code.iter().enumerate().skip(1).take(2) {
        if compared(it) == Some([stack, guard.register]) {
            return Some(at + 1);
        }
        let is_end_of_frame = it.opcode == Opcode::SUB
            && register(it.operands[1]) == Some(STACK_POINTER)
            && matches!(
                it.operands[2],
                Operand::Immediate(_) | Operand::ImmShift(..)
            );
        stack = register(it.operands[0]).filter(|_| is_end_of_frame)?;
    }
    None
}

/// Whether the first result of a function is found where what it deferred begins. Nobody looks
/// there: a probe on a return instruction costs no more here.
#[must_use]
pub fn keeps_result(_: &[u8]) -> bool {
    false
}

/// `g.m` and `m.curg`, as `runtime.systemstack` uses them: it compares the goroutine with those of
/// its thread, last with the one that the thread runs, and fetches that again behind its call
/// (src/runtime/asm_arm64.s).
#[must_use]
pub fn offsets_in_systemstack(code: &[u8]) -> Option<(u64, u64)> {
    let code = instructions(code);
    let call = code.iter().position(is_call)?;
    let (before, behind) = code.split_at(call);
    let m = loads(before).find(|it| it.base == GOROUTINE)?;
    let curg = before.windows(2).rev().find_map(|pair| {
        let loaded = access(&pair[0]).filter(|it| is_load_from(it, m.register))?;
        let compared = compared(&pair[1])?;
        let is_own = compared.contains(&GOROUTINE) && compared.contains(&loaded.register);
        is_own.then_some(loaded.offset)
    })?;
    let is_fetched = loads(behind).any(|it| it.register == GOROUTINE && it.offset == curg);
    (is_fetched && is_offset(m.offset) && is_offset(curg)).then_some((m.offset, curg))
}

/// `g.startpc`, as `runtime.isSystemGoroutine` uses it: the last that it reads of its argument
/// before its first call, to which it gives it (src/runtime/traceback.go).
#[must_use]
pub fn offset_in_is_system_goroutine(code: &[u8]) -> Option<u64> {
    let code = instructions(code);
    let call = code.iter().position(is_call)?;
    let load = access(code[..call].last()?)?;
    let is_it = is_load_from(&load, 0) && load.register == 0 && is_offset(load.offset);
    is_it.then_some(load.offset)
}

/// Where a stream of gRPC has its number, as what writes a message copies it to the beginning of
/// the frame that it has just made (google.golang.org/grpc/internal/transport, `http2Client.write`,
/// `http2Server.write`: `dataFrame.streamID`).
#[must_use]
pub fn offset_of_stream_number(code: &[u8]) -> Option<u64> {
    let code = instructions(code);
    let offset = code.windows(2).find_map(|pair| {
        let (load, store) = (access(&pair[0])?, access(&pair[1])?);
        let is_copied = load.is_load
            && load.size == AccessSize::Half
            && load.base != STACK_POINTER
            && store
                == MemoryAccess {
                    is_load: false,
                    size: AccessSize::Half,
                    register: load.register,
                    base: 0,
                    offset: 0,
                };
        is_copied.then_some(load.offset)
    })?;
    let is_plausible = offset.is_multiple_of(4) && offset < OFFSETS_END;
    is_plausible.then_some(offset)
}

fn loads(code: &[Instruction]) -> impl Iterator<Item = MemoryAccess> {
    let whole = |it: &MemoryAccess| it.is_load && it.size == AccessSize::Whole;
    code.iter().filter_map(access).filter(whole)
}

fn is_load_from(it: &MemoryAccess, base: u16) -> bool {
    it.is_load && it.size == AccessSize::Whole && it.base == base
}

fn is_word_of(it: &MemoryAccess, base: u16, offset: u64) -> bool {
    is_load_from(it, base) && it.offset == offset
}

/// Whether it can be one of a word in a structure of Go's runtime, the largest of which has a few
/// kilobytes.
fn is_offset(offset: u64) -> bool {
    offset != 0 && offset.is_multiple_of(8) && offset < OFFSETS_END
}

const OFFSETS_END: u64 = 2048;

/// As far as they are known ones; the last one may be cut.
fn instructions(code: &[u8]) -> Vec<Instruction> {
    decoded(code).map_while(|it| it).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::code;
    use super::*;

    /// `ldr x16, [x28, #16]`
    const GUARD: u32 = 0xf940_0b90;
    /// `b.ls`, far ahead
    const JUMP: u32 = 0x5400_0989;

    #[test]
    fn the_jump_of_either_check_is_found() {
        let (cmp_sp, sub, cmp_x17, str_x30) = (0xeb30_63ff, 0xd104_03f1, 0xeb10_023f, 0xf81e_0ffe);
        let small = code(&[GUARD, cmp_sp, JUMP, str_x30]);
        let large = code(&[GUARD, sub, cmp_x17, JUMP, str_x30]);
        assert_eq!(jump_of_stack_check(&small), Some(8));
        assert_eq!(jump_of_stack_check(&large), Some(12));
        assert!(begins_with_stack_check(&small[..12]));
        assert!(begins_with_stack_check(&large[..12]));
        // Another register, another jump, none.
        for other in [
            [GUARD, 0xeb31_63ff, JUMP, str_x30],
            [GUARD, cmp_sp, 0x5400_0981, str_x30],
            [0xf940_0b70, cmp_sp, JUMP, str_x30],
            [str_x30, GUARD, cmp_sp, JUMP],
        ] {
            assert_eq!(jump_of_stack_check(&code(&other)), None);
        }
        assert_eq!(jump_of_stack_check(&small[..8]), None);
    }

    #[test]
    fn offsets_are_read_where_both_places_agree() {
        // As Go 1.19 has it, without what lies between: ldr x4, [x28, #48]; ldr x5, [x4, #80];
        // cmp x5, x28; b.eq; ldr x6, [x4, #192]; cmp x6, x28; b.eq; bl; ldr x3, [x28, #48];
        // ldr x28, [x3, #192]; ret
        let words = [
            0xf940_1b84,
            0xf940_2885,
            0xeb1c_00bf,
            0x5400_0040,
            0xf940_6086,
            0xeb1c_00df,
            0x5400_0040,
            0x9400_0000,
            0xf940_1b83,
            0xf940_607c,
            0xd65f_03c0,
        ];
        assert_eq!(offsets_in_systemstack(&code(&words)), Some((48, 192)));
        let mut other = words;
        other[9] = 0xf940_647c;
        assert_eq!(offsets_in_systemstack(&code(&other)), None);
        for len in 0..words.len() - 1 {
            assert_eq!(offsets_in_systemstack(&code(&words[..len])), None, "{len}");
        }
    }

    #[test]
    fn the_number_of_a_stream_is_what_is_copied_into_a_new_frame() {
        // bl; ldr x1, [sp, #160]; ldr w2, [x1, #108]; str w2, [x0]
        let words = [0x9400_0000, 0xf940_53e1, 0xb940_6c22, 0xb900_0002];
        assert_eq!(offset_of_stream_number(&code(&words)), Some(108));
        // Another register is stored, or behind the beginning.
        let other = |store| offset_of_stream_number(&code(&[words[2], store]));
        assert_eq!(other(0xb900_0003), None);
        assert_eq!(other(0xb900_0402), None);
        assert_eq!(offset_of_stream_number(&code(&words[..3])), None);
    }

    #[test]
    fn what_a_goroutine_began_with_is_read_right_before_it_is_looked_up() {
        // strb w1, [sp, #48]; ldr x0, [x0, #312]; bl
        let words = [0x3900_c3e1, 0xf940_9c00, 0x9400_0000];
        assert_eq!(offset_in_is_system_goroutine(&code(&words)), Some(312));
        assert_eq!(offset_in_is_system_goroutine(&code(&words[..2])), None);
        assert_eq!(offset_in_is_system_goroutine(&code(&words[2..])), None);
    }
}
