//! What functions of Python's interpreter say of its structures: the offsets and addresses that
//! they load from. Each is taken from the one place in a function that can mean nothing else, or
//! not at all. Names are those of CPython's sources.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

mod birth;
#[cfg(test)]
mod tests;

pub use birth::birth;

use crate::arch::PythonState;

/// Offsets larger than this are none that a context or a thread's state has.
const OFFSET_MAX: u64 = 4096;
/// In `_PyRuntime`, which has the interpreters' beginnings in it, too.
const RUNTIME_LEN_MAX: u64 = 1 << 20;
/// Instructions that are looked at of a function, and of one that it calls.
const LOOKED_AT_MAX: usize = 48;
/// Instructions that are followed, along all branches.
const FOLLOWED_MAX: usize = 512;

/// Decodes straight on from an address; jumps are followed, calls are not.
fn straight(code: CodeAt<'_>, address: u64) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut next = Some(address);
    while let Some(at) = next.take() {
        let Some(bytes) = code(at) else { break };
        let mut decoder = Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE);
        while decoder.can_decode() && found.len() < LOOKED_AT_MAX {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return found;
            }
            found.push(instruction);
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::Call => {}
                FlowControl::UnconditionalBranch
                    if instruction.op0_kind() == OpKind::NearBranch64 =>
                {
                    next = Some(instruction.near_branch_target());
                    break;
                }
                _ => return found,
            }
        }
    }
    found
}

/// All instructions that can be reached from a function's beginning by jumps, in order of their
/// addresses; calls are not followed.
fn follow(code: CodeAt<'_>, function: u64) -> Option<Vec<Instruction>> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut begins = vec![function];
    while let Some(begin) = begins.pop() {
        let mut at = begin;
        'run: while !found.iter().any(|it| it.ip() == at) {
            let bytes = code(at)?;
            let mut decoder = Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                if found.iter().any(|it| it.ip() == instruction.ip()) {
                    break 'run;
                }
                // Cut off at the end of what was read.
                if instruction.is_invalid() {
                    if instruction.ip() == at {
                        return None;
                    }
                    at = instruction.ip();
                    continue 'run;
                }
                if found.len() == FOLLOWED_MAX {
                    return None;
                }
                found.push(instruction);
                let near = instruction.op0_kind() == OpKind::NearBranch64;
                match instruction.flow_control() {
                    FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {}
                    FlowControl::ConditionalBranch if near => {
                        begins.push(instruction.near_branch_target());
                    }
                    FlowControl::UnconditionalBranch if near => {
                        begins.push(instruction.near_branch_target());
                        break 'run;
                    }
                    _ => break 'run,
                }
            }
            at = decoder.ip();
        }
    }
    found.sort_by_key(Instruction::ip);
    Some(found)
}

/// Bytes of code from an address on, some hundred if there are as many.
pub type CodeAt<'a> = &'a dyn Fn(u64) -> Option<Vec<u8>>;

/// Where a thread has its state. What `PyGILState_GetThisThreadState` hands to the functions of
/// keys is `autoTSSkey`, a place of `_PyRuntime`, by the address of that or directly; compiled into
/// it, it loads the second half of that. Since 3.15 it returns a variable of the thread's own.
#[must_use]
pub fn state(code: CodeAt<'_>, function: u64, runtime: u64) -> Option<PythonState> {
    let instructions = straight(code, function);
    returned_variable(&instructions)
        .map(PythonState::ThreadLocal)
        .or_else(|| key(&instructions, runtime).map(PythonState::Keyed))
}

/// From a thread's `fs` base, the variable that a function returns which does nothing else.
fn returned_variable(instructions: &[Instruction]) -> Option<u64> {
    let does = |it: &&Instruction| it.mnemonic() != Mnemonic::Endbr64;
    let mut done = instructions.iter().filter(does);
    let (load, back) = (done.next()?, done.next()?);
    let is_it = load.code() == Code::Mov_r64_rm64
        && load.op0_register() == Register::RAX
        && load.segment_prefix() == Register::FS
        && load.memory_base() == Register::None
        && load.memory_index() == Register::None
        && back.flow_control() == FlowControl::Return;
    is_it.then(|| load.memory_displacement64())
}

