//! What functions of tokio say of its structures, and where probes on them stand cheaply: on jumps,
//! which the kernel emulates. A place counts only if the instructions on the way to it do what is
//! written here and nothing else. Names are those of tokio's sources.

use std::collections::{HashMap, HashSet};

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

pub use crate::arch::{Binding, Putting};

/// Instructions that are looked at of a function.
const INSTRUCTIONS_MAX: usize = 1 << 20;
/// Offsets larger than this are none that tokio's structures have.
const OFFSET_MAX: u64 = 512;

/// What is known of a register's value, apart from being the same as another one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// This number.
    Constant(i64),
    /// So many bytes from where the thread's own memory ends.
    OfThread(i64),
    /// The word that lies so many bytes behind this value.
    Word(u32, u64),
}

/// Values of registers while instructions are gone through in order. What two ways lead to is not
/// known.
struct RegisterValues {
    of: HashMap<Register, u32>,
    known: Vec<Known>,
}

impl RegisterValues {
    fn new() -> Self {
        Self {
            of: HashMap::new(),
            known: Vec::new(),
        }
    }

    fn get(&mut self, register: Register) -> u32 {
        let register = register.full_register();
        let next = self.known.len() as u32;
        let value = *self.of.entry(register).or_insert(next);
        if value == next {
            self.known.push(Known::Nothing);
        }
        value
    }

    fn known(&mut self, register: Register) -> Known {
        let value = self.get(register);
        self.known[value as usize]
    }

    fn set(&mut self, register: Register, known: Known) {
        self.of
            .insert(register.full_register(), self.known.len() as u32);
        self.known.push(known);
    }

    /// Everything that an instruction writes to is something new, but for what it is known to do.
    fn pass(&mut self, it: &Instruction, factory: &mut InstructionInfoFactory) {
        let known = self.result(it);
        let copied = (it.code() == Code::Mov_r64_rm64 || it.code() == Code::Mov_rm64_r64)
            && [it.op0_kind(), it.op1_kind()] == [OpKind::Register; 2];
        if copied {
            let value = self.get(it.op1_register());
            self.of.insert(it.op0_register().full_register(), value);
            return;
        }
        let is_call = matches!(
            it.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        );
        if is_call {
            for register in LOST_BY_CALLS {
                self.set(register, Known::Nothing);
            }
        }
        for used in factory.info(it).used_registers() {
            let writes = !matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
            if writes && used.register().is_gpr() {
                self.set(used.register(), Known::Nothing);
            }
        }
        if let Some(known) = known {
            self.set(it.op0_register(), known);
        }
    }

    /// What is known of the register that an instruction writes to.
    fn result(&mut self, it: &Instruction) -> Option<Known> {
        let base = it.memory_base();
        let offset = it.memory_displacement64();
        let has_base_only = base.is_gpr64() && it.memory_index() == Register::None;
        match it.code() {
            Code::Mov_r64_rm64 if it.op1_kind() == OpKind::Memory => {
                let of_thread = it.segment_prefix() == Register::FS;
                if of_thread && base == Register::None && it.memory_index() == Register::None {
                    // The thread's own memory begins with its own address.
                    return (offset == 0).then_some(Known::OfThread(0));
                }
                if !has_base_only || of_thread || offset > OFFSET_MAX {
                    return None;
                }
                Some(Known::Word(self.get(base), offset))
            }
            Code::Mov_rm64_imm32 | Code::Mov_r64_imm64 if it.op0_kind() == OpKind::Register => {
                Some(Known::Constant(it.immediate(1) as i64))
            }
            Code::Lea_r64_m if has_base_only => match self.known(base) {
                Known::OfThread(from) => Some(Known::OfThread(from.wrapping_add(offset as i64))),
                _ => None,
            },
            _ => None,
        }
    }

