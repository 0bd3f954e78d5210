//! `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` (opentelemetry-specification,
//! configuration/sdk-environment-variables.md). What is wrong is warned of and passed over, as it
//! says.

use serde::{Deserialize, Serialize};

use super::names::Setting;
use super::settings::Settings;

/// Which traces are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampler {
    /// Who came before decides, if he did.
    pub is_parent_based: bool,
    /// Else those whose randomness, of 56 bits, reaches this: 0 are all of them, 2^56 none.
    pub threshold: u64,
}

/// Of [`Sampler::threshold`].
const NONE: u64 = 1 << 56;

impl Default for Sampler {
    /// `parentbased_always_on`.
    fn default() -> Self {
        Self {
            is_parent_based: true,
            threshold: 0,
        }
    }
}

#[derive(Clone, Copy)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    Ratio,
}

const NAMES: [(&str, bool, Root); 6] = [
    ("always_on", false, Root::AlwaysOn),
    ("always_off", false, Root::AlwaysOff),
    ("traceidratio", false, Root::Ratio),
    ("parentbased_always_on", true, Root::AlwaysOn),
    ("parentbased_always_off", true, Root::AlwaysOff),
    ("parentbased_traceidratio", true, Root::Ratio),
];

/// `None` if no sampler that is known was set.
pub(super) fn read(settings: &Settings, warnings: &mut Vec<String>) -> Option<Sampler> {
    let Some(given) = settings.of(Setting::TracesSampler) else {
        if let Some(argument) = settings.of(Setting::TracesSamplerArg) {
            warnings.push(format!(
                "{}: without OTEL_TRACES_SAMPLER it means nothing: parentbased_always_on is used",
                argument.source
            ));
        }
        return None;
    };
    let name = given.text.trim().to_ascii_lowercase();
    let Some((_, is_parent_based, root)) = NAMES.iter().find(|(known, ..)| *known == name) else {
        warnings.push(format!(
            "{}: {name:?} is not among the samplers that wirespan has ({}): \
             parentbased_always_on is used",
            given.source,
            NAMES.map(|(name, ..)| name).join(", ")
        ));
        return None;
    };
    Some(Sampler {
        is_parent_based: *is_parent_based,
        threshold: match root {
            Root::AlwaysOn => 0,
            Root::AlwaysOff => NONE,
            Root::Ratio => threshold_of(ratio(settings, warnings)),
        },
    })
}

/// 1 if none was set that is one.
fn ratio(settings: &Settings, warnings: &mut Vec<String>) -> f64 {
    let Some(given) = settings.of(Setting::TracesSamplerArg) else {
        return 1.0;
    };
    part(given.text.trim()).unwrap_or_else(|| {
        warnings.push(format!(
            "{}: {:?} is not a number from 0 to 1: all traces are sampled",
            given.source, given.text
        ));
        1.0
    })
}

/// A part of a whole: a number from 0 to 1.
pub(super) fn part(text: &str) -> Option<f64> {
    let part: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&part).then_some(part)
}

/// How much randomness it takes to be in this part of all traces.
pub(super) fn threshold_of(part: f64) -> u64 {
    // Of 2^56, which a float holds exactly; a cast saturates.
    NONE - ((part * NONE as f64).round() as u64).min(NONE)
}
