//! What the running kernel's verifier says of programs that are loaded only where somebody asks for
//! them. Nothing is attached. It takes root.

use aya::Btf;
use aya::programs::BtfTracePoint;
use wirespan_common::carriers::OptionEnd;

use super::set;
use crate::capture::bpf::ProgramUse;
use crate::capture::loader::Loader;
use crate::capture::{kernel_layout, object, strategy};
use crate::config::{CaptureConfig, CarriersConfig};

/// The object, for a run that carries; `None` where it can't be loaded.
pub fn carrying() -> Option<aya::Ebpf> {
    if !rustix::process::geteuid().is_root() || !strategy::can_walk() {
        return None;
    }
    let layout = kernel_layout::described_by_kernel().expect("the kernel describes itself");
    let config = CaptureConfig {
        carriers: CarriersConfig {
            headers: true,
            ..CarriersConfig::default()
        },
        ..CaptureConfig::default()
    };
    Some(object::load(object::KernelSide::Modern, &layout, &config).expect("it loads"))
}

#[test]
fn what_learns_for_whom_requests_are_sent_loads() {
    let Some(mut ebpf) = carrying() else { return };
    let types = Btf::from_sys_fs().expect("types");
    for (name, tracepoint) in [
        ("context_reads", "sys_exit"),
        ("context_sends", "sys_enter"),
    ] {
        let program: &mut BtfTracePoint = ebpf
            .program_mut(name)
            .expect("it is there")
            .try_into()
            .expect("a tracepoint");
        let loaded = program.load(tracepoint, &types);
        loaded.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

#[test]
fn what_writes_and_reads_the_option_loads() {
    let Some(ebpf) = carrying() else { return };
    let mut maps = object::maps(&ebpf);
    let ends = set::storage(size_of::<OptionEnd>()).expect("storage of sockets");
    maps.insert("OPTION_ENDS".to_owned(), ends);
    let mut loader = Loader::new(maps);
    let loaded = loader.load(ProgramUse::Sockets, &["carry_options"]);
    loaded.unwrap_or_else(|reason| panic!("{reason}"));
}
