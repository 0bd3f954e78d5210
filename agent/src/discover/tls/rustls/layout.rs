//! What rustls's functions are given, read off their code. Rust promises no layout, and an
//! optimiser may hand over what a pointer points to in place of the pointer; so the first
//! instructions of a function have to show that they use their arguments as is believed, or it is
//! refused.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use super::super::image::Image;

/// How a function that takes from a `ChunkVecBuffer` is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Buffer {
    /// RDI points to it.
    Direct,
    /// RDI points to a `Reader`, whose first word points to it.
    ByReader,
}

/// What [`takes_from`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub buffer: Buffer,
    /// The function that was called or jumped to before anything was done, if any.
    pub by: Option<u64>,
}

/// Instructions that are looked at.
const LOOKED_AT_MAX: usize = 64;
/// Bytes of code that are read at a time.
const CODE_LEN: u64 = 512;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Unknown,
    /// What RDI was at the entry.
    First,
    /// What RSI was.
    Second,
    /// The word that lies so many bytes behind what `First` points to.
    OfFirst(u64),
    /// The same behind what that word 0 points to.
    OfInner(u64),
    /// The same behind `Second`.
    OfSecond(u64),
}

/// Whether the function at an address takes `OutboundChunks` by RSI: it has to compare word 0 with
/// null and to compute a length as the difference of word 3 and word 2.
pub(super) fn takes_chunks(image: &Image<'_>, address: u64) -> bool {
    let mut is_tested = false;
    let mut is_subtracted = false;
    let mut walk = Walk::default();
    walk.over(image, address, |before, instruction| {
        let value = |operand| before.operand(instruction, operand);
        is_tested |= instruction.mnemonic() == Mnemonic::Test
            && value(0) == Value::OfSecond(0)
            && value(1) == Value::OfSecond(0);
        is_subtracted |= instruction.mnemonic() == Mnemonic::Sub
            && value(0) == Value::OfSecond(24)
            && value(1) == Value::OfSecond(16);
    });
    is_tested && is_subtracted
}

/// How the function at an address is given a `ChunkVecBuffer`, if it uses it as one: it has to read
/// the length of a chunk, word 2 of 3, in the ring that word 3 points to, and words 4 and 6.
pub(super) fn takes_from(image: &Image<'_>, address: u64) -> Option<Taken> {
    let mut is_indexed = [false; 2];
    let mut walk = Walk::default();
    let mut read = Vec::new();
    walk.over(image, address, |before, instruction| {
        if let Some(value) = before.pointed_to(instruction) {
            read.push(value);
        }
        let is_chunk_len = instruction.memory_index() != Register::None
            && instruction.memory_index_scale() == 8
            && instruction.memory_displacement64() == 16;
        if is_chunk_len {
            let ring = before.of(instruction.memory_base());
            is_indexed[0] |= ring == Value::OfFirst(24);
            is_indexed[1] |= ring == Value::OfInner(24);
        }
    });
    let reads = |of: fn(u64) -> Value| [24, 32, 48].iter().all(|at| read.contains(&of(*at)));
    let buffer = if is_indexed[0] && reads(Value::OfFirst) {
        Buffer::Direct
    } else if is_indexed[1] && reads(Value::OfInner) {
        Buffer::ByReader
    } else {
        return None;
    };
    Some(Taken {
        buffer,
        by: walk.by,
    })
}

/// Goes through a function's first instructions, straight on, and keeps what registers hold. It
/// follows one call or jump elsewhere.
struct Walk {
    values: [Value; 16],
    by: Option<u64>,
}

impl Default for Walk {
    fn default() -> Self {
        let mut values = [Value::Unknown; 16];
        values[Register::RDI.number()] = Value::First;
        values[Register::RSI.number()] = Value::Second;
        Self { values, by: None }
    }
}

impl Walk {
    fn over(&mut self, image: &Image<'_>, address: u64, mut each: impl FnMut(&Self, &Instruction)) {
        let mut next = Some(address);
        while let Some(begin) = next.take() {
            let Some(code) = code(image, begin) else {
                return;
            };
            let mut decoder = Decoder::with_ip(64, &code, begin, DecoderOptions::NONE);
            for _ in 0..LOOKED_AT_MAX {
                if !decoder.can_decode() {
                    break;
                }
                let instruction = decoder.decode();
                if instruction.is_invalid() {
                    return;
                }
                each(self, &instruction);
                match instruction.flow_control() {
                    FlowControl::Next | FlowControl::ConditionalBranch => self.step(&instruction),
                    FlowControl::Call | FlowControl::UnconditionalBranch
                        if self.by.is_none() && instruction.op0_kind() == OpKind::NearBranch64 =>
                    {
                        next = Some(instruction.near_branch_target());
                        self.by = next;
                        break;
                    }
                    _ => return,
                }
            }
        }
    }

    fn step(&mut self, instruction: &Instruction) {
        let moved = match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => self.operand(instruction, 1),
            _ => Value::Unknown,
        };
        let is_read_only = matches!(
            instruction.mnemonic(),
            Mnemonic::Test | Mnemonic::Cmp | Mnemonic::Push
        );
        if instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().is_gpr()
            && !is_read_only
        {
            let register = instruction.op0_register().full_register();
            self.values[register.number()] = moved;
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
            self.values[register.number()]
        } else {
            Value::Unknown
        }
    }
}

/// Code from an address on, as far as it is read at a time.
fn code(image: &Image<'_>, address: u64) -> Option<Vec<u8>> {
    let lens = [CODE_LEN, CODE_LEN / 4, 16];
    lens.into_iter().find_map(|len| {
        let offset = image.code_offset(address, len)?;
        image.read(offset, len as usize)
    })
}
