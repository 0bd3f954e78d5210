//! Whether a probe may be put on a function, and where: its first bytes are looked at, and where
//! its end has to be seen by its return instructions, all of it is decoded. What is not
//! understood is refused, with the reason; nothing is guessed.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use super::image::{Image, X86_64};

/// Why no probe is put on a function; completes the sentence "<function> …".
pub(super) type Refusal = &'static str;

/// A place in the file for a probe on entry, and the function's code.
pub(super) struct Checked {
    /// Of the first instruction that is worth a probe, in bytes of the file.
    pub entry: u64,
    /// Of the function, in bytes of the file.
    offset: u64,
    code: Vec<u8>,
}

/// Shorter, and there is no instruction that does something between entry and return.
const LEN_MIN: u64 = 4;
/// What is looked at of a function whose end is seen by a return probe.
const HEAD_LEN: u64 = 16;
/// A library's function has a few hundred bytes; what has more than this is no such function.
const LEN_MAX: u64 = 64 * 1024;
/// Return instructions on which probes are put; compilers write one to a dozen.
const RETURNS_MAX: usize = 32;

/// `endbr64`, with which functions begin that may be called indirectly (-fcf-protection).
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// `nopl 0(%rax,%rax,1)`, the five-byte nop that tracers of the target's own may write over.
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// Looks at the first bytes of the function that lies at `address`.
pub(super) fn check(image: &Image<'_>, address: u64, len: u64) -> Result<Checked, Refusal> {
    if image.machine != X86_64 {
        return Err("is code of a processor that wirespan does not know");
    }
    if len < LEN_MIN {
        return Err("is too short to be a function");
    }
    if len > LEN_MAX {
        return Err("is longer than any such function");
    }
    let offset = image
        .code_offset(address, len)
        .ok_or("does not lie within the executable's code")?;
    let code = image.read(offset, len as usize).ok_or("can't be read")?;
    let head = &code[..code.len().min(HEAD_LEN as usize)];
    // Padding, int3 and ud2 are no functions: the table of symbols is wrong or the code is not
    // what it was.
    if head.iter().all(|byte| *byte == 0) || head[0] == 0xcc || head.starts_with(&[0x0f, 0x0b]) {
        return Err("does not begin with code");
    }
    let skipped = without_effect(head);
    // The instruction that carries the probe has to be whole and valid.
    let mut decoder = Decoder::with_ip(64, &code[skipped..], 0, DecoderOptions::NONE);
    if decoder.decode().is_invalid() {
        return Err("does not begin with an instruction");
    }
    Ok(Checked {
        entry: offset + skipped as u64,
        offset,
        code,
    })
}

/// Length of the instructions at the beginning that change nothing. The probe is put behind them:
///
/// - The kernel emulates `push`, with which most functions go on, but steps over `endbr64` out of
///   line, which takes three times as long.
/// - Kernels from 6.18 on turn a probe on a five-byte nop into a call of their own, which in the
///   first of them wrote over the 128 bytes below the stack pointer. At a function's entry nothing
///   is kept there, so it would do no harm; but behind the nop there is nothing to argue about.
///
/// Behind them registers and stack are those of the entry, the return address on top.
fn without_effect(head: &[u8]) -> usize {
    let mut len = 0;
    if head.starts_with(&ENDBR64) {
        len += ENDBR64.len();
    }
    while head[len..].starts_with(&NOP5) && head.len() > len + NOP5.len() {
        len += NOP5.len();
    }
    if len < head.len() { len } else { 0 }
}

impl Checked {
    /// Places of all return instructions, in bytes of the file. Refuses a function that may be left
    /// in any other way, because calls that leave it so would seem never to end.
    pub fn returns(&self) -> Result<Vec<u64>, Refusal> {
        let len = self.code.len() as u64;
        let mut decoder = Decoder::with_ip(64, &self.code, 0, DecoderOptions::NONE);
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
                    if returns.len() == RETURNS_MAX {
                        return Err("returns in too many places");
                    }
                    returns.push(self.offset + instruction.ip());
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
