//! Points of Go's runtime and libraries at which goroutines begin, end, ask and serve, on the jump
//! of a function's prologue (`jbe`), which the kernel emulates: arguments are still in registers
//! (src/cmd/compile/abi-internal.md), the goroutine is in one, too. A function
//! whose stack has to grow begins twice; what is told then is told twice, and means the same.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_common::record::TaskEvent;

use super::run;
use crate::maps;
use crate::memory::{current_process, go_registers, return_address};
use crate::tasks::go;

/// What holds a connection: `net/http.persistConn`.
const PERSIST_CONN: u32 = 1;
/// `serverConn` of HTTP/2.
const SERVER_CONN: u32 = 2;
/// `transport.http2Client` of gRPC.
const GRPC_CLIENT: u32 = 3;
/// `transport.http2Server` of gRPC.
const GRPC_SERVER: u32 = 4;

/// `func isSystemGoroutine(gp *g, fixed bool) bool`
#[uprobe]
pub fn go_goroutine(ctx: ProbeContext) -> u32 {
    let registers = go_registers(ctx.regs);
    let born_or_over = |back| go::born_or_over(current_process(), &registers, back);
    run(return_address(ctx.regs).and_then(born_or_over)) as u32
}

/// `func (t *loopyWriter) run() error` of gRPC, and other functions that serve whoever comes.
#[uprobe]
pub fn go_on_its_own(ctx: ProbeContext) -> u32 {
    let current = current_process();
    let Some(runtime) = maps::struck(current.tgid) else {
        return 0;
    };
    run(go::is_on_its_own(
        current,
        runtime,
        go_registers(ctx.regs).goroutine,
    )) as u32
}

/// `func (pc *persistConn) roundTrip(req *transportRequest) (*Response, error)`: the next request
/// on the connection is this one.
#[uprobe]
pub fn go_round_trip(ctx: ProbeContext) -> u32 {
    let current = current_process();
    let Some(runtime) = maps::struck(current.tgid) else {
        return 0;
    };
    let registers = go_registers(ctx.regs);
    run(go::uses(
        current,
        runtime,
        TaskEvent::Asks,
        registers.goroutine,
        registers.first,
        PERSIST_CONN,
        0,
    )) as u32
}

/// `func (sc *serverConn) runHandler(rw *responseWriter, …)` of HTTP/2.
#[uprobe]
pub fn go_run_handler(ctx: ProbeContext) -> u32 {
    let current = current_process();
    let Some(runtime) = maps::struck(current.tgid) else {
        return 0;
    };
    let registers = go_registers(ctx.regs);
    run(go::http2_stream(registers.second).and_then(|stream| {
        go::uses(
            current,
            runtime,
            TaskEvent::Serves,
            registers.goroutine,
            registers.first,
            SERVER_CONN,
            stream,
        )
    })) as u32
}

/// `func (t *http2Client) Write(s *Stream, …) error` of gRPC, which each call makes at least once.
#[uprobe]
pub fn go_grpc_write(ctx: ProbeContext) -> u32 {
    let current = current_process();
    let Some(runtime) = maps::struck(current.tgid) else {
        return 0;
    };
    let registers = go_registers(ctx.regs);
    run(
        go::grpc_stream(runtime, registers.second).and_then(|stream| {
            go::uses(
                current,
                runtime,
                TaskEvent::Asks,
                registers.goroutine,
                registers.first,
                GRPC_CLIENT,
                stream,
            )
        }),
    ) as u32
}

/// `func (s *Server) handleStream(t transport.ServerTransport, stream *transport.Stream, …)` of
/// gRPC: an interface takes two registers.
#[uprobe]
pub fn go_grpc_handle(ctx: ProbeContext) -> u32 {
    let current = current_process();
    let Some(runtime) = maps::struck(current.tgid) else {
        return 0;
    };
    let registers = go_registers(ctx.regs);
    run(
        go::grpc_stream(runtime, registers.fourth).and_then(|stream| {
            go::uses(
                current,
                runtime,
                TaskEvent::Serves,
                registers.goroutine,
                registers.third,
                GRPC_SERVER,
                stream,
            )
        }),
    ) as u32
}
