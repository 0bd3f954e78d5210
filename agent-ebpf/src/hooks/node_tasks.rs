//! Node: a thread sets its name, and by the call that does so the user's own script tells where it
//! keeps requests. It costs nobody anything who sets none.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use zerocopy::FromZeros;

use crate::arch::{self, CallRegisters};
use crate::maps;
use crate::memory::{current_process, current_registers, current_task, kernel_value, offset};
use crate::tasks::node;

/// `TP_PROTO(struct task_struct *task, const char *comm)` (include/trace/events/task.h).
#[raw_tracepoint(tracepoint = "task_rename")]
pub fn task_rename(_: RawTracePointContext) -> i32 {
    named(|| Some(current_registers().address()))
}

/// The same for kernels that don't tell where those registers are (before 5.15).
#[raw_tracepoint(tracepoint = "task_rename")]
pub fn task_rename_untyped(_: RawTracePointContext) -> i32 {
    named(|| {
        let stack = kernel_value(current_task() + offset(|o| &o.task_struct_stack)).ok()?;
        Some(arch::entry_registers(stack))
    })
}

/// The current task sets somebody's name; `registers` finds those it entered the kernel with.
#[inline(always)]
fn named(registers: impl FnOnce() -> Option<u64>) -> i32 {
    let current = current_process();
    if maps::watch_of(current.tgid).is_some()
        && let Some(address) = registers()
    {
        let mut call = CallRegisters::new_zeroed();
        if call.read(address) {
            node::tells(current, &call);
        }
    }
    0
}
