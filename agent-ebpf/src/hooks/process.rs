//! The life of processes: who begins, who becomes another program, who ends. Who is watched is
//! decided in user space; only what can't wait is done here (children of watched processes).

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use wirespan_common::legacy::NewsKey;
use wirespan_common::record::{Header, Kind, Life, LifeEvent};
use wirespan_common::switch::Switch;
use wirespan_common::watch::Watch;
use zerocopy::{Immutable, IntoBytes};

use super::end;
use crate::logging::debug;
use crate::maps::{self, Wake};
use crate::memory::{
    Current, Delivered, current_comm, current_process, kernel_value, now_ns, offset,
};
use crate::records::header;
use crate::tasks;

/// `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// (include/trace/events/sched.h).
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn sched_process_exec(ctx: RawTracePointContext) -> i32 {
    let current = current_process();
    let watched = maps::watch_of(current.tgid).is_some();
    let refused = maps::forget_refusal(current.tgid);
    if !watched && !refused && !maps::is_on(Switch::EveryExec) {
        return 0;
    }
    debug!(ctx, "process {} runs another program", current.tgid);
    maps::forget_service(current.tgid);
    maps::forget_tasks(current.tgid);
    #[cfg(not(legacy))]
    maps::forget_node_table(current.tid);
    end(&ctx, tell(current, LifeEvent::Exec, 0, 0, watched))
}

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)`
/// (include/trace/events/sched.h).
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        return 0;
    };
    let task: u64 = ctx.arg(1);
    let Ok(child) = kernel_value::<u32>(task + offset(|o| &o.task_struct_tgid)) else {
        return 0;
    };
    if child == current.tgid {
        return end(&ctx, tasks::thread_began(current, watch, task));
    }
    debug!(ctx, "process {} forked {}", current.tgid, child);
    if watch.tasks != 0 {
        maps::inherit_runtime(current.tgid, child);
    }
    let watch = Watch {
        shard: maps::next_shard(),
        ..watch
    };
    let told =
        maps::watch(child, &watch).and_then(|()| tell(current, LifeEvent::Fork, 0, child, true));
    end(&ctx, told)
}

/// `TP_PROTO(struct task_struct *p, …)` (include/trace/events/sched.h); fires once per thread,
/// after it was taken off the number of those that live (`do_exit`, kernel/exit.c).
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn sched_process_exit(ctx: RawTracePointContext) -> i32 {
    let current = current_process();
    let Some(watch) = maps::watch_of(current.tgid) else {
        if current.tid == current.tgid {
            // Its first thread, which most often ends with the process.
            maps::forget_refusal(current.tgid);
        }
        return 0;
    };
    end(&ctx, tasks::thread_ended(current, watch));
    let task: u64 = ctx.arg(0);
    let Ok(signal) = kernel_value::<u64>(task + offset(|o| &o.task_struct_signal)) else {
        return 0;
    };
    let Ok(live) = kernel_value::<i32>(signal + offset(|o| &o.signal_struct_live)) else {
        return 0;
    };
    if live > 0 {
        return 0;
    }
    // Set before this is told of (`do_exit`, kernel/exit.c); of a signal, in each thread.
    let code = kernel_value::<u32>(task + offset(|o| &o.task_struct_exit_code)).unwrap_or(0);
    maps::unwatch(current.tgid);
    debug!(ctx, "process {} ended", current.tgid);
    end(&ctx, tell(current, LifeEvent::Exit, 0, code, false))
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct LifeRecord {
    header: Header,
    life: Life,
}

/// Tells user space at once. What happens to a process concerns all shards: each finds it in its
/// own ring, in order with what the process said there. The first is told last: what comes of its
/// being told comes after all others have it.
#[inline(always)]
pub fn tell(
    current: Current,
    event: LifeEvent,
    port: u16,
    other: u32,
    watched: bool,
) -> Delivered<()> {
    tell_from::<false>(current, event, port, other, watched)
}

/// [`tell`] from where an interrupt may have come.
#[inline(always)]
pub fn tell_from<const IN_INTERRUPT: bool>(
    current: Current,
    event: LifeEvent,
    port: u16,
    other: u32,
    watched: bool,
) -> Delivered<()> {
    let mut record = LifeRecord {
        header: header::<LifeRecord>(Kind::Life, 0, now_ns(), current),
        life: Life {
            event: event as u8,
            watched: u8::from(watched),
            port,
            other,
            comm: current_comm(),
        },
    };
    let mut shard = maps::shards();
    while shard > 1 {
        shard -= 1;
        record.header.shard = shard;
        if let Err(loss) = maps::send(&record, shard, Wake::Later) {
            maps::count(loss);
        }
    }
    record.header.shard = 0;
    let key = NewsKey {
        connection: 0,
        tgid: current.tgid,
        kind: Kind::Life as u16,
        what: port,
    };
    maps::send_from::<_, IN_INTERRUPT>(&record, key, 0, Wake::Now)
}
