//! Who makes spans of exchanges that lack nothing, unless nobody wants them, and counts both.
//! Before any of that, each exchange is shown to who counts.

use wirespan_protocols::exchange::Exchange;

use super::Placed;
use crate::config::{Sampler, SpanConfig};
use crate::health::{Health, LeftOut, LeftOutTally};
use crate::outlet::{Observation, Outlet};
use crate::span::{SpanMaker, Surroundings};
use crate::trace_context::{Choice, FLAG_SAMPLED, with_threshold};

/// Makes spans, and leaves some out.
#[derive(Debug)]
pub struct Teller {
    /// Makes them.
    pub spans: SpanMaker,
    sampler: Sampler,
    made: u64,
    left_out: LeftOutTally,
}

impl Teller {
    /// One that does as `config` says.
    #[must_use]
    pub fn new(spans: SpanMaker, config: &SpanConfig) -> Self {
        let mut teller = Self {
            spans,
            sampler: Sampler::default(),
            made: 0,
            left_out: LeftOutTally::default(),
        };
        teller.reconfigure(config);
        teller
    }

    /// Does as `config` says from now on.
    pub fn reconfigure(&mut self, config: &SpanConfig) {
        self.spans.reconfigure(config);
        self.sampler = config.sampler.unwrap_or_default();
    }

    /// An exchange lacks nothing, or waits no longer.
    pub fn tell(
        &mut self,
        exchange: Exchange,
        mut placed: Placed,
        surroundings: Surroundings<'_>,
        out: &mut dyn Outlet,
    ) {
        out.observe(&Observation {
            exchange: &exchange,
            resource: surroundings.resource,
            ends: surroundings.ends,
        });
        if self.spans.ignores(&exchange) {
            return;
        }
        self.made += 1;
        let choice = self.sampler.choose(&placed.context);
        if choice == Choice::Drop {
            return self.left_out.add(LeftOut::Sampler, 1);
        }
        placed.context.flags |= FLAG_SAMPLED;
        let mut span = self
            .spans
            .make(exchange, placed.context, placed.link, surroundings);
        if let Choice::KeepFrom(threshold) = choice {
            let randomness = placed.context.randomness;
            let state = span.trace_state.as_deref();
            span.trace_state = Some(with_threshold(state, threshold, randomness));
        }
        out.span(span);
    }

    /// Hands over what was counted since the last time; whether anything was.
    pub fn count(&mut self, health: &Health) -> bool {
        let was_made = self.made > 0;
        if was_made {
            health.made_spans(std::mem::take(&mut self.made));
            health.left_out_spans(std::mem::take(&mut self.left_out));
        }
        was_made
    }
}
