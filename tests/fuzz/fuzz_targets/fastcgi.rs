//! FastCGI: both parsers on raw bytes, then a connection that begins with a request.
#![no_main]

mod calls;
mod parsing;
mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::fastcgi::{Requests, Responses};

/// A request's first record, a parameter, and the ends of parameters and body.
const ASKED: &[u8] = b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0\
    \x01\x04\0\x01\0\x13\0\0\x0e\x03REQUEST_METHODGET\
    \x01\x04\0\x01\0\0\0\0\x01\x05\0\x01\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    calls::parser(Requests::default(), bytes);
    calls::parser(Responses::default(), bytes);
    calls::conversation(ASKED, bytes);
});
