//! Where functions of Go's runtime show the offsets of its structures (src/runtime/runtime2.go),
//! and where a probe in a prologue is cheap.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

/// Where the jump lies that follows the check of the stack's size, with which `code` begins. It is
/// taken before anything else has happened, and the kernel emulates it (kernel/uprobes.c,
/// `branch_setup_xol_ops`).
#[must_use]
pub fn jump_of_stack_check(code: &[u8]) -> Option<usize> {
    if !super::begins_with_stack_check(code) {
        return None;
    }
    let mut first = instructions(code).into_iter().take(3);
    let jump = first.find(|it| it.flow_control() != FlowControl::Next)?;
    let is_it = matches!(jump.code(), Code::Jbe_rel8_64 | Code::Jbe_rel32_64);
    is_it.then_some(jump.ip() as usize)
}

/// Whether a function, wherever it has what it deferred run (`call` by a register), takes its first
/// result from the same word of its stack right after that, and returns: so the result stands there
/// before what is deferred begins (cmd/compile/internal/ssagen/ssa.go, open-coded defers). The
/// return instructions that are left have nothing deferred, or had it run by the runtime in a
/// panic.
#[must_use]
pub fn keeps_result(code: &[u8]) -> bool {
    let code = instructions(code);
    let is_deferred_call =
        |it: &Instruction| it.code() == Code::Call_rm64 && it.op0_kind() == OpKind::Register;
    let mut calls = (0..code.len()).filter(|at| is_deferred_call(&code[*at]));
    let mut place = None;
    calls
        .try_fold(0, |count, call| {
            let load = code.get(call + 1)?;
            let offset = load.memory_displacement64();
            let is_load = loads(load, Register::RAX, Register::RSP);
            let is_same = *place.get_or_insert(offset) == offset;
            let mut rest = code[call + 1..].iter();
            let end = rest.find(|it| it.flow_control() != FlowControl::Next)?;
            let returns = end.flow_control() == FlowControl::Return;
            (is_load && is_same && returns).then_some(count + 1)
        })
        .is_some_and(|count| count > 0)
}

/// `g.m` and `m.curg`, as `runtime.systemstack` uses them: it compares the goroutine with those of
/// its thread, last with the one that the thread runs, and fetches that again behind its call
/// (src/runtime/asm_amd64.s).
#[must_use]
pub fn offsets_in_systemstack(code: &[u8]) -> Option<(u64, u64)> {
    let code = instructions(code);
    let call = call_in(&code)?;
    let m = code
        .iter()
        .find(|it| loads(it, Register::RBX, Register::RAX))?;
    let compares = |it: &&Instruction| {
        matches!(it.code(), Code::Cmp_r64_rm64 | Code::Cmp_rm64_r64)
            && [it.op0_kind(), it.op1_kind()].contains(&OpKind::Memory)
            && it.memory_base() == Register::RBX
            && [it.op0_register(), it.op1_register()].contains(&Register::RAX)
    };
    let curg = code[..call].iter().rfind(compares)?.memory_displacement64();
    let is_curg = |it: &Instruction| {
        loads(it, Register::RAX, Register::RBX) && it.memory_displacement64() == curg
    };
    let is_fetched = code[call..].iter().any(is_curg);
    let m = m.memory_displacement64();
    (is_fetched && is_offset(m) && is_offset(curg)).then_some((m, curg))
}

/// `g.startpc`, as `runtime.isSystemGoroutine` uses it: the last that it reads of its argument
/// before its first call, to which it gives it (src/runtime/traceback.go).
#[must_use]
pub fn offset_in_is_system_goroutine(code: &[u8]) -> Option<u64> {
    let code = instructions(code);
    let load = code[..call_in(&code)?].last()?;
    let offset = load.memory_displacement64();
    (loads(load, Register::RAX, Register::RAX) && is_offset(offset)).then_some(offset)
}

/// Where a stream of gRPC has its number, as what writes a message copies it to the beginning of
/// the frame that it has just made (google.golang.org/grpc/internal/transport, `http2Client.write`,
/// `http2Server.write`: `dataFrame.streamID`).
#[must_use]
pub fn offset_of_stream_number(code: &[u8]) -> Option<u64> {
    let code = instructions(code);
    let mut pairs = code.iter().zip(code.iter().skip(1));
    let (load, _) = pairs.find(|(load, store)| {
        load.code() == Code::Mov_r32_rm32
            && load.op1_kind() == OpKind::Memory
            && load.memory_index() == Register::None
            && store.code() == Code::Mov_rm32_r32
            && store.op0_kind() == OpKind::Memory
            && store.memory_base() == Register::RAX
            && store.memory_index() == Register::None
            && store.memory_displacement64() == 0
            && store.op1_register() == load.op0_register()
    })?;
    let offset = load.memory_displacement64();
    let is_plausible = offset.is_multiple_of(4) && offset < OFFSETS_END;
    (is_plausible && load.memory_base().is_gpr64()).then_some(offset)
}

fn loads(it: &Instruction, to: Register, from: Register) -> bool {
    it.code() == Code::Mov_r64_rm64
        && it.op0_register() == to
        && it.op1_kind() == OpKind::Memory
        && it.memory_base() == from
        && it.memory_index() == Register::None
}

fn call_in(code: &[Instruction]) -> Option<usize> {
    code.iter()
        .position(|it| it.flow_control() == FlowControl::Call)
}

/// Whether it can be one of a word in a structure of Go's runtime, the largest of which has a few
/// kilobytes.
fn is_offset(offset: u64) -> bool {
    offset != 0 && offset.is_multiple_of(8) && offset < OFFSETS_END
}

