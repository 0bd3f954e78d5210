//! The function of OpenSSL that both `SSL_read` and `SSL_read_ex` call, which has no name in a
//! library's table of symbols; and the same for writing. It is taken only where the code of both
//! shows it.
//!
//! Why: a probe on an instruction that the kernel does not emulate is stepped over, and stepping is
//! dear in virtual machines, whose host looks at each such trap (measured under KVM on an AMD EPYC:
//! 11 µs, against 0.8 µs for a `push`). `SSL_read` begins with `sub $0x18,%rsp`; what it calls
//! begins with `push`, sees also what comes through `BIO_f_ssl`, and takes the arguments of
//! `SSL_read_ex` (ssl/ssl_lib.c, `ssl_read_internal` and `ssl_write_internal`, since 1.1.1).

use super::image::Image;
use crate::arch;

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

/// Whether the kernel emulates the function's first instruction.
fn is_cheap(image: &Image<'_>, address: u64) -> bool {
    let code = image
        .code_offset(address, HEAD_LEN)
        .and_then(|offset| image.read(offset, HEAD_LEN as usize));
    code.is_some_and(|code| arch::is_emulated(&code))
}

/// Where the function's first call goes, made with its own first two arguments.
fn called_first(image: &Image<'_>, address: u64) -> Option<u64> {
    let offset = image.code_offset(address, CALL_WITHIN as u64)?;
    let code = image.read(offset, CALL_WITHIN)?;
    arch::first_call(&code, address)
}
