//! Which of the kernel side's objects works here, found out by trying: the first one, and where the
//! kernel refuses that, the legacy one. No kernel version is compared.

use std::sync::Arc;

use super::StartError;
use super::kernel_layout::KernelLayout;
use super::object::{self, KernelSide};
use super::perf::{LostSamples, PerfReader};
use super::ring::Reader;
use super::strategy::{self, ProgramExtent};
use crate::config::{CaptureConfig, Strategy};
use crate::visible::Visible;
use aya::Ebpf;

/// What the legacy object leaves out, for people.
pub const LIMITS: &str = "DATA of HTTP/2 is copied rather than counted, tasks of runtimes are not \
                          told apart (what a server calls for a request is not linked to it, but \
                          for headers that a program passes on), and nobody looks at sockets that \
                          are silent: what was closed unseen is noticed late";

/// The same of header fields, in one line.
pub const CARRIES_NOTHING: &str = "the legacy object changes nothing that is sent";

/// The kernel side, loaded or attached.
pub struct LoadedSide {
    pub ebpf: Ebpf,
    pub side: KernelSide,
    pub strategy: Strategy,
    /// Ways that were tried before, with why they don't work.
    pub refused: Vec<(Strategy, String)>,
}

/// Goes as far with the first object that works, and the forced strategy or the first that works.
///
/// # Errors
/// What keeps the object from working that was asked for, or the one that is for newer kernels.
pub fn start(
    layout: &KernelLayout,
    config: &CaptureConfig,
    extent: ProgramExtent,
) -> Result<LoadedSide, StartError> {
    let go = |side| start_side(side, layout, config, extent);
    match config.strategy {
        Some(strategy) if strategy.is_legacy() => go(KernelSide::Legacy),
        Some(_) => go(KernelSide::Modern),
        None => go(KernelSide::Modern).or_else(|refused| {
            log::debug!(
                "the object for newer kernels does not work here: {}",
                Visible(&refused)
            );
            go(KernelSide::Legacy).map_err(|error| {
                log::warn!("nor does the one for older kernels: {}", Visible(&error));
                refused
            })
        }),
    }
}

fn start_side(
    side: KernelSide,
    layout: &KernelLayout,
    config: &CaptureConfig,
    extent: ProgramExtent,
) -> Result<LoadedSide, StartError> {
    let mut ebpf = object::load(side, &layout.offsets, config)?;
    strategy::life_cycle(&mut ebpf, extent)?;
    if side == KernelSide::Modern {
        strategy::load_look(&mut ebpf)?;
    }
    let (strategy, refused) = strategy::choose(&mut ebpf, layout, side, config.strategy, extent)?;
    Ok(LoadedSide {
        ebpf,
        side,
        strategy,
        refused,
    })
}

/// Says what can't be had here, once.
pub fn tell_limits(side: KernelSide, config: &CaptureConfig) {
    if side == KernelSide::Modern {
        return;
    }
    log::warn!("capturing as old kernels can: {LIMITS}");
    if config.shards > 1 {
        log::warn!("all records are taken by one thread: perf buffers have no shards");
    }
    if config.bpf_debug {
        log::warn!("the kernel side has no log here");
    }
}

/// Who reads records, for each shard; and what perf buffers lose, where there are such.
pub fn readers(
    ebpf: &mut Ebpf,
    side: KernelSide,
    shards: u8,
) -> Result<(Vec<Reader>, Option<Arc<LostSamples>>), StartError> {
    if side == KernelSide::Legacy {
        let reader = PerfReader::new(ebpf)?;
        let lost = reader.lost();
        return Ok((vec![Reader::Perf(Box::new(reader))], Some(lost)));
    }
    let readers = (0..shards).map(|shard| Reader::new(ebpf, shard));
    Ok((readers.collect::<Result<_, _>>()?, None))
}
