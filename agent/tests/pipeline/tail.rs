//! Traces that are told once it is known what became of them: which, when, and within which bounds.

use std::collections::HashMap;

use wirespan::config::{SpanConfig, TailCondition, TailRule};
use wirespan::health::{LeftOut, Loss};
use wirespan::memory::Ledger;
use wirespan::pipeline::PipelineConfig;
use wirespan::span::Span;
use wirespan_common::record::{Polled, TaskKind};

use crate::links::{BACK, FRONT, INNER, OUTER, USER, all, get};
use crate::records::{MS, Recorder};
use crate::sampling::{requests, sampler, tell};
use crate::{Bench, OK, WALL_NS};

const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
const HALF: u64 = 1 << 55;
const NONE: u64 = 1 << 56;

fn rule(path: &str, condition: TailCondition) -> TailRule {
    TailRule {
        path: (!path.is_empty()).then(|| path.to_owned()),
        condition,
    }
}

fn by(rules: &[TailRule]) -> SpanConfig {
    SpanConfig {
        tail_sampling: Some(rules.to_vec()),
        ..SpanConfig::default()
    }
}

/// A request from the user through the front to the back, which answers after some milliseconds.
fn request(recorder: &mut Recorder, path: &str, answer: &str, takes_ms: u64) {
    recorder.at(recorder.now_ns + MS);
    recorder.of(USER).write(OUTER[0], get(path));
    let task = recorder.now_ns;
    let of_front = |recorder: &mut Recorder| {
        recorder.of(FRONT).as_task(TaskKind::Goroutine, task, 0);
    };
    of_front(recorder);
    recorder.read(OUTER[1], get(path));
    recorder.write(INNER[0], get("/inner"));
    recorder.of(BACK).read(INNER[1], get("/inner"));
    recorder.at(recorder.now_ns + takes_ms * MS);
    recorder.write(INNER[1], answer);
    of_front(recorder);
    recorder.read(INNER[0], answer).write(OUTER[1], OK);
    recorder.of(USER).read(OUTER[0], OK);
}

/// How many spans are told of each of the requests with these paths.
fn told(spans: &[Span], paths: &[&str]) -> Vec<usize> {
    let of_path = |path: &&str| {
        let has_path = |span: &&Span| format!("{:?}", span.attributes).contains(*path);
        let trace = spans.iter().find(has_path).map(|span| span.trace_id);
        let is_of = |span: &&Span| Some(span.trace_id) == trace;
        spans.iter().filter(is_of).count()
    };
    paths.iter().map(of_path).collect()
}

#[test]
fn a_trace_with_an_error_or_a_slow_span_is_told_whole_and_the_rest_is_left_out() {
    let mut recorder = all();
    let slow = TailCondition::SlowerNs(200 * MS);
    recorder.settings(&by(&[rule("", TailCondition::Error), rule("", slow)]));
    request(&mut recorder, "/fine", OK, 199);
    request(&mut recorder, "/failed", FAILED, 1);
    request(&mut recorder, "/slow", OK, 200);
    let (kept, health) = tell(&mut recorder);
    let paths = ["/fine", "/failed", "/slow"];
    assert_eq!(told(&kept.spans, &paths), [0, 4, 4]);
    assert_eq!(health.spans_left_out(LeftOut::Tail), 4);
    assert!(kept.spans.iter().all(|span| span.trace_state.is_none()));
}

#[test]
fn rules_of_a_path_are_for_spans_with_it() {
    let mut recorder = all();
    let slow = |ms| TailCondition::SlowerNs(ms * MS);
    recorder.settings(&by(&[
        rule("/cart/*", slow(50)),
        rule("/health", TailCondition::Threshold(0)),
        rule("/{other,another}", TailCondition::Error),
    ]));
    let paths = ["/cart/7", "/cartoons", "/health", "/other", "/no-other"];
    request(&mut recorder, paths[0], OK, 60);
    request(&mut recorder, paths[1], OK, 60);
    request(&mut recorder, paths[2], OK, 1);
    // The error is one of a span with another path.
    request(&mut recorder, paths[3], FAILED, 1);
    request(&mut recorder, paths[4], FAILED, 1);
    let (kept, _) = tell(&mut recorder);
    assert_eq!(told(&kept.spans, &paths), [4, 0, 4, 0, 0]);
}

#[test]
fn of_the_rest_a_share_is_told_by_trace_and_says_so() {
    let mut recorder = all();
    recorder.settings(&by(&[
        rule("", TailCondition::Error),
        rule("", TailCondition::Threshold(HALF)),
    ]));
    requests(&mut recorder, 400);
    let (kept, _) = tell(&mut recorder);
    let mut traces: HashMap<[u8; 16], u32> = HashMap::new();
    for span in &kept.spans {
        *traces.entry(span.trace_id).or_default() += 1;
        assert_eq!(span.trace_state.as_deref(), Some("ot=th:8"));
        assert_eq!(span.trace_id[9] >> 7, 1, "the end of the id decides");
    }
    assert!(traces.values().all(|spans| *spans == 4));
    assert!((150..250).contains(&traces.len()), "{}", traces.len());
}

#[test]
fn what_the_sampler_leaves_out_no_rule_tells() {
    let mut recorder = all();
    recorder.settings(&SpanConfig {
        sampler: sampler(true, NONE).sampler,
        ..by(&[rule("", TailCondition::Error)])
    });
    request(&mut recorder, "/failed", FAILED, 1);
    let (kept, health) = tell(&mut recorder);
    assert_eq!(kept.spans.len(), 0);
    assert_eq!(health.spans_left_out(LeftOut::Sampler), 4);
}

