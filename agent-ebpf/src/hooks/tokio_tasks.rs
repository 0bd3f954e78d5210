//! Points of tokio and of libraries on it: where tasks are made, where something passes through a
//! channel, where h2 sends requests and responses. Functions of Rust take their first arguments
//! where those of C do, behind the place for a result that is too large for registers; what that
//! is here is seen in their code by who put the probes there.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use wirespan_common::record::TaskKind;
use wirespan_common::runtime::Runtime;
use wirespan_common::tokio::TokioLayout;

use super::run;
use super::tls_calls::argument;
use crate::maps;
use crate::memory::{Current, Delivered, current_process, place_of, register};
use crate::tasks::tokio;

/// Within `OwnedTasks::bind_inner`, where the new task's header is in a register that user space
/// names.
#[uprobe]
pub fn tokio_born(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| {
        let layout = TokioLayout::of(runtime);
        let number = layout.others.at(place_of(ctx.regs), layout.born_register);
        let header = register(ctx.regs, number);
        tokio::born(current, runtime, header)
    })
}

/// Within `mpsc::list::Tx::push`, where the place is in a register that user space names.
#[uprobe]
pub fn tokio_put(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| {
        let layout = TokioLayout::of(runtime);
        let number = layout.others.at(place_of(ctx.regs), layout.put_register);
        let place = register(ctx.regs, number);
        tokio::put(current, runtime, argument(&ctx, 0), place)
    })
}

/// `mpsc::list::Tx::find_block(&self, slot_index)`
#[uprobe]
pub fn tokio_put_in_block(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| {
        tokio::put(current, runtime, argument(&ctx, 0), argument(&ctx, 1))
    })
}

/// `tower::buffer::worker::Worker::poll`
#[uprobe]
pub fn tokio_passes_on(_: ProbeContext) -> u32 {
    of_process(tokio::passes_on)
}

/// `h2::client::Peer::convert_send_message(id, …)`, whose result is large.
#[uprobe]
pub fn tokio_asks(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| tokio::sends(current, runtime, argument(&ctx, 1) as u32))
}

/// `h2::proto::streams::streams::StreamRef::send_response(&mut self, …)`
#[uprobe]
pub fn tokio_answers(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| tokio::answers(current, runtime, argument(&ctx, 0)))
}

/// `h2::server::SendResponse::send_response(&mut self, …)`, whose result is large, and which begins
/// with a `StreamRef`.
#[uprobe]
pub fn tokio_answers_by_second(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| tokio::answers(current, runtime, argument(&ctx, 1)))
}

/// A probe may outlast the watching of its process by a moment.
#[inline(always)]
fn of_process(act: impl FnOnce(Current, &Runtime) -> Delivered<()>) -> u32 {
    let current = current_process();
    match maps::watch_of(current.tgid) {
        Some(watch) if watch.tasks == TaskKind::Tokio as u8 => {}
        _ => return 0,
    }
    match maps::struck(current.tgid) {
        Some(runtime) => run(act(current, runtime)) as u32,
        None => 0,
    }
}
