//! Python: where contexts are made, and where items pass through queues. Probes stand in the
//! interpreter's own code, on instructions that the kernel emulates where there are any.

use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use wirespan_common::record::TaskKind;
use wirespan_common::runtime::Runtime;

use super::run;
use super::tls_calls::argument;
use crate::maps;
use crate::memory::{Current, Delivered, current_process, register, user_value};
use crate::tasks::python;

/// Within the copying of a context, where the new one is in a register that user space names.
#[uprobe]
pub fn python_copied(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| {
        let new = register(ctx.regs, runtime.places[5]);
        python::copied(current, runtime, new)
    })
}

/// `_queue.SimpleQueue.put(self, args, nargs, kwnames)` and `put_nowait`
/// (Modules/_queuemodule.c): `args` begins with the item.
#[uprobe]
pub fn python_put(ctx: ProbeContext) -> u32 {
    of_process(|current, runtime| {
        let item = user_value(argument(&ctx, 1))?;
        python::put(current, runtime, item)
    })
}

/// A return instruction of `_queue.SimpleQueue.get` or `get_nowait`, whose result is the item.
#[uprobe]
pub fn python_got(ctx: ProbeContext) -> u32 {
    let item = RetProbeContext { regs: ctx.regs }.ret();
    of_process(|current, _| python::got(current, item))
}

/// A probe may outlast the watching of its process by a moment.
#[inline(always)]
fn of_process(act: impl FnOnce(Current, &Runtime) -> Delivered<()>) -> u32 {
    let current = current_process();
    match maps::watch_of(current.tgid) {
        Some(watch) if watch.tasks == TaskKind::PythonContext as u8 => {}
        _ => return 0,
    }
    match maps::struck(current.tgid) {
        Some(runtime) => run(act(current, runtime)) as u32,
        None => 0,
    }
}
