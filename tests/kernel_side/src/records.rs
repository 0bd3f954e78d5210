//! What a chunk's record says, as far as copying decides it.

use wirespan_common::connection::Connection;

use crate::maps::Scratch;

pub fn describe(
    scratch: &mut Scratch,
    _connection: &mut Connection,
    position: u64,
    len: u32,
    _time_ns: u64,
) {
    scratch.position = position;
    scratch.len = len;
}
