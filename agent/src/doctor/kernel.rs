//! What the kernel offers: its types, the ways into sockets and TLS that a run would take, control
//! groups. Programs are loaded to find that out, which the kernel checks and forgets again; none is
//! attached but to connections of the doctor's own, and a control group of theirs.

use super::check::Check;
use super::machine::Machine;
use super::rights;
use crate::capture;
use crate::capture::kernel_layout::{self, KernelLayout, LayoutError, LayoutSource};
use crate::config::{CaptureConfig, CarriersConfig, Strategy};

/// All of it.
pub fn checks(machine: &Machine, config: &CaptureConfig) -> Vec<Check> {
    let mut checks = vec![release(machine)];
    let layout = kernel_layout::find(&config.layout);
    checks.extend(types(&layout));
    checks.push(groups(machine));
    // What keeps a run from starting is said once.
    if let (true, Ok(layout)) = (rights::may_start(machine), &layout) {
        checks.extend(ways(layout, config));
    } else {
        let found = "not tried: what is said above keeps a run from starting";
        checks.push(Check::fail("sockets", found, "see above"));
    }
    checks
}

fn release(machine: &Machine) -> Check {
    let release = machine.sysctl("kernel/osrelease");
    Check::pass("kernel", release.unwrap_or_else(|| "not told".to_owned()))
}

/// Who says where the kernel keeps its structures, and what is not done with that.
fn types(layout: &Result<KernelLayout, LayoutError>) -> Vec<Check> {
    const CHECK: &str = "kernel types (BTF)";
    let layout = match layout {
        Ok(layout) => layout,
        Err(error) => {
            let remedy = "mount the host's /sys/kernel/btf, give the kernel's BTF by WIRESPAN_BTF, \
                          or take a kernel that is built with CONFIG_DEBUG_INFO_BTF";
            return vec![Check::fail(CHECK, error.to_string(), remedy)];
        }
    };
    let refused = layout.refused.iter();
    let refused = refused.map(|(source, reason)| format!("; not by {source}: {reason}"));
    let found = format!(
        "known by {}, {}{}",
        layout.source,
        match &layout.untried {
            None => "and tried on own sockets".to_owned(),
            Some(why) => format!("not tried on own sockets: {why}"),
        },
        refused.collect::<String>(),
    );
    // What the user gave was meant to be taken.
    let gave = |(source, _): &(LayoutSource, String)| matches!(source, LayoutSource::File(_));
    let mut checks = vec![if layout.refused.iter().any(gave) {
        Check::warn(CHECK, found, "let WIRESPAN_BTF be of this very kernel")
    } else {
        Check::pass(CHECK, found)
    }];
    let remedy = "give the kernel's BTF by WIRESPAN_BTF, if that is needed";
    let lacking = layout.shortcomings();
    checks.extend(lacking.map(|what| Check::warn("kernel layout", what, remedy)));
    checks
}

fn groups(machine: &Machine) -> Check {
    const CHECK: &str = "control groups";
    let version = match machine.sys("fs/cgroup/cgroup.controllers") {
        Some(_) => "version 2",
        None if machine.sys.join("fs/cgroup/memory").exists() => "version 1",
        None => "not mounted here; those of processes are read all the same",
    };
    Check::pass(CHECK, version)
}

fn ways(layout: &KernelLayout, config: &CaptureConfig) -> Vec<Check> {
    const SOCKETS: &str = "sockets";
    let survey = match capture::survey(layout, config) {
        Ok(survey) => survey,
        Err(error) => {
            let remedy = "take a kernel of 5.10 or later, or see what the reason names";
            return vec![Check::fail(SOCKETS, error.to_string(), remedy)];
        }
    };
    let refused = survey.refused.iter();
    let refused = refused.map(|(strategy, reason)| format!("; {strategy} is refused: {reason}"));
    let found = format!(
        "calls are seen by {}{}",
        survey.strategy,
        refused.collect::<String>()
    );
    let misses = matches!(survey.strategy, Strategy::Kprobes | Strategy::LegacyKprobes);
    let sockets = if misses {
        let remedy = "calls may be missed where many block at a time: take a newer kernel, or \
                      another WIRESPAN_CAPTURE";
        Check::warn(SOCKETS, found, remedy)
    } else {
        Check::pass(SOCKETS, found)
    };
    let frames = if survey.walks_frames {
        Check::pass("HTTP/2 frames", "DATA is counted, not copied")
    } else {
        Check::warn(
            "HTTP/2 frames",
            "DATA is copied, within bounds: programs can't walk frames (bpf_loop)",
            "a kernel of 5.17 or later, or nothing: it costs more",
        )
    };
    let probes = if survey.links_many {
        Check::pass("TLS probes", "one link places many (uprobe_multi)")
    } else {
        Check::warn(
            "TLS probes",
            "each is placed by a perf event of its own: slow to place and to take away",
            "a kernel of 6.6 or later; here, kernels that were corrected since 2025 take \
             CAP_SYS_ADMIN for it",
        )
    };
    let legacy = survey.leaves_out.map(|what| {
        let why = survey.fell_back.map(|why| format!("; because {why}"));
        let why = why.unwrap_or_default();
        Check::warn(
            "records",
            format!("they go by perf buffers, as old kernels have them: {what}{why}"),
            "a kernel of 5.10 or later, or nothing",
        )
    });
    let CarriersConfig {
        headers, option, ..
    } = config.carriers;
    let headers = carrier("context in headers", headers, survey.headers);
    let option = carrier("context in TCP options", option, survey.option);
    [sockets, frames, probes, headers, option]
        .into_iter()
        .chain(legacy)
        .collect()
}

/// Whether calls can carry their trace in a way: told in any case, a worry only where it was asked
/// for.
fn carrier(check: &'static str, is_asked: bool, tried: Result<(), String>) -> Check {
    match tried {
        Ok(()) if is_asked => Check::pass(check, "the self-test passes"),
        Ok(()) => Check::pass(check, "not asked for; the self-test passes"),
        Err(refusal) if is_asked => Check::warn(
            check,
            refusal,
            "take another kernel, or leave BEYLA_BPF_CONTEXT_PROPAGATION disabled",
        ),
        Err(refusal) => Check::pass(check, format!("not asked for; {refusal}")),
    }
}