const OFFSETS_END: u64 = 2048;

/// The last one may be cut. Those that do nothing, with which Go keeps jumps and calls from
/// crossing a boundary (src/cmd/internal/obj/x86/asm6.go), are left out.
fn instructions(code: &[u8]) -> Vec<Instruction> {
    let decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let does_something = |it: &Instruction| it.mnemonic() != Mnemonic::Nop;
    decoder.into_iter().filter(does_something).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_kept_where_all_that_is_deferred_leaves_it_in_one_place() {
        // call *%rax; mov 0x20(%rsp),%rax; add $0x58,%rsp; pop %rbp; ret
        let end: &[u8] = b"\xff\xd0\x48\x8b\x44\x24\x20\x48\x83\xc4\x58\x5d\xc3";
        let other: &[u8] = b"\xff\xd0\x48\x8b\x44\x24\x28\x48\x83\xc4\x58\x5d\xc3";
        // xor %eax,%eax; ret
        let early: &[u8] = b"\x31\xc0\xc3";
        assert!(keeps_result(&[early, end, end].concat()));
        assert!(!keeps_result(&[end, other].concat()), "in two places");
        assert!(!keeps_result(early), "nothing is deferred");
        // Two things are deferred: the first leaves no result behind.
        assert!(!keeps_result(&[&end[..2], end].concat()));
        // jmp behind the load
        assert!(!keeps_result(&[&end[..7], b"\xeb\x00", end].concat()));
    }

    #[test]
    fn the_jump_of_either_check_is_found() {
        // cmp 16(%r14),%rsp; jbe. Of larger frames: lea -0x2b0(%rsp),%r12; cmp 16(%r14),%r12; jbe.
        let small = b"\x49\x3b\x66\x10\x76\x20\x55\x48\x89\xe5\x90\x90";
        let large = b"\x4c\x8d\xa4\x24\x50\xfd\xff\xff\x4d\x3b\x66\x10\x0f\x86\xc3\x0e\0\0\x55\x90";
        assert_eq!(jump_of_stack_check(small), Some(4));
        assert_eq!(jump_of_stack_check(large), Some(12));
        let none = b"\x49\x3b\x66\x10\x77\x20\x55\x48\x89\xe5\x90\x90";
        assert_eq!(jump_of_stack_check(none), None);
        assert_eq!(jump_of_stack_check(&none[4..]), None);
    }

    #[test]
    fn offsets_are_read_where_both_places_agree() {
        // mov %fs:-8,%rax; mov 0x30(%rax),%rbx; cmp 0x50(%rbx),%rax; je; mov (%rbx),%rdx;
        // cmp %rdx,%rax; je; cmp 0xc0(%rbx),%rax; jne; call; call *%rdi; mov 0xc0(%rbx),%rax
        let code = b"\x64\x48\x8b\x04\x25\xf8\xff\xff\xff\x48\x8b\x58\x30\x48\x3b\x43\x50\x74\x40\
                     \x48\x8b\x13\x48\x39\xd0\x74\x40\x48\x3b\x83\xc0\0\0\0\x75\x40\xe8\0\0\0\0\
                     \xff\xd7\x48\x8b\x83\xc0\0\0\0\xc3";
        assert_eq!(offsets_in_systemstack(code), Some((0x30, 0xc0)));
        let mut other = code.to_vec();
        let behind = other.len() - 5;
        other[behind] = 0xc8;
        assert_eq!(offsets_in_systemstack(&other), None);
        for len in 0..code.len() - 1 {
            assert_eq!(offsets_in_systemstack(&code[..len]), None, "{len}");
        }
    }

    #[test]
    fn the_number_of_a_stream_is_what_is_copied_into_a_new_frame() {
        // call; mov 0xa0(%rsp),%rdx; mov 0x6c(%rdx),%esi; mov %esi,(%rax)
        let code = b"\xe8\0\0\0\0\x48\x8b\x94\x24\xa0\0\0\0\x8b\x72\x6c\x89\x30";
        assert_eq!(offset_of_stream_number(code), Some(0x6c));
        // The first word: mov (%rcx),%edx; mov %edx,(%rax)
        assert_eq!(offset_of_stream_number(b"\x8b\x11\x89\x10"), Some(0));
        // Another register is stored, or behind the beginning.
        assert_eq!(offset_of_stream_number(b"\x8b\x72\x6c\x89\x10"), None);
        assert_eq!(offset_of_stream_number(b"\x8b\x72\x6c\x89\x70\x04"), None);
        assert_eq!(offset_of_stream_number(&code[..code.len() - 1]), None);
    }

    #[test]
    fn what_a_goroutine_began_with_is_read_right_before_it_is_looked_up() {
        // mov %bl,0x28(%rsp); mov 0x138(%rax),%rax; call
        let code = b"\x88\x5c\x24\x28\x48\x8b\x80\x38\x01\0\0\xe8\0\0\0\0";
        assert_eq!(offset_in_is_system_goroutine(code), Some(0x138));
        // As Go 1.21 to 1.26 have it, with a nopl (%rax) before the call.
        let padded = b"\x88\x5c\x24\x28\x48\x8b\x80\x28\x01\0\0\x0f\x1f\0\xe8\0\0\0\0";
        assert_eq!(offset_in_is_system_goroutine(padded), Some(0x128));
        assert_eq!(offset_in_is_system_goroutine(&code[..11]), None);
        assert_eq!(offset_in_is_system_goroutine(&code[11..]), None);
    }
}