fn key(instructions: &[Instruction], runtime: u64) -> Option<u64> {
    let mut loaded = Register::None;
    let mut key = None;
    for instruction in instructions {
        if instruction.mnemonic() == Mnemonic::Lea {
            let displacement = instruction.memory_displacement64();
            if instruction.is_ip_rel_memory_operand() {
                key = Some(displacement);
            } else if instruction.memory_base() == loaded
                && loaded != Register::None
                && instruction.memory_index() == Register::None
                && displacement < RUNTIME_LEN_MAX
            {
                key = Some(runtime.checked_add(displacement)?);
            }
        } else if instruction.is_ip_rel_memory_operand() {
            match instruction.code() {
                // From the table of global offsets, or the runtime itself.
                Code::Mov_r64_rm64 => loaded = instruction.op0_register(),
                Code::Mov_r32_rm32 => key = instruction.memory_displacement64().checked_sub(4),
                _ => {}
            }
        }
        // Where code stands at a certain address.
        if instruction.code() == Code::Mov_r32_imm32 && instruction.op0_register() == Register::EDI
        {
            key = Some(instruction.immediate32().into());
        }
        if key.is_some() {
            break;
        }
    }
    key.filter(|key| *key >= runtime && *key - runtime < RUNTIME_LEN_MAX)
}

/// Where a thread's state has its context: the first word that copying it loads and compares with
/// null, in its own code or in what it calls first.
#[must_use]
pub fn context_of_state(code: CodeAt<'_>, function: u64) -> Option<u64> {
    let instructions = straight(code, function);
    for (index, instruction) in instructions.iter().enumerate() {
        if let Some(offset) = tested(&instructions[index..], 64) {
            return Some(offset);
        }
        if instruction.flow_control() == FlowControl::Call
            && instruction.op0_kind() == OpKind::NearBranch64
        {
            let called = straight(code, instruction.near_branch_target());
            let found = (0..called.len()).find_map(|index| tested(&called[index..], 64));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// Where a context counts how often it is entered: the first 32 bits that entering one loads and
/// compares with null. Since 3.15 it is exchanged for 1, where compilers make a store of that in
/// between.
#[must_use]
pub fn entered(code: CodeAt<'_>, function: u64) -> Option<u64> {
    let mut instructions = straight(code, function);
    for index in (1..instructions.len()).rev() {
        if is_set_after(&instructions[index - 1], &instructions[index]) {
            instructions.remove(index);
        }
    }
    (0..instructions.len()).find_map(|index| tested(&instructions[index..], 32))
}

/// Whether the second of two instructions puts 1 where the first has loaded from.
fn is_set_after(load: &Instruction, store: &Instruction) -> bool {
    load.code() == Code::Mov_r32_rm32
        && store.code() == Code::Mov_rm32_imm32
        && store.op0_kind() == OpKind::Memory
        && load.op1_kind() == OpKind::Memory
        && store.immediate32() == 1
        && store.memory_base() == load.memory_base()
        && store.memory_index() == load.memory_index()
        && store.memory_displacement64() == load.memory_displacement64()
        && load.op0_register().full_register() != load.memory_base()
}

/// Addresses of the return instructions that can be reached from a function's beginning by jumps;
/// `None` if there are others than plain ones, or none.
#[must_use]
pub fn returns_by_jumps(code: CodeAt<'_>, function: u64) -> Option<Vec<u64>> {
    let found = follow(code, function)?;
    let is_return = |it: &&Instruction| it.flow_control() == FlowControl::Return;
    let returns: Vec<_> = found.iter().filter(is_return).collect();
    let are_plain = returns.iter().all(|it| it.code() == Code::Retnq);
    (are_plain && !returns.is_empty()).then(|| returns.iter().map(|it| it.ip()).collect())
}

/// The offset that the first of these instructions loads from, if the next one tests what it
/// loaded.
fn tested(instructions: &[Instruction], bits: u32) -> Option<u64> {
    let [load, test, ..] = instructions else {
        return None;
    };
    let is_load = match load.code() {
        Code::Mov_r64_rm64 => bits == 64,
        Code::Mov_r32_rm32 => bits == 32,
        _ => false,
    };
    let offset = load.memory_displacement64();
    let is_member = is_load
        && load.op1_kind() == OpKind::Memory
        && load.memory_base().is_gpr64()
        && load.memory_index() == Register::None
        && load.segment_prefix() == Register::None
        && (16..OFFSET_MAX).contains(&offset);
    let is_tested = test.mnemonic() == Mnemonic::Test
        && test.op0_kind() == OpKind::Register
        && test.op1_kind() == OpKind::Register
        && test.op0_register() == load.op0_register()
        && test.op1_register() == load.op0_register();
    (is_member && is_tested).then_some(offset)
}
