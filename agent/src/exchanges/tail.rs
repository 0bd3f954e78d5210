//! Traces that are told once it is known what became of them on this node: those that a rule is for
//! at once, of the others a share. Spans are held until nothing of their trace is awaited; there is
//! room for so many bytes, and what has none is decided on as it is. It makes no spans.

mod rules;

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use wirespan_protocols::heap;

use crate::config::TailRule;
use crate::outlet::Outlet;
use crate::span::Span;
use crate::trace_context::raise_threshold;
use rules::TailRules;

/// How long after the end of what was at its top a trace is decided on, in nanoseconds of record
/// time: what came of it is told a little later.
const SETTLED_NS: u64 = 500_000_000;
/// How long after the last span of a trace it is decided on whose top was not seen.
const HELD_NS: u64 = 60_000_000_000;
/// Traces of which it is remembered how they were decided on: what comes of them later goes alike.
const VERDICTS_MAX: usize = 16 * 1024;

type TraceKey = [u8; 16];

/// When a trace is decided on, and which of several is first.
type DueTurn = (u64, u64);

/// A span that is over.
#[derive(Debug)]
pub struct TailSpan {
    pub span: Span,
    /// Nothing on this node asked for it.
    pub is_top: bool,
    /// Of its trace, by which a share is decided: 56 bits.
    pub randomness: u64,
    /// The same if it is not the end of the trace's id.
    pub explicit: Option<u64>,
}

/// What became of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailCounts {
    /// Spans that are not told.
    pub left_out: u64,
    /// Traces that were decided on before they were over.
    pub early: u64,
}

#[derive(Debug)]
struct HeldTrace {
    spans: Vec<Span>,
    bytes: usize,
    due: DueTurn,
    randomness: u64,
    explicit: Option<u64>,
    /// Of the first rule with a share that is for it, and its threshold.
    share: Option<(usize, u64)>,
}

/// All that are held.
#[derive(Debug)]
pub struct HeldTraces {
    rules: TailRules,
    bytes_max: usize,
    held: HashMap<TraceKey, HeldTrace>,
    due: BTreeMap<DueTurn, TraceKey>,
    serial: u64,
    bytes: usize,
    /// Whether they are told.
    verdicts: HashMap<TraceKey, bool>,
    /// In the order in which they were decided on.
    decided: VecDeque<TraceKey>,
    counts: TailCounts,
}

