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
                          for headers that a program passes on), header fields are not added, and \
                          nobody looks at sockets that are silent: what was closed unseen is \
                          noticed late";
/// The same of header fields, in one line.
pub const CARRIES_NOTHING: &str = "the programs for old kernels change nothing that is sent";

/// The kernel side, loaded or attached.
pub struct LoadedSide {
    pub ebpf: Ebpf,
    pub side: KernelSide,
    pub strategy: Strategy,
    /// Ways that were tried before, with why they don't work.
    pub refused: Vec<(Strategy, String)>,
    /// Why it is the legacy one, where nobody asked for that.
    pub fell_back: Option<String>,
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
    let (mut loaded, fell_back) = first_that_works(config.strategy, |side| {
        start_side(side, layout, config, extent)
    })?;
    loaded.fell_back = fell_back;
    Ok(loaded)
}

/// What `go` makes of the first side that it works with, or of the one that has the forced
/// strategy; and why it is not the modern one, where that was tried.
fn first_that_works<T>(
    forced: Option<Strategy>,
    mut go: impl FnMut(KernelSide) -> Result<T, StartError>,
) -> Result<(T, Option<String>), StartError> {
    if let Some(strategy) = forced {
        let side = match strategy.is_legacy() {
            true => KernelSide::Legacy,
            false => KernelSide::Modern,
        };
        return Ok((go(side)?, None));
    }
    let refused = match go(KernelSide::Modern) {
        Ok(modern) => return Ok((modern, None)),
        Err(refused) => refused,
    };
    match go(KernelSide::Legacy) {
        Ok(legacy) => Ok((legacy, Some(refused.to_string()))),
        Err(error) => {
            // What keeps both from working is said once.
            if error.to_string() != refused.to_string() {
                log::warn!(
                    "nor do the programs for older kernels work: {}",
                    Visible(&error)
                );
            }
            Err(refused)
        }
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
        fell_back: None,
    })
}

/// Says what can't be had here, once, and why.
pub fn tell_limits(loaded: &LoadedSide, config: &CaptureConfig) {
    if loaded.side == KernelSide::Modern {
        return;
    }
    if let Some(reason) = &loaded.fell_back {
        log::warn!("newer kernels have more: {}", Visible(reason));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(side: KernelSide) -> StartError {
        StartError::Load(format!("{side:?}"))
    }

    type ChosenSide = Result<(KernelSide, Option<String>), String>;

    /// What comes of it where only `works` does, and which were tried.
    fn chosen(
        forced: Option<Strategy>,
        works: Option<KernelSide>,
    ) -> (ChosenSide, Vec<KernelSide>) {
        let mut tried = Vec::new();
        let found = first_that_works(forced, |side| {
            tried.push(side);
            match works {
                Some(works) if works == side => Ok(side),
                _ => Err(refusal(side)),
            }
        });
        (found.map_err(|error| error.to_string()), tried)
    }

    #[test]
    fn the_legacy_object_is_taken_where_the_other_is_refused_and_says_why() {
        use KernelSide::{Legacy, Modern};

        let (found, tried) = chosen(None, Some(Modern));
        assert_eq!((found, tried), (Ok((Modern, None)), vec![Modern]));
        let (found, tried) = chosen(None, Some(Legacy));
        let why = refusal(Modern).to_string();
        let right = Ok((Legacy, Some(why.clone())));
        assert_eq!((found, tried), (right, vec![Modern, Legacy]));
        // The newer one's reason is what a newer kernel's user can do something about.
        let (found, tried) = chosen(None, None);
        assert_eq!((found, tried), (Err(why), vec![Modern, Legacy]));
    }

    #[test]
    fn a_strategy_that_is_forced_decides_which_is_tried_alone() {
        use KernelSide::{Legacy, Modern};

        for (strategy, side) in [
            (Strategy::LegacyKprobes, Legacy),
            (Strategy::Legacy, Legacy),
            (Strategy::Kprobes, Modern),
        ] {
            let (found, tried) = chosen(Some(strategy), Some(side));
            assert_eq!((found, tried), (Ok((side, None)), vec![side]));
            let (found, tried) = chosen(Some(strategy), None);
            assert_eq!((found.is_err(), tried), (true, vec![side]));
        }
    }
}
