//! How a function may be left, seen in all of its instructions.

use yaxpeax_arm::armv8::a64::{Instruction, Opcode, Operand};

use super::{INSTRUCTION_LEN, decoded, register};

/// X30, the link register.
const LINK: u16 = 30;

/// Places of all return instructions in a function's code, at most so many. Refuses a function that
/// may be left in any other way.
///
/// # Errors
/// Why they are not known; completes the sentence "<function> …".
pub fn returns(code: &[u8], most: usize) -> Result<Vec<u64>, &'static str> {
    let len = code.len() as i64;
    let mut returns = Vec::new();
    // For jump tables: what the last instructions before computed.
    let mut table_entry = [None; 2];
    for (index, instruction) in decoded(code).enumerate() {
        let Some(instruction) = instruction else {
            return Err("holds bytes that are no instructions");
        };
        let at = (index * INSTRUCTION_LEN) as i64;
        match left_by(&instruction, table_entry) {
            Leaving::Not => {}
            Leaving::Return if returns.len() == most => {
                return Err("returns in too many places");
            }
            Leaving::Return => returns.push(at as u64),
            Leaving::OtherReturn => return Err("returns in a way of its own"),
            Leaving::Jump(distance) if (0..len).contains(&(at + distance)) => {}
            Leaving::Jump(_) | Leaving::OtherJump => {
                return Err("may end in another function, so that its return can't be seen");
            }
        }
        table_entry = [table_entry[1], computed(&instruction)];
    }
    if returns.is_empty() {
        return Err("never returns");
    }
    Ok(returns)
}

/// How an instruction leaves the ones in order.
enum Leaving {
    Not,
    /// Plainly, to where it was called from.
    Return,
    OtherReturn,
    /// By so many bytes.
    Jump(i64),
    OtherJump,
}

fn left_by(instruction: &Instruction, table_entry: [Option<u16>; 2]) -> Leaving {
    let target = instruction
        .operands
        .iter()
        .find_map(|operand| match operand {
            Operand::PCOffset(distance) => Some(*distance),
            _ => None,
        });
    match instruction.opcode {
        Opcode::RET if register(instruction.operands[0]) == Some(LINK) => Leaving::Return,
        // Those that check a signature as they return are not stepped over by the kernel.
        Opcode::RET
        | Opcode::RETAA
        | Opcode::RETAB
        | Opcode::RETAASPPC
        | Opcode::RETABSPPC
        | Opcode::RETAASPPCR
        | Opcode::RETABSPPCR
        | Opcode::ERET
        | Opcode::ERETAA
        | Opcode::ERETAB
        | Opcode::DRPS => Leaving::OtherReturn,
        Opcode::B | Opcode::Bcc(_) | Opcode::CBZ | Opcode::CBNZ | Opcode::TBZ | Opcode::TBNZ => {
            target.map_or(Leaving::OtherJump, Leaving::Jump)
        }
        // To a place that it took from a table, as compilers translate `switch`; other indirect
        // jumps are calls in tail position.
        Opcode::BR => match register(instruction.operands[0]) {
            Some(to) if table_entry.contains(&Some(to)) => Leaving::Not,
            _ => Leaving::OtherJump,
        },
        Opcode::BRAA | Opcode::BRAAZ | Opcode::BRAB | Opcode::BRABZ => Leaving::OtherJump,
        _ => Leaving::Not,
    }
}

/// The register that an instruction put a table's entry into: an offset that was added to the
/// table's address, or an address loaded by index.
fn computed(instruction: &Instruction) -> Option<u16> {
    let by = match instruction.opcode {
        Opcode::ADD => instruction.operands[2],
        Opcode::LDR => instruction.operands[1],
        _ => return None,
    };
    let is_entry = matches!(by, Operand::RegShift(..) | Operand::RegRegOffset(..));
    register(instruction.operands[0]).filter(|_| is_entry)
}

#[cfg(test)]
mod tests {
    use super::super::tests::code;
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    const NOP: u32 = 0xd503_201f;

    fn of(words: &[u32]) -> Result<Vec<u64>, &'static str> {
        returns(&code(words), 4)
    }

    #[test]
    fn all_returns_are_found_where_nothing_else_leaves() {
        // cbz x0, +8; ret; b -8; tbnz w0,#3,+8; nop; ret
        let words = [0xb400_0040, RET, 0x17ff_fffe, 0x3718_0040, NOP, RET];
        assert_eq!(of(&words), Ok(vec![4, 20]));
        // Behind a function's end Go's linker leaves zeros.
        assert_eq!(of(&[NOP, RET, 0, 0]), Ok(vec![4]));
        assert_eq!(of(&[RET; 5]), Err("returns in too many places"));
        assert_eq!(of(&[NOP]), Err("never returns"));
    }

    #[test]
    fn tables_are_no_ends() {
        // adr x0, .; add x1, x0, w1, sxth #2; br x1; ret
        assert_eq!(
            of(&[0x1000_0000, 0x8b21_a801, 0xd61f_0020, RET]),
            Ok(vec![12])
        );
        // ldr x1, [x0, x1, lsl #3]; br x1; ret
        assert_eq!(of(&[0xf861_7801, 0xd61f_0020, RET]), Ok(vec![8]));
    }

    #[test]
    fn other_ends_are_refused() {
        let elsewhere = Err("may end in another function, so that its return can't be seen");
        // b +8 at the end, b.ne -8 at the begin, ldr x1, [x0, #8]; br x1
        assert_eq!(of(&[RET, 0x1400_0002]), elsewhere);
        assert_eq!(of(&[0x54ff_ffc1, RET]), elsewhere);
        assert_eq!(of(&[0xf940_0401, 0xd61f_0020, RET]), elsewhere);
        // ret x3, retaa
        assert_eq!(of(&[0xd65f_0060, RET]), Err("returns in a way of its own"));
        assert_eq!(of(&[0xd65f_0bff, RET]), Err("returns in a way of its own"));
        let none = Err("holds bytes that are no instructions");
        assert_eq!(of(&[RET, 0xffff_ffff]), none);
        assert_eq!(returns(&code(&[RET, NOP])[..6], 4), none);
    }
}
