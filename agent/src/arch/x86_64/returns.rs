//! How a function may be left, seen in all of its instructions.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

/// Places of all return instructions in a function's code, at most so many. Refuses a function that
/// may be left in any other way.
///
/// # Errors
/// Why they are not known; completes the sentence "<function> …".
pub fn returns(code: &[u8], most: usize) -> Result<Vec<u64>, &'static str> {
    let len = code.len() as u64;
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut returns = Vec::new();
    let mut instruction = Instruction::default();
    // For jump tables: what the last instructions before computed.
    let mut table_entry = [Register::None; 2];
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return Err("holds bytes that are no instructions");
        }
        match instruction.flow_control() {
            FlowControl::Return if is_near_return(&instruction) => {
                if returns.len() == most {
                    return Err("returns in too many places");
                }
                returns.push(instruction.ip());
            }
            FlowControl::Return => return Err("returns in a way of its own"),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
                if is_far(&instruction) || instruction.near_branch_target() >= len =>
            {
                return Err("may end in another function, so that its return can't be seen");
            }
            FlowControl::IndirectBranch if !is_by_table(&instruction, table_entry) => {
                return Err("may end in another function, so that its return can't be seen");
            }
            _ => {}
        }
        table_entry = [table_entry[1], computed(&instruction)];
    }
    if returns.is_empty() {
        return Err("never returns");
    }
    Ok(returns)
}
fn is_near_return(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Retnq | Code::Retnq_imm16)
}

fn is_far(instruction: &Instruction) -> bool {
    !matches!(
        instruction.op0_kind(),
        OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
    )
}

/// Whether an indirect jump goes to a place that it took from a table, as compilers translate
/// `switch`; other indirect jumps are calls in tail position.
fn is_by_table(instruction: &Instruction, computed: [Register; 2]) -> bool {
    match instruction.op0_kind() {
        OpKind::Memory => instruction.memory_index() != Register::None,
        OpKind::Register => computed.contains(&instruction.op0_register()),
        _ => false,
    }
}

/// The register that an instruction put a table's entry into: an offset that was added to the
/// table's address, or an address loaded by index.
fn computed(instruction: &Instruction) -> Register {
    let adds = matches!(instruction.code(), Code::Add_r64_rm64 | Code::Add_rm64_r64)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register;
    let loads = instruction.code() == Code::Mov_r64_rm64
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() != Register::None;
    if (adds || loads) && instruction.op0_register() != Register::RSP {
        instruction.op0_register()
    } else {
        Register::None
    }
}
