//! The attach table: which programs each strategy needs and where they go. What works is found out
//! by trying, cheapest first; no version is compared.

use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, FExit, KProbe, ProgramType, RawTracePoint};
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Btf, Ebpf};

use super::StartError;
use super::kernel_layout::{Feature, KernelLayout, LayoutSource};
use super::object::KernelSide;
use super::reason::one_line;
use crate::arch::system_call_function;
use crate::config::Strategy;
use crate::visible::Visible;

/// Cheapest first, but for the last: a kretprobe has a fixed number of slots (ten, or two for each
/// processor), every blocked call of the machine takes one, and what finds none is missed silently.
/// Seen: ten shells waiting for input, and no read of a server is heard of.
const STRATEGIES: [Strategy; 4] = [
    Strategy::SocketTracepoints,
    Strategy::Fexit,
    Strategy::SyscallTracepoints,
    Strategy::Kprobes,
];

/// Those of the legacy object.
const LEGACY_STRATEGIES: [Strategy; 2] = [Strategy::Legacy, Strategy::LegacyKprobes];

/// Programs that go with every strategy, each named after its raw tracepoint.
const LIFE_CYCLE: [&str; 4] = [
    "inet_sock_set_state",
    "sched_process_exec",
    "sched_process_fork",
    "sched_process_exit",
];

/// System calls, by their functions' names, whose ends are seen by fexit and kretprobes and which
/// return a number of bytes.
const BYTE_CALLS: [&str; 12] = [
    "read",
    "write",
    "readv",
    "writev",
    "preadv2",
    "pwritev2",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendfile64",
    "splice",
];

/// The same, for those that return a number of messages.
const MESSAGE_CALLS: [&str; 2] = ["sendmmsg", "recvmmsg"];

/// Where it is found out who serves, if the strategy does not bring the socket.
const SERVING: &str = "tcp_rcv_space_adjust";
/// The same for kernels that can't follow types from there.
const SERVING_UNTYPED: &str = "tcp_rcv_space_adjust_untyped";

/// What is tried on a function of the kernel that nobody calls but who tests the kernel
/// (net/bpf/test_run.c), where nothing else is to be attached.
const TRIAL: &str = "fexit_trial";
const TRIED_ON: &str = "bpf_fentry_test1";

/// How far to go with programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramExtent {
    /// Until the kernel has checked them.
    Load,
    /// Until they run.
    Attach,
}

/// Loads or attaches what every strategy needs.
pub fn life_cycle(ebpf: &mut Ebpf, extent: ProgramExtent) -> Result<(), StartError> {
    for hook in LIFE_CYCLE {
        raw_tracepoint(ebpf, hook, hook, extent)
            .map_err(|reason| StartError::Hook { hook, reason })?;
    }
    Ok(())
}

/// Loads the program that is run by hand; see [`super::Feed::look`].
pub fn load_look(ebpf: &mut Ebpf) -> Result<(), StartError> {
    let hook = super::LOOK;
    let loaded = program::<RawTracePoint>(ebpf, hook)
        .and_then(|program| program.load().map_err(|error| one_line(&error)));
    loaded.map_err(|reason| StartError::Hook { hook, reason })
}

/// A strategy, and those that were tried before, with why they don't work.
pub type Chosen = (Strategy, Vec<(Strategy, String)>);

/// Loads or attaches the forced strategy, or the first of the object's that works.
pub fn choose(
    ebpf: &mut Ebpf,
    layout: &KernelLayout,
    side: KernelSide,
    forced: Option<Strategy>,
    extent: ProgramExtent,
) -> Result<Chosen, StartError> {
    let mut tried = Vec::new();
    let strategies: &[Strategy] = match side {
        KernelSide::Modern => &STRATEGIES,
        KernelSide::Legacy => &LEGACY_STRATEGIES,
    };
    for &strategy in strategies {
        if forced.is_some_and(|forced| forced != strategy) {
            continue;
        }
        let by_kprobes = matches!(strategy, Strategy::Kprobes | Strategy::LegacyKprobes);
        let knows = !by_kprobes || layout.has(Feature::EntryRegisters);
        let gone = match knows {
            true => go_with(ebpf, strategy, extent),
            false => Err("it is not known where a task has its registers".to_owned()),
        };
        match gone {
            Ok(()) => return Ok((strategy, tried)),
            Err(reason) => {
                log::debug!(
                    "capture strategy {strategy} is not available: {}",
                    Visible(&reason)
                );
                tried.push((strategy, reason));
            }
        }
    }
    Err(StartError::NoStrategy(tried))
}

