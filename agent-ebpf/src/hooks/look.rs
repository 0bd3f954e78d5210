//! A look at one connection, whenever user space wants one: is its socket still there, has more
//! been read from it than the hooks saw, is it no longer worth copying? Attached to nothing: user
//! space runs it (`BPF_PROG_TEST_RUN`). It is how the end of a connection is found that no
//! tracepoint tells, as with Unix sockets.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::connection::{Held, Sequence};
use wirespan_common::record::is_object;
use wirespan_common::watch::VerdictKind;

use crate::capture;
use crate::left_alone;
use crate::maps;
use crate::sockets;
use crate::tls;

/// Takes the connection's identity; the answer stands in what is remembered of it.
#[raw_tracepoint]
pub fn look(ctx: RawTracePointContext) -> i32 {
    let id = ctx.arg(0);
    let Some(connection) = maps::connection(id) else {
        return 0;
    };
    // Hooks ask for a verdict only while there is none.
    let told = maps::verdict_of(id);
    if told == VerdictKind::Carrier as u8 {
        connection.verdict = told;
    }
    // What was left out by itself, or is none of anybody's business, is not what was judged.
    if !VerdictKind::leaves_alone(connection.verdict) {
        left_alone::begins(connection, told);
    }
    let sk = connection.sk;
    if is_object(id) {
        let is_held =
            sk == 0 || sockets::of_sk(sk).is_some_and(|socket| tls::carriers::is_on(socket.id, id));
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
