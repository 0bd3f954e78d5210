//! How a run would see calls and place probes here, found out by loading what it would load.
//! Nothing is attached but to connections of its own, and what was loaded is gone with the end of
//! the look.

use super::kernel_layout::KernelLayout;
use super::{StartError, carriers, object, strategy, tls};
use crate::config::{CaptureConfig, Strategy};

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Survey {
    /// How it would see calls.
    pub strategy: Strategy,
    /// Cheaper ways that this kernel refuses, with the reason.
    pub refused: Vec<(Strategy, String)>,
    /// Whether programs can walk frames of HTTP/2.
    pub walks_frames: bool,
    /// Whether many probes go by one link.
    pub links_many: bool,
    /// What keeps calls from carrying their trace in header fields, if anything does; in one line.
    pub carriers: Result<(), String>,
}

/// Looks.
///
/// # Errors
/// What would keep a run from starting.
pub fn survey(layout: &KernelLayout, config: &CaptureConfig) -> Result<Survey, StartError> {
    let mut ebpf = object::load(&layout.offsets, config)?;
    strategy::load_life_cycle(&mut ebpf)?;
    strategy::load_look(&mut ebpf)?;
    let (strategy, refused) = strategy::load(&mut ebpf, layout, config.strategy)?;
    let carriers = carriers::try_out(&object::maps(&ebpf)).map_err(|refusal| refusal.to_string());
    Ok(Survey {
        strategy,
        refused,
        walks_frames: strategy::can_walk(),
        links_many: tls::knows_links(),
        carriers,
    })
}
