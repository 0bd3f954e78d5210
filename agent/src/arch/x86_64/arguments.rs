//! What a function does with its arguments, read off its first instructions (System V ABI: RDI,
//! RSI).

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use crate::arch::{Use, Value};

/// Instructions that are looked at.
const LOOKED_AT_MAX: usize = 64;

/// Where the first call in a function's code goes, if it is made with the function's own first two
/// arguments. The code lies at `address`.
#[must_use]
pub fn first_call(code: &[u8], address: u64) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        match instruction.flow_control() {
            FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                return Some(instruction.near_branch_target());
            }
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => return None,
        }
        let is_argument = instruction.op0_kind() == OpKind::Register
            && matches!(
                instruction.op0_register().full_register(),
                Register::RDI | Register::RSI
            );
        if instruction.is_invalid() || is_argument && !only_reads(&instruction) {
            return None;
        }
    }
    None
}

/// Shows what the function at an address does with its arguments, straight on; it follows one call
/// or jump elsewhere, and returns where that went. `code` reads what lies at an address.
pub fn uses_of_arguments(
    address: u64,
    code: impl Fn(u64) -> Option<Vec<u8>>,
    mut each: impl FnMut(Use),
) -> Option<u64> {
    let mut registers = Registers::at_entry();
    let mut called = None;
    let mut next = Some(address);
    while let Some(begin) = next.take() {
        let code = code(begin)?;
        let mut decoder = Decoder::with_ip(64, &code, begin, DecoderOptions::NONE);
        for _ in 0..LOOKED_AT_MAX {
            if !decoder.can_decode() {
                break;
            }
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return called;
            }
            registers.uses(&instruction, &mut each);
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::ConditionalBranch => registers.step(&instruction),
                FlowControl::Call | FlowControl::UnconditionalBranch
                    if called.is_none() && instruction.op0_kind() == OpKind::NearBranch64 =>
                {
                    next = Some(instruction.near_branch_target());
                    called = next;
                    break;
                }
                _ => return called,
            }
        }
    }
    called
}

fn only_reads(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Test | Mnemonic::Cmp | Mnemonic::Push
    )
}

/// What is known of the general registers.
struct Registers([Value; 16]);

impl Registers {
    fn at_entry() -> Self {
        let mut values = [Value::Unknown; 16];
        values[Register::RDI.number()] = Value::First;
        values[Register::RSI.number()] = Value::Second;
        Self(values)
    }

    fn uses(&self, instruction: &Instruction, each: &mut impl FnMut(Use)) {
        if let Some(word) = self.pointed_to(instruction) {
            each(Use::Word(word));
        }
        if instruction.memory_index() != Register::None && instruction.memory_index_scale() == 8 {
            let array = self.of(instruction.memory_base());
            each(Use::Element(array, instruction.memory_displacement64()));
        }
        let values = || (self.operand(instruction, 0), self.operand(instruction, 1));
        match instruction.mnemonic() {
            Mnemonic::Test if values().0 == values().1 => each(Use::Null(values().0)),
            Mnemonic::Sub => each(Use::Difference(values().0, values().1)),
            _ => {}
        }
    }

    fn step(&mut self, instruction: &Instruction) {
        let moved = match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => self.operand(instruction, 1),
            _ => Value::Unknown,
        };
        if instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().is_gpr()
            && !only_reads(instruction)
        {
            let register = instruction.op0_register().full_register();
            self.0[register.number()] = moved;
        }
    }

    /// What an operand is, if it is a register or a word in memory.
    fn operand(&self, instruction: &Instruction, index: u32) -> Value {
        match instruction.op_kind(index) {
            OpKind::Register => self.of(instruction.op_register(index)),
            OpKind::Memory => self.pointed_to(instruction).unwrap_or(Value::Unknown),
            _ => Value::Unknown,
        }
    }

    /// The word in memory that an instruction uses, if it is one of those that matter.
    fn pointed_to(&self, instruction: &Instruction) -> Option<Value> {
        let uses_memory =
            (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
        if !uses_memory
            || instruction.mnemonic() == Mnemonic::Lea
            || instruction.memory_index() != Register::None
        {
            return None;
        }
        let at = instruction.memory_displacement64();
        match self.of(instruction.memory_base()) {
            Value::First => Some(Value::OfFirst(at)),
            Value::OfFirst(0) => Some(Value::OfInner(at)),
            Value::Second => Some(Value::OfSecond(at)),
            _ => None,
        }
    }

    fn of(&self, register: Register) -> Value {
        if register.is_gpr64() {
            self.0[register.number()]
        } else {
            Value::Unknown
        }
    }
}
