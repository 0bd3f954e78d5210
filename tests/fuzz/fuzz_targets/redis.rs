//! Redis: both parsers on raw bytes, then a connection that begins with a command.
#![no_main]

mod calls;
mod parsing;
mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::redis::{Requests, Responses};

fuzz_target!(|bytes: &[u8]| {
    calls::parser(Requests::default(), bytes);
    calls::parser(Responses::default(), bytes);
    calls::conversation(b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n", bytes);
});