impl HeldTraces {
    /// Holds nothing; there is room for so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            rules: TailRules::default(),
            bytes_max,
            held: HashMap::new(),
            due: BTreeMap::new(),
            serial: 0,
            bytes: 0,
            verdicts: HashMap::new(),
            decided: VecDeque::new(),
            counts: TailCounts::default(),
        }
    }

    /// These rules hold from now on, for what is held too.
    pub fn reconfigure(&mut self, rules: &[TailRule]) {
        self.rules = TailRules::new(rules);
    }

    /// There is room for so many bytes from now on.
    pub fn bound(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Whether there are rules, or spans that were held by some.
    #[inline]
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.rules.are_none() || !self.held.is_empty()
    }

    /// A span is over.
    pub fn add(&mut self, it: TailSpan, now_ns: u64, out: &mut dyn Outlet) {
        let trace = it.span.trace_id;
        let judged = self.rules.judge(&it.span);
        if judged.is_wanted || self.rules.are_none() {
            self.tell(trace, out);
            self.remember(trace, true);
            return out.span(it.span);
        }
        match self.verdicts.get(&trace) {
            Some(true) => return out.span(it.span),
            Some(false) => return self.counts.left_out += 1,
            None => {}
        }
        self.hold(it, judged.share, now_ns);
        if self.bytes > self.bytes_max {
            self.tick(now_ns, out);
        }
        while self.bytes > self.bytes_max && !self.due.is_empty() {
            self.counts.early += 1;
            self.decide_first(out);
        }
    }

    fn hold(&mut self, it: TailSpan, share: Option<(usize, u64)>, now_ns: u64) {
        self.serial += 1;
        let trace = it.span.trace_id;
        let bytes = it.span.memory_bytes();
        let waits_ns = if it.is_top { SETTLED_NS } else { HELD_NS };
        let until_ns = now_ns.saturating_add(waits_ns);
        let held = self.held.entry(trace).or_insert_with(|| HeldTrace {
            spans: Vec::new(),
            bytes: 0,
            due: (u64::MAX, self.serial),
            randomness: it.randomness,
            explicit: it.explicit,
            share: None,
        });
        self.due.remove(&held.due);
        // What came of it after its end does not hold it any longer.
        let is_over = held.due.0 <= now_ns.saturating_add(SETTLED_NS);
        let until_ns = if is_over { held.due.0 } else { until_ns };
        held.due = (until_ns, self.serial);
        self.due.insert(held.due, trace);
        held.share = [held.share, share].into_iter().flatten().min();
        held.bytes += bytes;
        held.spans.push(it.span);
        self.bytes += bytes;
    }

    /// Time passed: decides on those that are due. `now_ns` is time as records tell it.
    pub fn tick(&mut self, now_ns: u64, out: &mut dyn Outlet) {
        while let Some((&(until_ns, _), _)) = self.due.first_key_value()
            && (until_ns <= now_ns || self.rules.are_none())
        {
            self.decide_first(out);
        }
    }

    /// There will be no more: decides on all.
    pub fn finish(&mut self, out: &mut dyn Outlet) {
        while !self.due.is_empty() {
            self.decide_first(out);
        }
    }

    /// When the first one is decided on.
    #[must_use]
    pub fn until_ns(&self) -> Option<u64> {
        let (&(until_ns, _), _) = self.due.first_key_value()?;
        Some(until_ns)
    }

    fn decide_first(&mut self, out: &mut dyn Outlet) {
        let Some((_, trace)) = self.due.pop_first() else {
            return;
        };
        let Some(held) = self.held.remove(&trace) else {
            return;
        };
        self.bytes -= held.bytes;
        let threshold = match held.share {
            _ if self.rules.are_none() => 0,
            Some((_, threshold)) => threshold,
            None => self.rules.threshold(),
        };
        let is_told = held.randomness >= threshold;
        self.remember(trace, is_told);
        if !is_told {
            self.counts.left_out += held.spans.len() as u64;
            return;
        }
        for mut span in held.spans {
            if threshold > 0 {
                let state = span.trace_state.as_deref();
                span.trace_state = Some(raise_threshold(state, threshold, held.explicit));
            }
            out.span(span);
        }
    }

    /// Tells what is held of a trace.
    fn tell(&mut self, trace: TraceKey, out: &mut dyn Outlet) {
        let Some(held) = self.held.remove(&trace) else {
            return;
        };
        self.due.remove(&held.due);
        self.bytes -= held.bytes;
        for span in held.spans {
            out.span(span);
        }
    }

    fn remember(&mut self, trace: TraceKey, is_told: bool) {
        if self.rules.are_none() {
            return;
        }
        if self.verdicts.insert(trace, is_told).is_none() {
            self.decided.push_back(trace);
        }
        if self.decided.len() > VERDICTS_MAX
            && let Some(oldest) = self.decided.pop_front()
        {
            self.verdicts.remove(&oldest);
        }
    }

    /// What was counted since the last time.
    pub fn take_counts(&mut self) -> TailCounts {
        std::mem::take(&mut self.counts)
    }

    /// Bytes of the spans, which grow most.
    #[inline]
    pub fn growing_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.growing_bytes()
            + heap::table::<(TraceKey, HeldTrace)>(self.held.capacity())
            + self.due.len() * size_of::<(DueTurn, TraceKey)>()
            + heap::table::<(TraceKey, bool)>(self.verdicts.capacity())
            + heap::vec::<TraceKey>(self.decided.capacity())
    }
}
