//! Which traces are told: decided for all of a trace alike, and counted.

use std::collections::HashMap;
use std::sync::Arc;

use wirespan::config::{Propagator, Sampler, SpanConfig};
use wirespan::health::{Health, LeftOut};
use wirespan::outlet::{Observation, Outlet};
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::Span;
use wirespan_common::record::{Record, TaskKind};

use crate::links::{BACK, FRONT, INNER, OUTER, USER, all, get};
use crate::records::{MS, Recorder};
use crate::{CLIENT, OK, SERVER, WALL_NS};

/// Spans, and how many exchanges were shown.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) spans: Vec<Span>,
    pub(crate) observed: u64,
}

impl Outlet for Kept {
    fn observe(&mut self, _observation: &Observation<'_>) {
        self.observed += 1;
    }

    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }
}

/// What is told of records, and what was counted: made is told and left out.
pub(crate) fn tell(recorder: &mut Recorder) -> (Kept, Arc<Health>) {
    let health = Arc::new(Health::default());
    let config = PipelineConfig {
        seed: Some(1),
        ..PipelineConfig::default()
    };
    let mut pipeline = Pipeline::new(config, Arc::clone(&health));
    let mut kept = Kept::default();
    for bytes in recorder.records.drain(..) {
        let (record, _) = Record::decode(&bytes).expect("a record");
        pipeline.record(&record, &mut kept);
    }
    pipeline.finish(&mut kept);
    let left_out: u64 = LeftOut::ALL
        .map(|reason| health.spans_left_out(reason))
        .into_iter()
        .sum();
    assert_eq!(health.spans_made(), kept.spans.len() as u64 + left_out);
    assert_eq!(health.spans_made(), kept.observed, "all are shown");
    (kept, health)
}

pub(crate) fn sampler(is_parent_based: bool, threshold: u64) -> SpanConfig {
    SpanConfig {
        sampler: Some(Sampler {
            is_parent_based,
            threshold,
        }),
        ..SpanConfig::default()
    }
}

const HALF: u64 = 1 << 55;
const NONE: u64 = 1 << 56;

/// One request after the other, from the user through the front to the back.
pub(crate) fn requests(recorder: &mut Recorder, count: u64) {
    for n in 0..count {
        let path = format!("/{n}");
        recorder.at((n + 2) * 10 * MS);
        recorder.of(USER).write(OUTER[0], get(&path));
        recorder.of(FRONT).as_task(TaskKind::Goroutine, n, 0);
        recorder.read(OUTER[1], get(&path));
        recorder.write(INNER[0], get(&path));
        recorder.of(BACK).read(INNER[1], get(&path));
        recorder.write(INNER[1], OK);
        recorder.of(FRONT).as_task(TaskKind::Goroutine, n, 0);
        recorder.read(INNER[0], OK).write(OUTER[1], OK);
        recorder.of(USER).read(OUTER[0], OK);
    }
}

#[test]
fn a_trace_is_told_whole_or_not_at_all() {
    let mut recorder = all();
    recorder.settings(&sampler(true, HALF));
    requests(&mut recorder, 400);
    let (kept, health) = tell(&mut recorder);
    let mut traces: HashMap<[u8; 16], u32> = HashMap::new();
    for span in &kept.spans {
        *traces.entry(span.trace_id).or_default() += 1;
        assert_eq!(span.trace_state.as_deref(), Some("ot=th:8"));
        assert_eq!(span.trace_id[9] >> 7, 1, "the end of the id decides");
        assert_eq!(span.trace_flags & 1, 1);
    }
    assert!(traces.values().all(|spans| *spans == 4));
    assert!((150..250).contains(&traces.len()), "{}", traces.len());
    assert_eq!(health.spans_made(), 1600);
}

/// How many of two requests are told: one whose header says that it is sampled, and one whose
/// header says that it is not.
fn told(config: &SpanConfig, with_header: impl Fn(u8) -> String) -> [bool; 2] {
    [1, 0].map(|flag| {
        let mut recorder = Recorder::new(WALL_NS);
        recorder.settings(config).open_tcp(1, SERVER, CLIENT);
        let header = with_header(flag);
        let request = format!("GET /a HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n");
        recorder.read(1, request).write(1, OK);
        let (kept, _) = tell(&mut recorder);
        assert!(kept.spans.iter().all(|span| span.trace_flags & 1 == 1));
        kept.spans.len() == 1
    })
}

#[test]
fn what_the_caller_decided_holds_for_those_that_ask_him() {
    let w3c = |flag| format!("traceparent: 00-{:032x}-{:016x}-0{flag}", 7, 8);
    assert_eq!(told(&SpanConfig::default(), w3c), [true, false]);
    for (config, expected) in [
        (sampler(true, 0), [true, false]),
        (sampler(true, NONE), [true, false]),
        (sampler(false, 0), [true, true]),
        (sampler(false, NONE), [false, false]),
        // The id ends with little.
        (sampler(true, HALF), [true, false]),
        (sampler(false, HALF), [false, false]),
    ] {
        assert_eq!(told(&config, w3c), expected, "{:?}", config.sampler);
    }
    // Who leaves the decision to us gets ours.
    let deferred = |_| format!("b3: {:032x}-{:016x}", 7, 8);
    for (threshold, expected) in [(0, true), (NONE, false), (HALF, false)] {
        let config = SpanConfig {
            propagators: Some(vec![Propagator::B3]),
            ..sampler(true, threshold)
        };
        assert_eq!(told(&config, deferred), [expected; 2]);
    }
    // Explicit randomness counts instead of the id.
    let explicit = |flag| w3c(flag) + "\r\ntracestate: a=b,ot=rv:ffffffffffffff";
    assert_eq!(told(&sampler(false, HALF), explicit), [true, true]);
}

#[test]
fn a_caller_decides_for_all_that_comes_of_its_request() {
    for flag in [0, 1] {
        let mut recorder = all();
        let header = format!("traceparent: 00-{:032x}-{:016x}-0{flag}", 7, 8);
        recorder.of(FRONT).as_task(TaskKind::Goroutine, 1, 0);
        recorder.open_tcp(31, SERVER, CLIENT);
        recorder.read(31, format!("GET / HTTP/1.1\r\n{header}\r\n\r\n"));
        recorder.write(INNER[0], get("/b"));
        recorder.of(BACK).read(INNER[1], get("/b"));
        recorder.write(INNER[1], OK);
        recorder.of(FRONT).read(INNER[0], OK).write(31, OK);
        let (kept, health) = tell(&mut recorder);
        assert_eq!(kept.spans.len(), 3 * flag);
        assert_eq!(health.spans_made(), 3);
        let left_out = health.spans_left_out(LeftOut::Sampler);
        assert_eq!(left_out, 3 - 3 * flag as u64);
    }
}
