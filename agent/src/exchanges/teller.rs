//! Who makes spans of exchanges that lack nothing, unless nobody wants them, and counts both.
//! Before any of that, each exchange is shown to who counts.

use wirespan_protocols::exchange::Exchange;

use super::{HeldTraces, Placed, TailSpan};
use crate::config::{Sampler, SpanConfig};
use crate::health::{Health, LeftOut, LeftOutTally};
use crate::links::Mechanism;
use crate::outlet::{Observation, Outlet};
use crate::span::{Span, SpanMaker, Surroundings, stages};
use crate::trace_context::{Choice, FLAG_SAMPLED, randomness, with_threshold};

/// Makes spans, and leaves some out.
#[derive(Debug)]
pub struct Teller {
    /// Makes them.
    pub spans: SpanMaker,
    sampler: Sampler,
    tells_stages: bool,
    /// Holds them until it is known what became of their traces.
    pub tail: HeldTraces,
    made: u64,
    left_out: LeftOutTally,
}

impl Teller {
    /// One that does as `config` says, and may hold so many bytes of spans.
    #[must_use]
    pub fn new(spans: SpanMaker, config: &SpanConfig, held_bytes_max: usize) -> Self {
        let mut teller = Self {
            spans,
            sampler: Sampler::default(),
            tells_stages: false,
            tail: HeldTraces::new(held_bytes_max),
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
        self.tells_stages = config.tells_queue();
        let rules = config.tail_sampling.as_deref();
        self.tail.reconfigure(rules.unwrap_or_default());
    }

    /// An exchange lacks nothing, or waits no longer.
    pub fn tell(
        &mut self,
        now_ns: u64,
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
        let served_ns = placed.served_ns.filter(|_| self.tells_stages);
        self.made += 1;
        if placed.is_left_to_sdk {
            return self.left_out.add(LeftOut::Instrumented, 1);
        }
        let choice = self.sampler.choose(&placed.context);
        if choice == Choice::Drop {
            return self.left_out.add(LeftOut::Sampler, 1);
        }
        placed.context.flags |= FLAG_SAMPLED;
        let wall_offset_ns = surroundings.wall_offset_ns;
        let mut span = self
            .spans
            .make(exchange, placed.context, placed.link, surroundings);
        span.follows = placed.follows.take();
        if let Choice::KeepFrom(threshold) = choice {
            let randomness = placed.context.randomness;
            let state = span.trace_state.as_deref();
            span.trace_state = Some(with_threshold(state, threshold, randomness));
        }
        let stages = served_ns
            .and_then(|served_ns| stages(&span, served_ns.saturating_add_signed(wall_offset_ns)));
        for stage in stages.into_iter().flatten() {
            self.made += 1;
            self.hand_on(now_ns, stage, &placed, false, out);
        }
        // What asked for it elsewhere is told there.
        let is_top = !placed.link.is_some_and(Mechanism::is_within_node);
        self.hand_on(now_ns, span, &placed, is_top, out);
    }

    /// A span is chosen by the sampler.
    fn hand_on(
        &mut self,
        now_ns: u64,
        span: Span,
        placed: &Placed,
        is_top: bool,
        out: &mut dyn Outlet,
    ) {
        if !self.tail.is_needed() {
            return out.span(span);
        }
        let it = TailSpan {
            span,
            is_top,
            randomness: randomness(&placed.context),
            explicit: placed.context.randomness,
        };
        self.tail.add(it, now_ns, out);
    }

    /// Hands over what was counted since the last time; whether anything was.
    pub fn count(&mut self, health: &Health) -> bool {
        let tail = self.tail.take_counts();
        self.left_out.add(LeftOut::Tail, tail.left_out);
        if tail.early > 0 {
            health.decided_early(tail.early);
        }
        let was_made = self.made > 0;
        if was_made || tail.left_out > 0 {
            health.made_spans(std::mem::take(&mut self.made));
            health.left_out_spans(std::mem::take(&mut self.left_out));
        }
        was_made
    }
}
