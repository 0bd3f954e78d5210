//! The function of OpenSSL that both `SSL_read` and `SSL_read_ex` call, which has no name in a
//! library's table of symbols; and the same for writing. It is taken only where the code of both
//! shows it.
//!
//! Why: a probe on an instruction that the kernel does not emulate is stepped over, and stepping is
//! dear in virtual machines, whose host looks at each such trap (measured under KVM on an AMD EPYC:
//! 11 µs, against 0.8 µs for a `push`). `SSL_read` begins with `sub $0x18,%rsp`; what it calls
//! begins with `push`, sees also what comes through `BIO_f_ssl`, and takes the arguments of
//! `SSL_read_ex` (ssl/ssl_lib.c, `ssl_read_internal` and `ssl_write_internal`, since 1.1.1).

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Mnemonic, OpKind, Register};

use super::image::Image;

/// Bytes of a function in which its call is looked for: it checks a length first, no more.
const CALL_WITHIN: usize = 64;
/// Bytes of the called function that are looked at.
const HEAD_LEN: u64 = 16;

/// The address of what the functions at both addresses call, if they call the same with arguments
/// that they were given, and it is worth it: what begins at `one` is dear to probe, and what is
/// called is not.
pub(super) fn of_both(image: &Image<'_>, one: u64, other: u64) -> Option<u64> {
    let called = called_first(image, one)?;
    if called_first(image, other)? != called || is_cheap(image, one) || !is_cheap(image, called) {
        return None;
    }
    Some(called)
}

/// Whether the kernel emulates the function's first instruction: `push` of a register
/// (arch/x86/kernel/uprobes.c, `push_setup_xol_ops`).
fn is_cheap(image: &Image<'_>, address: u64) -> bool {
    let code = image
        .code_offset(address, HEAD_LEN)
        .and_then(|offset| image.read(offset, HEAD_LEN as usize));
    code.is_some_and(|code| {
        let first = Decoder::with_ip(64, &code, address, DecoderOptions::NONE).decode();
        first.code() == Code::Push_r64
    })
}

/// Where the function's first call goes, made with its own first two arguments.
fn called_first(image: &Image<'_>, address: u64) -> Option<u64> {
    let offset = image.code_offset(address, CALL_WITHIN as u64)?;
    let code = image.read(offset, CALL_WITHIN)?;
    let mut decoder = Decoder::with_ip(64, &code, address, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        match instruction.flow_control() {
            FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                return Some(instruction.near_branch_target());
            }
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            _ => return None,
        }
        let reads_only = matches!(
            instruction.mnemonic(),
            Mnemonic::Test | Mnemonic::Cmp | Mnemonic::Push
        );
        let is_argument = instruction.op0_kind() == OpKind::Register
            && matches!(
                instruction.op0_register().full_register(),
                Register::RDI | Register::RSI
            );
        if instruction.is_invalid() || is_argument && !reads_only {
            return None;
        }
    }
    None
}
