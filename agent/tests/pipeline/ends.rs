//! How connections end or begin anew, and what becomes of their exchanges.

use wirespan::connections::{IDLE_NS_MAX, ToKernel};
use wirespan::health::Loss;
use wirespan::pipeline::PipelineConfig;
use wirespan::span::Status;
use wirespan_common::record::{LifeEvent, Stage};

use crate::records::{MS, Recorder};
use crate::{Bench, CLIENT, GET, OK, SERVER, WALL_NS, attribute, error, service, spans_of};

#[test]
fn an_exchange_ends_with_an_error_that_says_how_its_connection_ended() {
    type Act = fn(&mut Recorder);
    let cases: [(&str, Act); 4] = [
        ("connection_closed", |recorder| {
            recorder.progress(1, Stage::Closed);
        }),
        ("connection_reset", |recorder| {
            recorder.progress(1, Stage::Reset);
        }),
        ("process_exited", |recorder| {
            recorder.life(LifeEvent::Exit, 0);
        }),
        ("connection_closed", |recorder| {
            recorder.open_tcp(1, SERVER, CLIENT);
        }),
    ];
    for (expected, act) in cases {
        let mut recorder = Recorder::new(WALL_NS);
        recorder.named("shop").open_tcp(1, SERVER, CLIENT);
        recorder.at(MS).read(1, GET).at(9 * MS);
        act(&mut recorder);
        let spans = spans_of(&mut recorder);
        assert_eq!(spans.len(), 1, "{expected}");
        assert_eq!(error(&spans[0]).as_deref(), Some(expected));
        assert_eq!(attribute(&spans[0], "http.response.status_code"), None);
        assert_eq!(spans[0].status, Status::Error, "{expected}");
        assert_eq!(service(&spans[0]), "shop");
        assert_eq!(spans[0].start_unix_ns, WALL_NS as u64 + MS, "{expected}");
        assert_eq!(spans[0].end_unix_ns, WALL_NS as u64 + 9 * MS, "{expected}");
    }
}

#[test]
fn a_call_that_was_under_way_when_the_reset_came_still_counts() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    for _ in 0..3 {
        recorder.read(1, GET).write(1, OK);
    }
    recorder.read(1, GET).progress(1, Stage::Reset).write(1, OK);
    recorder.progress(1, Stage::IngressEnded);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 0);
    assert_eq!(bench.health.losses(Loss::UnmatchedResponse), 0);
    let coverage = bench.pipeline.coverage();
    assert_eq!(coverage[0].understood_bytes, coverage[0].seen_bytes);

    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, GET)
        .write(1, OK);
    bench.feed(&mut recorder);
    let errors: Vec<_> = bench.spans.iter().map(error).collect();
    assert_eq!(errors, [None, None, None, None, None]);
}

#[test]
fn a_number_that_is_used_again_inherits_nothing() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT).read(1, "GET /old HT");
    recorder
        .open_tcp(1, SERVER, "10.0.0.3:50000")
        .read(1, GET)
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    let told: Vec<_> = spans
        .iter()
        .filter(|span| attribute(span, "url.path").as_deref() == Some("/a"))
        .map(|span| (attribute(span, "client.address"), error(span)))
        .collect();
    assert_eq!(told, [(Some("10.0.0.3".into()), None)]);
}

#[test]
fn only_so_many_connections_are_remembered_and_the_rest_is_counted() {
    let mut bench = Bench::new(PipelineConfig {
        connections_max: 2,
        ..PipelineConfig::default()
    });
    let mut recorder = Recorder::new(WALL_NS);
    for id in 1..=5 {
        recorder
            .at(id * MS)
            .open_tcp(id, SERVER, CLIENT)
            .read(id, GET);
    }
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 2);
    assert_eq!(bench.health.losses(Loss::ConnectionEvicted), 3);
    let told: Vec<_> = bench
        .spans
        .iter()
        .map(|span| (span.start_unix_ns, error(span), span.status))
        .collect();
    let evicted = |at| {
        (
            WALL_NS as u64 + at * MS,
            Some("observation_ended".into()),
            Status::Unset,
        )
    };
    assert_eq!(told, [1, 2, 3].map(evicted));
    let forgotten: Vec<_> = bench
        .pipeline
        .drain_to_kernel()
        .filter(|what| matches!(what, ToKernel::Forget { .. }))
        .collect();
    assert_eq!(
        forgotten,
        [1, 2, 3].map(|connection| ToKernel::Forget { connection })
    );
}

#[test]
fn a_connection_that_says_nothing_for_an_hour_is_forgotten() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, GET)
        .write(1, OK);
    recorder.at(IDLE_NS_MAX - MS).open_tcp(2, SERVER, CLIENT);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 2);
    recorder.at(2 * IDLE_NS_MAX - 2 * MS).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 1);
    assert_eq!(bench.health.losses(Loss::ConnectionEvicted), 1);
}