    /// A register with this value that functions keep for who calls them, by number.
    fn kept(&self, value: u32) -> Option<u8> {
        let has = |register: &&(Register, u8)| self.of.get(&register.0) == Some(&value);
        KEPT.iter().find(has).map(|(_, number)| *number)
    }
}

const LOST_BY_CALLS: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];
const KEPT: [(Register, u8); 6] = [
    (Register::RBX, 3),
    (Register::RBP, 5),
    (Register::R12, 12),
    (Register::R13, 13),
    (Register::R14, 14),
    (Register::R15, 15),
];

/// Where a thread has the id of the task that it runs, from where its own memory ends (x86-64's
/// variant II: before that): the only word of it that a function writes which sets that id
/// (`TaskIdGuard::drop` and others).
#[must_use]
pub fn current_task_id(code: &[u8], address: u64) -> Option<i64> {
    let mut places = HashSet::new();
    // A slow path saves the register and puts it back.
    walk(code, address, Meet::Before, |values, it| {
        if it.code() != Code::Mov_rm64_r64 || it.op0_kind() != OpKind::Memory {
            return;
        }
        let (base, offset) = (it.memory_base(), it.memory_displacement64() as i64);
        if it.memory_index() != Register::None {
            return;
        }
        let is_of_thread = it.segment_prefix() == Register::FS;
        let known = match base.is_gpr64() {
            true => values.known(base),
            false => Known::Constant(0),
        };
        match known {
            Known::Constant(from) if is_of_thread => places.insert(from.wrapping_add(offset)),
            Known::OfThread(from) if !is_of_thread => places.insert(from.wrapping_add(offset)),
            _ => false,
        };
    });
    let mut places = places.into_iter();
    let place = places.next()?;
    let is_it = places.next().is_none() && place < 0 && place % 8 == 0;
    is_it.then_some(place)
}

/// Where a function binds new tasks: it notes the owner in a header and then looks by the header's
/// table of functions where the id is, which says on which list the task goes.
#[must_use]
pub fn bindings(code: &[u8], address: u64) -> Vec<Binding> {
    let mut found = Vec::new();
    // The header whose owner was noted, where, and once its id was looked up, by which offsets.
    let mut owned: Option<(u32, u64)> = None;
    let mut bound: Option<(u32, u64, u64)> = None;
    walk(code, address, Meet::Nothing, |values, it| {
        if it.flow_control() != FlowControl::Next {
            if let Some((header, vtable, id)) = bound.take()
                && it.flow_control() == FlowControl::ConditionalBranch
                && let Some(number) = values.kept(header)
            {
                found.push(Binding {
                    jump: it.ip(),
                    header: number,
                    vtable,
                    id,
                });
            }
            owned = None;
            return;
        }
        let has_memory = (0..it.op_count()).any(|op| it.op_kind(op) == OpKind::Memory);
        if !has_memory || !it.memory_base().is_gpr64() {
            return;
        }
        let base = values.get(it.memory_base());
        if it.memory_index() == Register::None {
            if it.code() == Code::Mov_rm64_r64 && it.op0_kind() == OpKind::Memory {
                owned = Some((base, it.memory_displacement64()));
            }
            return;
        }
        if it.memory_index_scale() != 1 || it.memory_displacement64() != 0 {
            return;
        }
        let index = values.get(it.memory_index());
        for (header, offset) in [(base, index), (index, base)] {
            if let Known::Word(table, id) = values.known[offset as usize]
                // Of the same header, though it may be in another register since two ways met.
                && let Known::Word(_, vtable) = values.known[table as usize]
                // Behind the address of the table (tokio/src/runtime/task/core.rs, `Header`).
                && owned == Some((header, vtable + 8))
            {
                bound = Some((header, vtable, id));
            }
        }
    });
    found
}

