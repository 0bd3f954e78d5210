//! The uwsgi protocol: the parser of requests on raw bytes, then a connection that begins with one.
#![no_main]

mod calls;
mod parsing;
mod told;

use libfuzzer_sys::fuzz_target;
use wirespan_protocols::uwsgi::Requests;

/// A packet with one variable.
const ASKED: &[u8] = b"\0\x15\0\0\x0e\0REQUEST_METHOD\x03\0GET";

fuzz_target!(|bytes: &[u8]| {
    calls::parser(Requests::default(), bytes);
    calls::conversation(ASKED, bytes);
});
