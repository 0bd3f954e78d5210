//! A look at one connection, whenever user space wants one: is its socket still there, and has more
//! been read from it than the hooks saw? Attached to nothing: user space runs it
//! (`BPF_PROG_TEST_RUN`). It is how the end of a connection is found that no tracepoint tells, as
//! with Unix sockets.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::connection::{Held, Sequence};
use wirespan_common::record::is_object;

use crate::capture;
use crate::maps;
use crate::sockets;

/// Takes the connection's identity; the answer stands in what is remembered of it.
#[raw_tracepoint]
pub fn look(ctx: RawTracePointContext) -> i32 {
    let id = ctx.arg(0);
    let Some(connection) = maps::connection(id) else {
        return 0;
    };
    let sk = connection.sk;
    if is_object(id) {
        let carrier = sockets::of_sk(sk).and_then(|socket| maps::carried_by(socket.id));
        let is_held = sk == 0 || carrier == Some(id);
        connection.held = if is_held { Held::Yes } else { Held::No } as u8;
        return 0;
    }
    // The memory may hold another socket by now, but none with the same number.
    if sockets::of_sk(sk).is_none_or(|socket| socket.id != id) {
        connection.held = Held::No as u8;
        return 0;
    }
    connection.held = Held::Yes as u8;
    if connection.sequence != Sequence::Ignored as u8 {
        capture::catch_up(connection, sk, 0);
    }
    0
}
