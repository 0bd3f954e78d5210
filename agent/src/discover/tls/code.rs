//! Whether a probe may be put on a function, and where: its first bytes are looked at, and where
//! its end has to be seen by its return instructions, all of it is decoded. What is not
//! understood is refused, with the reason; nothing is guessed.

use super::image::Image;
use crate::arch;

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

/// Looks at the first bytes of the function that lies at `address`.
pub(super) fn check(image: &Image<'_>, address: u64, len: u64) -> Result<Checked, Refusal> {
    if image.machine != arch::ELF_MACHINE {
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
    // The table of symbols is wrong or the code is not what it was.
    if arch::is_filler(head) {
        return Err("does not begin with code");
    }
    let skipped = arch::without_effect(head);
    // The instruction that carries the probe has to be whole and valid.
    if arch::first_instruction_len(&code[skipped..]).is_none() {
        return Err("does not begin with an instruction");
    }
    Ok(Checked {
        entry: offset + skipped as u64,
        offset,
        code,
    })
}

impl Checked {
    /// The same with the probe on the jump of a Go function's prologue, which the kernel emulates;
    /// `None` if it has none.
    pub fn on_stack_check(self) -> Option<Self> {
        let jump = arch::jump_of_stack_check(&self.code)?;
        Some(Self {
            entry: self.offset + jump as u64,
            ..self
        })
    }

    /// Whether a Go function, wherever it has what it deferred run, takes its first result from the
    /// stack after that.
    pub fn keeps_result(&self) -> bool {
        arch::keeps_result(&self.code)
    }

    /// Places of all return instructions, in bytes of the file. Refuses a function that may be left
    /// in any other way, because calls that leave it so would seem never to end.
    pub fn returns(&self) -> Result<Vec<u64>, Refusal> {
        let returns = arch::returns(&self.code, RETURNS_MAX)?;
        Ok(returns.into_iter().map(|at| self.offset + at).collect())
    }
}