fn go_with(ebpf: &mut Ebpf, strategy: Strategy, extent: ProgramExtent) -> Result<(), String> {
    let walks = can_walk();
    match strategy {
        Strategy::SocketTracepoints => {
            let types = Btf::from_sys_fs().map_err(|error| one_line(&error))?;
            ["sock_send_length", "sock_recv_length"]
                .into_iter()
                .try_for_each(|name| typed_tracepoint(ebpf, name, name, &types, extent))
        }
        Strategy::Fexit => {
            let types = Btf::from_sys_fs().map_err(|error| one_line(&error))?;
            if extent == ProgramExtent::Load {
                try_fexit(ebpf, &types)?;
            }
            BYTE_CALLS
                .iter()
                .chain(&MESSAGE_CALLS)
                .try_for_each(|call| {
                    let name = if walks { "exit" } else { "plain" };
                    fexit(ebpf, &format!("{name}_{call}"), call, &types, extent)
                })
        }
        Strategy::Kprobes | Strategy::LegacyKprobes => kretprobes(ebpf, extent),
        Strategy::Legacy => raw_tracepoint(ebpf, "sys_exit_untyped", "sys_exit", extent),
        Strategy::SyscallTracepoints => {
            let name = if walks { "sys_exit" } else { "sys_exit_plain" };
            let types = Btf::from_sys_fs().map_err(|error| one_line(&error));
            types
                .and_then(|types| typed_tracepoint(ebpf, name, "sys_exit", &types, extent))
                .or_else(|_| raw_tracepoint(ebpf, "sys_exit_untyped", "sys_exit", extent))
        }
    }
}

/// Where the script in Node that a user loaded tells where it keeps requests.
const NODE_TELLS: &str = "task_rename";
/// The same for kernels that don't tell where a task's registers are.
const NODE_TELLS_UNTYPED: &str = "task_rename_untyped";

/// Has it heard. What that tells is worth having, and no reason not to go on without.
pub fn attach_node(ebpf: &mut Ebpf, layout: &KernelLayout) {
    let extent = ProgramExtent::Attach;
    let attached = raw_tracepoint(ebpf, NODE_TELLS, NODE_TELLS, extent).or_else(|reason| {
        if !layout.has(Feature::EntryRegisters) {
            return Err(reason);
        }
        raw_tracepoint(ebpf, NODE_TELLS_UNTYPED, NODE_TELLS, extent)
    });
    if let Err(reason) = attached {
        log::warn!(
            "calls of Node can't be linked by wirespan-node.cjs: {}",
            Visible(&reason)
        );
    }
}

/// Who finds out who serves, where the strategy does not bring the socket, until this is dropped.
#[allow(dead_code, reason = "held for its end")]
pub enum Serving {
    Typed(BtfTracePointLink),
    Untyped(RawTracePointLink),
}

/// Has it found out who serves selected ports. What that finds is worth having, and no reason not
/// to go on without.
pub fn attach_serving(ebpf: &mut Ebpf) -> Option<Serving> {
    let attached = serving_typed(ebpf).or_else(|_| serving_untyped(ebpf));
    attached
        .inspect_err(|reason| {
            log::warn!(
                "processes that serve a port which another one made to listen are not found: {}",
                Visible(reason)
            );
        })
        .ok()
}

fn serving_typed(ebpf: &mut Ebpf) -> Result<Serving, String> {
    let program: &mut BtfTracePoint = program(ebpf, SERVING)?;
    if program.fd().is_err() {
        let types = Btf::from_sys_fs().map_err(|error| one_line(&error))?;
        program
            .load(SERVING, &types)
            .map_err(|error| one_line(&error))?;
    }
    let link = program.attach().map_err(|error| one_line(&error))?;
    let link = program.take_link(link).map_err(|error| one_line(&error))?;
    Ok(Serving::Typed(link))
}

fn serving_untyped(ebpf: &mut Ebpf) -> Result<Serving, String> {
    let program: &mut RawTracePoint = program(ebpf, SERVING_UNTYPED)?;
    if program.fd().is_err() {
        program.load().map_err(|error| one_line(&error))?;
    }
    let link = program.attach(SERVING).map_err(|error| one_line(&error))?;
    let link = program.take_link(link).map_err(|error| one_line(&error))?;
    Ok(Serving::Untyped(link))
}