#[test]
fn a_trace_is_decided_on_half_a_second_after_its_end_however_long_nothing_is_heard() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&by(&[
        rule("", TailCondition::Error),
        rule("", TailCondition::Threshold(0)),
    ]));
    request(&mut recorder, "/a", OK, 1);
    bench.feed(&mut recorder);
    assert!(bench.spans.is_empty());
    let until_ns = bench.pipeline.waits_until().expect("it waits");
    assert_eq!(until_ns, recorder.now_ns + 500 * MS);
    bench.feed(recorder.at(until_ns - 1).clock(WALL_NS));
    assert!(bench.spans.is_empty());
    bench.feed(recorder.at(until_ns).clock(WALL_NS));
    assert_eq!(bench.spans.len(), 4);
}

#[test]
fn what_becomes_known_together_with_the_end_holds_nothing_longer() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&by(&[rule("", TailCondition::Threshold(0))]));
    // Whose the call is becomes known when its request is answered, and both are told then.
    let front = |recorder: &mut Recorder| {
        let by_thread = Polled::No as u32;
        recorder.of(FRONT).as_task(TaskKind::Thread, 7, by_thread);
    };
    recorder.of(FRONT).on_thread(7);
    front(&mut recorder);
    recorder.read(OUTER[1], get("/a"));
    recorder.write(INNER[0], get("/b")).read(INNER[0], OK);
    recorder.write(OUTER[1], OK);
    bench.feed(recorder.at(recorder.now_ns + 200 * MS).clock(WALL_NS));
    let until_ns = bench.pipeline.waits_until().expect("it waits");
    assert!(until_ns <= recorder.now_ns + 500 * MS, "{until_ns}");
}

#[test]
fn calls_are_held_as_long_as_their_request_takes() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&by(&[rule("/a", TailCondition::SlowerNs(5000 * MS))]));
    recorder.of(FRONT).as_task(TaskKind::Goroutine, 7, 0);
    recorder.open_tcp(31, "10.0.0.1:80", "10.0.0.9:50000");
    recorder.read(31, get("/a"));
    recorder.write(INNER[0], get("/b"));
    recorder.of(BACK).read(INNER[1], get("/b"));
    recorder.write(INNER[1], OK);
    recorder.of(FRONT).read(INNER[0], OK);
    for second in 1..=5 {
        bench.feed(recorder.at(second * 1000 * MS + MS).clock(WALL_NS));
    }
    assert!(bench.spans.is_empty());
    bench.feed(recorder.of(FRONT).write(31, OK));
    assert_eq!(bench.spans.len(), 3);
}

#[test]
fn an_error_is_told_at_once_and_even_if_its_trace_was_given_up() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&by(&[rule("", TailCondition::Error)]));
    // The front calls on after it has answered.
    let of_front = |recorder: &mut Recorder| {
        recorder.of(FRONT).as_task(TaskKind::Goroutine, 7, 0);
    };
    of_front(&mut recorder);
    recorder.open_tcp(31, "10.0.0.1:80", "10.0.0.9:50000");
    recorder.read(31, get("/a"));
    recorder.write(INNER[0], get("/b")).write(31, OK);
    bench.feed(&mut recorder);
    bench.feed(recorder.at(2000 * MS).clock(WALL_NS));
    assert!(bench.spans.is_empty());
    of_front(&mut recorder);
    recorder.read(INNER[0], FAILED);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(bench.health.spans_left_out(LeftOut::Tail), 1);
}

#[test]
fn who_asks_for_no_rules_any_more_gets_what_was_held() {
    let mut bench = Bench::seeded();
    let mut recorder = all();
    recorder.settings(&by(&[rule("", TailCondition::Error)]));
    request(&mut recorder, "/a", OK, 1);
    bench.feed(&mut recorder);
    assert!(bench.spans.is_empty());
    recorder.settings(&by(&[]));
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 4);
    request(&mut recorder, "/b", OK, 1);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 8);
}

#[test]
fn what_has_no_room_is_decided_on_early_and_counted() {
    let memory = Ledger::new(4 << 20);
    let mut bench = Bench::new(PipelineConfig {
        seed: Some(1),
        memory: memory.clone(),
        ..PipelineConfig::default()
    });
    let mut recorder = all();
    recorder.settings(&by(&[
        rule("", TailCondition::Error),
        rule("", TailCondition::Threshold(HALF)),
    ]));
    let mut most = 0;
    for _ in 0..40 {
        // Half a second in which many more come than there is room for.
        for _ in 0..100 {
            recorder.now_ns -= MS;
            let path = format!("/{}", "a".repeat(500));
            request(&mut recorder, &path, OK, 0);
        }
        bench.feed(&mut recorder);
        most = most.max(bench.pipeline.memory_bytes());
    }
    bench.finish();
    let early = bench.health.traces_decided_early();
    assert!((2000..4000).contains(&early), "{early}");
    assert_eq!(bench.health.losses(Loss::MemoryFull), 0);
    assert!(most < memory.limit(), "{most}");
    let left_out = bench.health.spans_left_out(LeftOut::Tail);
    assert_eq!(left_out + bench.spans.len() as u64, 4 * 4000);
    let mut traces: HashMap<[u8; 16], u32> = HashMap::new();
    for span in &bench.spans {
        *traces.entry(span.trace_id).or_default() += 1;
    }
    assert!(
        traces.values().all(|spans| *spans == 4),
        "whole all the same"
    );
}
