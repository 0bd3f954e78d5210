//! Where `PyContext_CopyCurrent` has a new context in its hands, while the thread's own is still
//! the one that it was copied from: the store of what the copy shares with it (`ctx_vars`), which
//! each copying passes once. A probe goes on an instruction that the kernel emulates, a jump or a
//! call that each way to that store passes or each way from it; on the store only if there is none.

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::{CodeAt, follow};

/// Of a `PyContext`: `ctx_vars`, behind what every object begins with and the context that was
/// current before it (Include/internal/pycore_context.h).
const CONTEXT_VARS: u64 = 24;
/// Of the function, on either side of the store.
const AROUND_MAX: usize = 24;

/// Addresses of which each copying passes one, and the register that has the new context there, or
/// 0, by the processor's number.
#[must_use]
pub fn birth(code: CodeAt<'_>, function: u64) -> Option<(Vec<u64>, u64)> {
    let code = follow(code, function)?;
    let mut stores = code.iter().filter(|instruction| is_store(instruction));
    let store = *stores.next()?;
    if stores.next().is_some() {
        return None;
    }
    let at = code.iter().position(|it| it.ip() == store.ip())?;
    let (addresses, register) = cheap(&code, at, kept_in(&code, at))
        .or_else(|| Some((vec![store.ip()], store.memory_base())))?;
    Some((addresses, register.number() as u64))
}

/// `mov %x, 24(%y)` that is no store into a stack's frame.
fn is_store(instruction: &Instruction) -> bool {
    instruction.code() == Code::Mov_rm64_r64
        && instruction.op0_kind() == OpKind::Memory
        && instruction.memory_base().is_gpr64()
        && instruction.memory_base() != Register::RSP
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == CONTEXT_VARS
}

/// The register, of those that a call leaves alone, that has the new context: the store's own, or
/// the one that was given the same before.
fn kept_in(code: &[Instruction], at: usize) -> Option<Register> {
    let base = code[at].memory_base();
    if is_kept(base) {
        return Some(base);
    }
    let before = before(code, at);
    let copies = |it: &&Instruction| {
        matches!(it.code(), Code::Mov_rm64_r64 | Code::Mov_r64_rm64)
            && it.op0_kind() == OpKind::Register
            && it.op1_kind() == OpKind::Register
            && it.op1_register() == base
            && is_kept(it.op0_register())
    };
    let copy = before.iter().find(copies)?;
    let since = before.iter().take_while(|it| it.ip() != copy.ip());
    let is_same = since.clone().all(|it| {
        !writes(it, base) && !writes(it, copy.op0_register()) && it.mnemonic() != Mnemonic::Call
    });
    is_same.then(|| copy.op0_register())
}

fn is_kept(register: Register) -> bool {
    use Register::{R12, R13, R14, R15, RBP, RBX};
    [RBX, RBP, R12, R13, R14, R15].contains(&register)
}

/// Instructions that lead to the one at `at`, the nearest first, as far as nothing interrupts them.
fn before(code: &[Instruction], at: usize) -> Vec<Instruction> {
    let mut next = code[at].ip();
    let mut found = Vec::new();
    for instruction in code[..at].iter().rev().take(AROUND_MAX) {
        let ends = matches!(
            instruction.flow_control(),
            FlowControl::UnconditionalBranch
                | FlowControl::Return
                | FlowControl::IndirectBranch
                | FlowControl::Interrupt
        );
        if instruction.next_ip() != next || ends {
            break;
        }
        next = instruction.ip();
        found.push(*instruction);
    }
    found
}

/// Places that the kernel emulates and that each copying passes, with the context in `kept`.
fn cheap(code: &[Instruction], at: usize, kept: Option<Register>) -> Option<(Vec<u64>, Register)> {
    let kept = kept?;
    after(code, at, kept)
        .map(|place| vec![place])
        .or_else(|| on_the_way(code, at, kept))
        .map(|places| (places, kept))
}

/// The first one behind the store.
fn after(code: &[Instruction], at: usize, kept: Register) -> Option<u64> {
    let mut next = code[at].next_ip();
    for instruction in code[at + 1..].iter().take(AROUND_MAX) {
        if instruction.ip() != next || writes(instruction, kept) {
            return None;
        }
        if is_emulated(instruction) {
            return Some(instruction.ip());
        }
        next = instruction.next_ip();
    }
    None
}

/// Those that lead to it: the nearest one before it, and each jump that comes in behind that.
fn on_the_way(code: &[Instruction], at: usize, kept: Register) -> Option<Vec<u64>> {
    let before = before(code, at);
    let nearest = before.iter().position(is_emulated)?;
    let between = &before[..nearest];
    if between.iter().any(|it| writes(it, kept)) {
        return None;
    }
    let nearest = before[nearest];
    let range = nearest.next_ip()..=code[at].ip();
    let mut places = vec![nearest.ip()];
    for instruction in code {
        if instruction.op0_kind() == OpKind::NearBranch64
            && instruction.flow_control() != FlowControl::Call
            && range.contains(&instruction.near_branch_target())
            && instruction.ip() != nearest.ip()
        {
            if !is_emulated(instruction) {
                return None;
            }
            places.push(instruction.ip());
        }
    }
    Some(places)
}

/// What the kernel does not step over: near jumps and calls without prefixes
/// (`branch_setup_xol_ops`, arch/x86/kernel/uprobes.c).
fn is_emulated(instruction: &Instruction) -> bool {
    let len = match instruction.flow_control() {
        FlowControl::Call => [5, 5],
        FlowControl::UnconditionalBranch => [2, 5],
        FlowControl::ConditionalBranch => [2, 6],
        _ => return false,
    };
    instruction.op0_kind() == OpKind::NearBranch64 && len.contains(&instruction.len())
}

fn writes(instruction: &Instruction, register: Register) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(instruction).used_registers().iter();
    used.filter(|used| used.register().full_register() == register)
        .any(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
}