/// Whether programs can walk HTTP/2 frames (since 5.17). Where they can't, another version of each
/// is taken.
pub fn can_walk() -> bool {
    is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_loop)
        .is_ok_and(|supported| supported)
}

fn raw_tracepoint(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: &str,
    extent: ProgramExtent,
) -> Result<(), String> {
    let program: &mut RawTracePoint = program(ebpf, name)?;
    program.load().map_err(|error| one_line(&error))?;
    if extent == ProgramExtent::Attach {
        program
            .attach(tracepoint)
            .map_err(|error| one_line(&error))?;
    }
    Ok(())
}

/// A raw tracepoint whose arguments the verifier knows by type.
fn typed_tracepoint(
    ebpf: &mut Ebpf,
    name: &str,
    tracepoint: &str,
    types: &Btf,
    extent: ProgramExtent,
) -> Result<(), String> {
    let program: &mut BtfTracePoint = program(ebpf, name)?;
    program
        .load(tracepoint, types)
        .map_err(|error| one_line(&error))?;
    if extent == ProgramExtent::Attach {
        program.attach().map_err(|error| one_line(&error))?;
    }
    Ok(())
}

fn fexit(
    ebpf: &mut Ebpf,
    name: &str,
    call: &str,
    types: &Btf,
    extent: ProgramExtent,
) -> Result<(), String> {
    let program: &mut FExit = program(ebpf, name)?;
    program
        .load(&system_call_function(call), types)
        .map_err(|error| one_line(&error))?;
    if extent == ProgramExtent::Attach {
        program.attach().map_err(|error| one_line(&error))?;
    }
    Ok(())
}

/// Fails where the kernel checks such programs and can't have them run: on AArch64 those before 6.0
/// have no trampolines, and some later ones none for functions of their own.
fn try_fexit(ebpf: &mut Ebpf, types: &Btf) -> Result<(), String> {
    let program: &mut FExit = program(ebpf, TRIAL)?;
    // A kernel without that function may have such programs all the same.
    if program.load(TRIED_ON, types).is_err() {
        return Ok(());
    }
    let tried = program.attach().and_then(|link| program.detach(link));
    let unloaded = program.unload();
    tried.and(unloaded).map_err(|error| one_line(&error))
}

/// Where the kernel side learns what somebody has read, and that somebody is about to send:
/// programs by their tracepoints.
const CONTEXT: [(&str, &str); 2] = [
    ("context_reads", "sys_exit"),
    ("context_sends", "sys_enter"),
];

/// Has it learn for which trace a request is sent. Without that nothing is carried. It goes behind
/// what takes note of transfers.
pub fn attach_context(ebpf: &mut Ebpf, layout: &KernelLayout) -> Result<(), String> {
    if layout.source != LayoutSource::Kernel {
        return Err("only a layout that the kernel tells itself is trusted with it".to_owned());
    }
    let types = Btf::from_sys_fs().map_err(|error| one_line(&error))?;
    CONTEXT.iter().try_for_each(|(name, tracepoint)| {
        typed_tracepoint(ebpf, name, tracepoint, &types, ProgramExtent::Attach)
    })
}

fn kretprobes(ebpf: &mut Ebpf, extent: ProgramExtent) -> Result<(), String> {
    kretprobe(ebpf, "return_bytes", &BYTE_CALLS, extent)?;
    kretprobe(ebpf, "return_messages", &MESSAGE_CALLS, extent)
}

fn kretprobe(
    ebpf: &mut Ebpf,
    name: &str,
    calls: &[&str],
    extent: ProgramExtent,
) -> Result<(), String> {
    let program: &mut KProbe = program(ebpf, name)?;
    program.load().map_err(|error| one_line(&error))?;
    let attached = match extent {
        ProgramExtent::Load => &[],
        ProgramExtent::Attach => calls,
    };
    for call in attached {
        program
            .attach(system_call_function(call), 0)
            .map_err(|error| one_line(&error))?;
    }
    Ok(())
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
    <&'a mut P as TryFrom<&'a mut aya::programs::Program>>::Error: std::fmt::Display,
{
    ebpf.program_mut(name)
        .ok_or_else(|| format!("the object has no program {name}"))?
        .try_into()
        .map_err(|error| format!("{name}: {error}"))
}
