//! How a run would see calls and place probes here, found out by loading what it would load.
//! Nothing is attached but to connections of its own, and what was loaded is gone with the end of
//! the look.

use super::kernel_layout::KernelLayout;
use super::object::KernelSide;
use super::strategy::ProgramExtent;
use super::{StartError, carriers, object, start, tls};
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
    pub headers: Result<(), String>,
    /// The same in a TCP option.
    pub option: Result<(), String>,
    /// What is not done here that others have, if anything.
    pub leaves_out: Option<&'static str>,
    /// Why not, where nobody asked for it.
    pub fell_back: Option<String>,
}

/// Looks.
///
/// # Errors
/// What would keep a run from starting.
pub fn survey(layout: &KernelLayout, config: &CaptureConfig) -> Result<Survey, StartError> {
    let found = start::start(layout, config, ProgramExtent::Load)?;
    let is_legacy = found.side == KernelSide::Legacy;
    let (headers, option) = if is_legacy {
        let nothing = || Err(start::CARRIES_NOTHING.to_owned());
        (nothing(), nothing())
    } else {
        let maps = object::maps(&found.ebpf);
        (
            carriers::try_out(&maps).map_err(|refusal| refusal.to_string()),
            carriers::try_out_option(&maps, &config.carriers)
                .map_err(|refusal| refusal.to_string()),
        )
    };
    Ok(Survey {
        strategy: found.strategy,
        refused: found.refused,
        walks_frames: found.side.can_walk(),
        links_many: !is_legacy && tls::knows_links(),
        headers,
        option,
        leaves_out: is_legacy.then_some(start::LIMITS),
        fell_back: found.fell_back,
    })
}
