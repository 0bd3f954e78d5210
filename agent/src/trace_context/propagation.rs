//! Which of the contexts in a request's header is believed. It parses nothing: the formats are read
//! in [`wirespan_protocols::trace_headers`].

use wirespan_protocols::trace_headers::{Format, TraceHeaders};
use wirespan_protocols::trace_parent::TraceParent;

use crate::config::{Propagator, SpanConfig};

/// What a request says of the trace that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The span that asked, if it says.
    pub parent: Option<TraceParent>,
    /// By which all who sample that trace decide, if it is not the end of its id: 56 bits.
    pub randomness: Option<u64>,
    /// A number for its `X-Request-Id`, where those count.
    pub request_id: Option<u64>,
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Propagation {
    /// The first one that a header has wins.
    formats: Vec<Format>,
    links_request_ids: bool,
}

impl Propagation {
    /// As `config` says. W3C Trace Context comes first, the others in the order of the setting.
    #[must_use]
    pub fn new(config: &SpanConfig) -> Self {
        let mut formats: Vec<_> = config.propagators().filter_map(format).collect();
        formats.sort_by_key(|format| *format != Format::TraceContext);
        Self {
            formats,
            links_request_ids: config.links_request_ids(),
        }
    }

    /// What a header with all this in it says.
    #[must_use]
    pub fn named(&self, headers: &TraceHeaders) -> Named {
        let found = self
            .formats
            .iter()
            .find_map(|format| Some((*format, headers.of(*format)?)));
        let is_w3c = found.is_some_and(|(format, _)| format == Format::TraceContext);
        Named {
            parent: found.map(|(_, parent)| parent),
            randomness: headers.randomness().filter(|_| is_w3c),
            request_id: headers.request_id().filter(|_| self.links_request_ids),
        }
    }
}

fn format(propagator: Propagator) -> Option<Format> {
    Some(match propagator {
        Propagator::TraceContext => Format::TraceContext,
        Propagator::B3 => Format::B3,
        Propagator::B3Multi => Format::B3Multi,
        Propagator::Jaeger => Format::Jaeger,
        Propagator::XRay => Format::XRay,
        Propagator::Unknown => return None,
    })
}
