//! MongoDB: both parsers on raw bytes, then a connection that begins with a command.
#![no_main]

mod calls;
mod parsing;
mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::mongodb::{Requests, Responses};

fuzz_target!(|bytes: &[u8]| {
    const PING: &[u8] = b"\x24\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
        \x0f\0\0\0\x10ping\0\x01\0\0\0\0";
    calls::parser(Requests::default(), bytes);
    calls::parser(Responses::default(), bytes);
    calls::conversation(PING, bytes);
});
