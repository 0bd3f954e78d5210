//! `OTEL_PROPAGATORS`: which header fields are believed to name a trace
//! (opentelemetry-specification, configuration/sdk-environment-variables.md). What is not known is
//! warned of and passed over.

use serde::{Deserialize, Serialize};

use super::names::Setting;
use super::settings::Settings;
use super::values;

/// A format of such fields, by its name in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagator {
    /// `tracecontext`: W3C Trace Context.
    TraceContext,
    /// `b3`: B3 in one field.
    B3,
    /// `b3multi`: B3 in several fields.
    B3Multi,
    /// `jaeger`: `uber-trace-id`.
    Jaeger,
    /// `xray`: `X-Amzn-Trace-Id`.
    XRay,
    /// One of another version's.
    #[serde(other)]
    Unknown,
}

/// Those of the specification, but for `baggage`, which names no trace.
pub(super) const DEFAULT: [Propagator; 1] = [Propagator::TraceContext];

const NAMES: [(&str, Option<Propagator>); 6] = [
    ("tracecontext", Some(Propagator::TraceContext)),
    ("baggage", None),
    ("b3", Some(Propagator::B3)),
    ("b3multi", Some(Propagator::B3Multi)),
    ("jaeger", Some(Propagator::Jaeger)),
    ("xray", Some(Propagator::XRay)),
];

/// `None` if nothing that is known was set.
pub(super) fn read(settings: &Settings, warnings: &mut Vec<String>) -> Option<Vec<Propagator>> {
    let given = settings.of(Setting::Propagators)?;
    let mut propagators = Vec::new();
    let mut is_any_known = false;
    for item in values::items(&given.text) {
        let item = item.to_ascii_lowercase();
        if item == "none" {
            return Some(Vec::new());
        }
        let known = NAMES.iter().find(|(name, _)| *name == item);
        is_any_known |= known.is_some();
        match known {
            Some((_, None)) => {}
            Some((_, Some(propagator))) if propagators.contains(propagator) => {}
            Some((_, Some(propagator))) => propagators.push(*propagator),
            None => warnings.push(format!(
                "{}: {item:?} is not among the headers that wirespan reads (tracecontext, b3, \
                 b3multi, jaeger, xray): it is ignored",
                given.source
            )),
        }
    }
    is_any_known.then_some(propagators)
}