/// Where a function takes the next place of a channel.
#[must_use]
pub fn putting(code: &[u8], address: u64) -> Option<Putting> {
    let mut found = None;
    let mut taken: Option<u32> = None;
    let mut channel = None;
    let mut is_straight = true;
    walk(code, address, Meet::Nothing, |values, it| {
        let channel = *channel.get_or_insert_with(|| values.get(Register::RDI));
        if !is_straight {
            return;
        }
        match it.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch if taken.is_some() => {
                let slot = taken.and_then(|slot| values.kept(slot));
                let is_in_place = values.get(Register::RDI) == channel;
                found = slot.filter(|_| is_in_place).map(|slot| Putting {
                    jump: it.ip(),
                    slot,
                });
                is_straight = false;
            }
            _ => is_straight = false,
        }
        let takes = it.mnemonic() == Mnemonic::Xadd
            && it.has_lock_prefix()
            && it.code() == Code::Xadd_rm64_r64
            && it.op0_kind() == OpKind::Memory
            && it.memory_index() == Register::None
            && it.memory_displacement64() == 8
            && it.memory_base() == Register::RDI
            && values.get(Register::RDI) == channel;
        if takes {
            // The value that it writes is the next one; it is seen after this instruction.
            taken = Some(values.known.len() as u32);
        }
    });
    found
}

/// Whether code begins as that does which looks up where an id is, `id` bytes behind the table's
/// address: a register is replaced by a word behind it, and then added to another one. It is cheap,
/// and says little.
#[must_use]
pub fn may_bind(code: &[u8], id: u64) -> bool {
    // REX.W 8b /r with eight bits of displacement, base and destination the same; then an operand
    // with an index that is not multiplied.
    let [rex, 0x8b, modrm, offset, next, _, other, sib, ..] = code else {
        return false;
    };
    rex & 0xfa == 0x48
        && rex >> 2 & 1 == rex & 1
        && u64::from(*offset) == id
        && modrm >> 6 == 1
        && modrm >> 3 & 7 == modrm & 7
        && next & 0xf8 == 0x48
        && other & 0x87 == 4
        && sib >> 6 == 0
}

/// Whether a function calls one of these.
#[must_use]
pub fn calls(code: &[u8], address: u64, functions: &[u64]) -> bool {
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut code = decoder.into_iter().take(INSTRUCTIONS_MAX);
    code.any(|it| {
        it.flow_control() == FlowControl::Call && functions.contains(&it.near_branch_target())
    })
}

/// What is known where several ways meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meet {
    /// What was known along the first of them in the order of the code.
    Before,
    /// Nothing.
    Nothing,
}

/// Goes through a function in the order of its addresses.
fn walk(
    code: &[u8],
    address: u64,
    meet: Meet,
    mut each: impl FnMut(&mut RegisterValues, &Instruction),
) {
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let code: Vec<_> = decoder.into_iter().take(INSTRUCTIONS_MAX).collect();
    let targets: HashSet<u64> = code
        .iter()
        .filter(|it| it.op_count() > 0 && it.op0_kind() == OpKind::NearBranch64)
        .filter(|it| it.flow_control() != FlowControl::Call)
        .map(Instruction::near_branch_target)
        .collect();
    let mut factory = InstructionInfoFactory::new();
    let mut values = RegisterValues::new();
    // Along jumps that lead on, by where to.
    let mut along: HashMap<u64, HashMap<Register, u32>> = HashMap::new();
    let mut goes_on = true;
    for it in &code {
        // The last one may be cut.
        if it.is_invalid() {
            return;
        }
        match along.remove(&it.ip()) {
            Some(along) if meet == Meet::Before && !goes_on => values.of = along,
            _ if meet == Meet::Nothing && targets.contains(&it.ip()) => values.of.clear(),
            _ => {}
        }
        each(&mut values, it);
        values.pass(it, &mut factory);
        goes_on = !matches!(
            it.flow_control(),
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::Exception
        );
        if meet == Meet::Before && it.flow_control() == FlowControl::ConditionalBranch {
            let of = || values.of.clone();
            along.entry(it.near_branch_target()).or_insert_with(of);
        }
    }
}
