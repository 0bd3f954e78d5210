//! Records in, spans out: the daemon's core from the true input boundary, without a kernel.

#[path = "support/records.rs"]
mod records;

use std::sync::Arc;

use records::{MS, PID, Recorder};
use wirespan::connections::{IDLE_NS_MAX, ToKernel};
use wirespan::discover::Process;
use wirespan::health::{Health, Loss};
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::recording::{ReadError, Reader, replay};
use wirespan::span::{Span, SpanKind, Status, Value};
use wirespan_common::record::{Direction, LifeEvent, Record, Stage};
use wirespan_common::watch::Verdict;

/// 2026-01-01T00:00:00Z.
const WALL_NS: i64 = 1_767_225_600_000_000_000;
const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const SERVER: &str = "10.0.0.1:8080";
/// No connection at all.
const NOBODY: [u64; 0] = [];
const CLIENT: &str = "10.0.0.2:40000";

/// A pipeline and what came out of it.
struct Bench {
    pipeline: Pipeline,
    health: Arc<Health>,
    spans: Vec<Span>,
}

impl Bench {
    fn new(config: PipelineConfig) -> Self {
        let health = Arc::new(Health::default());
        Self {
            pipeline: Pipeline::new(config, Arc::clone(&health)),
            health,
            spans: Vec::new(),
        }
    }

    fn seeded() -> Self {
        Self::new(PipelineConfig {
            seed: Some(1),
            ..PipelineConfig::default()
        })
    }

    /// Feeds what was recorded since the last call.
    fn feed(&mut self, recorder: &mut Recorder) -> &mut Self {
        for bytes in recorder.records.drain(..) {
            let (record, _) = Record::decode(&bytes).expect("a record");
            self.pipeline.record(&record, &mut self.spans);
        }
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.pipeline.finish(&mut self.spans);
        self
    }
}

fn spans_of(recorder: &mut Recorder) -> Vec<Span> {
    let mut bench = Bench::seeded();
    bench.feed(recorder).finish();
    let made = bench.health.spans_made();
    assert_eq!(made, bench.spans.len() as u64, "each span is counted");
    bench.spans
}

fn text(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        text => text.as_str().expect("text").to_owned(),
    }
}

fn attributes(span: &Span) -> Vec<String> {
    let mut told: Vec<String> = span
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    told.sort();
    told
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let (_, value) = span.attributes.iter().find(|(key, _)| *key == name)?;
    Some(text(value))
}

fn error(span: &Span) -> Option<String> {
    attribute(span, "error.type")
}

fn service(span: &Span) -> String {
    text(span.resource.get("service.name").expect("always named"))
}

/// Everything about a span but its ids.
fn without_ids(span: &Span) -> String {
    let mut span = span.clone();
    span.trace_id = [0; 16];
    span.span_id = [0; 8];
    format!("{span:?}")
}

#[test]
fn a_request_that_was_served_becomes_a_span() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .process(&Process {
            pid: PID,
            executable: "/usr/sbin/nginx".into(),
            service_name: "shop".into(),
            service_namespace: Some("market".into()),
            service_instance_id: "node-1:4242".into(),
            host_name: "node-1".into(),
            ..Process::default()
        })
        .open_tcp(1, SERVER, CLIENT)
        .at(5 * MS)
        .read(1, GET)
        .at(7 * MS)
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    let [span] = &spans[..] else {
        panic!("one span: {spans:?}")
    };
    assert_eq!((&*span.name, span.kind), ("GET", SpanKind::Server));
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.start_unix_ns, WALL_NS as u64 + 5 * MS);
    assert_eq!(span.end_unix_ns, WALL_NS as u64 + 7 * MS);
    assert_eq!((span.parent_span_id, span.trace_flags), (None, 1));
    assert_eq!(
        attributes(span),
        [
            "client.address=10.0.0.2",
            "http.request.body.size=0",
            "http.request.method=GET",
            "http.response.body.size=2",
            "http.response.status_code=200",
            "network.peer.address=10.0.0.2",
            "network.peer.port=40000",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=8080",
            "url.path=/a",
            "url.query=b=c",
            "url.scheme=http",
            "user_agent.original=curl/8",
        ]
    );
    let resource: Vec<String> = span
        .resource
        .attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("telemetry."))
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    assert_eq!(
        resource,
        [
            "host.name=node-1",
            "os.type=linux",
            "process.executable.name=nginx",
            "process.executable.path=/usr/sbin/nginx",
            "process.pid=4242",
            "service.instance.id=node-1:4242",
            "service.name=shop",
            "service.namespace=market",
        ]
    );
}

#[test]
fn a_call_that_was_made_becomes_a_client_span() {
    let traced = "GET /x HTTP/1.1\r\nHost: shop.example:8080\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        tracestate: a=b\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, CLIENT, SERVER)
        .at(5 * MS)
        .write(1, traced)
        .at(7 * MS)
        .read(1, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let spans = spans_of(&mut recorder);
    let [span] = &spans[..] else {
        panic!("one span: {spans:?}")
    };
    assert_eq!((&*span.name, span.kind), ("GET", SpanKind::Client));
    assert_eq!(span.status, Status::Error);
    assert_eq!(error(span).as_deref(), Some("404"));
    assert_eq!(
        attribute(span, "url.full").as_deref(),
        Some("http://shop.example:8080/x")
    );
    assert_eq!(
        attribute(span, "network.peer.address").as_deref(),
        Some("10.0.0.1")
    );
    assert_eq!(span.trace_id[..2], [0x0a, 0xf7]);
    assert_eq!(span.parent_span_id.map(|id| id[0]), Some(0xb7));
    assert!(!span.parent_is_remote, "the parent is the SDK's own span");
    assert_eq!(span.trace_state.as_deref(), Some("a=b"));
}

#[test]
fn a_step_of_the_wall_clock_moves_spans_and_not_their_durations() {
    let step = 3_600_000_000_000;
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).at(2 * MS).write(1, OK);
    recorder.at(3 * MS).read(1, GET);
    recorder.at(4 * MS).clock(WALL_NS + step);
    recorder.at(5 * MS).write(1, OK);
    recorder.at(6 * MS).read(1, GET).at(7 * MS).write(1, OK);
    let times: Vec<_> = spans_of(&mut recorder)
        .iter()
        .map(|span| {
            let since = |time: u64| time - WALL_NS as u64;
            (since(span.start_unix_ns), since(span.end_unix_ns))
        })
        .collect();
    let step = step as u64;
    assert_eq!(
        times,
        [
            (MS, 2 * MS),
            (step + 3 * MS, step + 5 * MS),
            (step + 6 * MS, step + 7 * MS)
        ]
    );
}

#[test]
fn ipv4_in_ipv6_is_told_as_ipv4() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, "[::ffff:10.0.0.1]:8080", "[::ffff:10.0.0.2]:40000")
        .read(1, "GET / HTTP/1.0\r\n\r\n")
        .write(1, OK);
    let spans = spans_of(&mut recorder);
    let told = |name| attribute(&spans[0], name);
    assert_eq!(told("server.address").as_deref(), Some("10.0.0.1"));
    assert_eq!(told("client.address").as_deref(), Some("10.0.0.2"));
    assert_eq!(told("network.protocol.version").as_deref(), Some("1.0"));
}

#[test]
fn a_unix_socket_is_told_by_its_name() {
    for (path, name) in [
        (&b"/run/a.sock"[..], "/run/a.sock"),
        (b"\0hidden", "@hidden"),
    ] {
        let mut recorder = Recorder::new(WALL_NS);
        recorder
            .open_unix(1, path)
            .read(1, "GET / HTTP/1.0\r\n\r\n")
            .write(1, OK);
        let spans = spans_of(&mut recorder);
        let told = |name| attribute(&spans[0], name);
        assert_eq!(told("server.address").as_deref(), Some(name));
        assert_eq!(told("network.transport").as_deref(), Some("unix"));
        assert_eq!(told("server.port"), None);
        assert_eq!(told("network.peer.address"), None);
    }
}

#[test]
fn a_connection_whose_open_was_lost_still_has_spans() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.read(1, GET).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(attribute(&spans[0], "network.peer.address"), None);
    assert_eq!(
        attribute(&spans[0], "server.address").as_deref(),
        Some("shop.example")
    );
}

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
fn an_exchange_belongs_to_the_process_that_began_it() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("master").of(7).named("worker").of(PID);
    // Accepted by the master, served by a worker.
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.of(7).at(MS).read(1, GET).at(2 * MS).write(1, OK);
    // Read by the master, answered by a worker.
    recorder.of(PID).at(3 * MS).read(1, GET);
    recorder.of(7).at(4 * MS).write(1, OK);
    let services: Vec<_> = spans_of(&mut recorder).iter().map(service).collect();
    assert_eq!(services, ["worker", "master"]);
}

#[test]
fn the_exit_of_a_master_does_not_end_what_its_workers_serve() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("master").open_tcp(1, SERVER, CLIENT);
    recorder.of(7).at(MS).read(1, GET);
    recorder.of(PID).life(LifeEvent::Exit, 0);
    recorder.of(7).at(2 * MS).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert_eq!(spans.len(), 1);
    assert_eq!(error(&spans[0]), None);
}

#[test]
fn a_process_is_unknown_until_it_is_described_and_children_resemble_parents() {
    let mut recorder = Recorder::new(WALL_NS);
    let serve = |recorder: &mut Recorder| {
        recorder.read(1, GET).write(1, OK);
    };
    recorder.open_tcp(1, SERVER, CLIENT);
    serve(&mut recorder);
    recorder.named("shop");
    serve(&mut recorder);
    recorder.life(LifeEvent::Fork, 7);
    recorder.of(7);
    serve(&mut recorder);
    let spans = spans_of(&mut recorder);
    let services: Vec<_> = spans.iter().map(service).collect();
    assert_eq!(services, ["unknown_service", "shop", "shop"]);
    let pids: Vec<_> = spans
        .iter()
        .map(|span| text(span.resource.get("process.pid").expect("known")))
        .collect();
    assert_eq!(pids, ["4242", "4242", "7"]);
}

#[test]
fn a_resource_is_built_once_per_process() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop").open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK).read(1, GET).write(1, OK);
    let spans = spans_of(&mut recorder);
    assert!(Arc::ptr_eq(&spans[0].resource, &spans[1].resource));
}

#[test]
fn a_body_that_was_only_counted_ends_with_the_next_record_that_tells_how_far_it_came() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).at(2 * MS).write(1, head);
    recorder
        .at(30 * MS)
        .count(1, Direction::Egress, 100_000, b"");
    recorder.at(90 * MS).read(1, GET);
    let mut bench = Bench::seeded();
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    let span = &bench.spans[0];
    assert_eq!(span.end_unix_ns, WALL_NS as u64 + 30 * MS);
    assert_eq!(
        attribute(span, "http.response.body.size").as_deref(),
        Some("100000")
    );
    assert_eq!(error(span), None);
}

#[test]
fn a_body_that_is_only_counted_is_asked_for_after_a_silence_and_until_it_ended() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    let mut bench = Bench::seeded();
    let wanted = |bench: &Bench, at| bench.pipeline.wants_progress(at).collect::<Vec<_>>();

    recorder
        .open_tcp(1, SERVER, CLIENT)
        .open_tcp(2, SERVER, CLIENT);
    recorder.at(MS).read(1, GET).read(2, GET);
    bench.feed(&mut recorder);
    recorder.at(2 * MS).write(1, head).write(2, OK);
    bench.feed(&mut recorder);
    assert_eq!(
        wanted(&bench, 2 * MS - 1),
        NOBODY,
        "not silent for long enough"
    );
    assert_eq!(wanted(&bench, 2 * MS), [1], "2 is not waiting for anything");

    recorder.at(5 * MS).count(1, Direction::Egress, 60_000, b"");
    recorder.at(6 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    assert_eq!(wanted(&bench, 5 * MS), NOBODY, "just asked");
    assert_eq!(wanted(&bench, 6 * MS), [1]);
    assert_eq!(bench.spans.len(), 1, "2");

    recorder.at(8 * MS).count(1, Direction::Egress, 40_000, b"");
    recorder.at(9 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    assert_eq!(wanted(&bench, u64::MAX), NOBODY);
    assert_eq!(bench.spans.len(), 2);
    assert_eq!(bench.spans[1].end_unix_ns, WALL_NS as u64 + 8 * MS);
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
            Some("evicted".into()),
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

#[test]
fn a_transfer_that_pauses_for_hours_is_not_forgotten() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .read(1, GET)
        .write(1, head);
    recorder.at(3 * IDLE_NS_MAX).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 1);
    recorder.count(1, Direction::Egress, 1000, b"");
    recorder.progress(1, Stage::Closed);
    bench.feed(&mut recorder);
    assert_eq!(bench.spans.len(), 1);
    assert_eq!(error(&bench.spans[0]), None);
}

#[test]
fn the_end_of_time_is_survived() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut recorder = Recorder::new(WALL_NS);
    recorder.at(u64::MAX).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, head).clock(WALL_NS);
    assert_eq!(spans_of(&mut recorder).len(), 1);
}

#[test]
fn of_several_silent_transfers_those_are_asked_for_that_were_not_heard_of_lately() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    for id in 1..=3 {
        recorder
            .at(id * MS)
            .open_tcp(id, SERVER, CLIENT)
            .read(id, GET)
            .write(id, head);
    }
    recorder.at(10 * MS).progress(1, Stage::Asked);
    bench.feed(&mut recorder);
    let wanted = |quiet_since| {
        bench
            .pipeline
            .wants_progress(quiet_since)
            .collect::<Vec<_>>()
    };
    assert_eq!(wanted(3 * MS), [2, 3]);
    assert_eq!(wanted(10 * MS), [2, 3, 1], "longest silent first");
}

#[test]
fn a_process_number_that_is_used_again_inherits_no_name() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("old").life(LifeEvent::Exit, 0);
    recorder.of(7).named("parent").life(LifeEvent::Fork, PID);
    recorder.of(PID).open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK);
    assert_eq!(service(&spans_of(&mut recorder)[0]), "parent");
}

#[test]
fn what_is_ignored_is_forgotten_without_a_loss_and_stays_ignored() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT).read(
        1,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http at all",
    );
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.drain_to_kernel().count(), 1, "the verdict");
    recorder.at(2 * IDLE_NS_MAX).clock(WALL_NS);
    bench.feed(&mut recorder);
    assert_eq!(bench.pipeline.connections(), 0);
    assert_eq!(bench.health.losses(Loss::ConnectionEvicted), 0);
    assert_eq!(bench.pipeline.drain_to_kernel().count(), 0);
}

#[test]
fn the_kernel_side_is_told_what_a_connection_turned_out_to_be_once() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder
        .open_tcp(1, SERVER, CLIENT)
        .open_tcp(2, SERVER, CLIENT);
    for _ in 0..3 {
        recorder.read(1, GET).write(1, OK);
        recorder.read(
            2,
            [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 9, 9, 9, 9, 9, 9, 9],
        );
    }
    bench.feed(&mut recorder);
    let told: Vec<_> = bench.pipeline.drain_to_kernel().collect();
    let verdict = |connection, verdict| ToKernel::Verdict {
        connection,
        verdict,
    };
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&verdict(1, Verdict::Understood)), "{told:?}");
    assert!(told.contains(&verdict(2, Verdict::Ignored)), "{told:?}");
    assert_eq!(bench.spans.len(), 3);
}

#[test]
fn a_head_that_did_not_fit_raises_the_budget_of_its_process_once() {
    let head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(9000));
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    for id in 1..=2 {
        recorder
            .open_tcp(id, SERVER, CLIENT)
            .chunk(id, Direction::Ingress, head.as_bytes(), 4096)
            .write(id, OK);
    }
    bench.feed(&mut recorder).finish();
    let raised: Vec<_> = bench
        .pipeline
        .drain_to_kernel()
        .filter(|what| matches!(what, ToKernel::RaiseBudget { .. }))
        .collect();
    assert_eq!(raised, [ToKernel::RaiseBudget { tgid: PID }]);
    assert_eq!(bench.spans.len(), 2);
    for span in &bench.spans {
        assert_eq!(
            attribute(span, "wirespan.capture.truncated").as_deref(),
            Some("true")
        );
    }
}

#[test]
fn a_response_that_was_lost_is_not_invented() {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.open_tcp(1, SERVER, CLIENT);
    recorder
        .at(MS)
        .read(1, GET)
        .at(2 * MS)
        .write(1, OK)
        .lose_last();
    recorder.at(3 * MS).read(1, GET).at(4 * MS).write(1, OK);
    let spans = spans_of(&mut recorder);
    let told: Vec<_> = spans
        .iter()
        .map(|span| (error(span), attribute(span, "http.response.status_code")))
        .collect();
    assert_eq!(
        told,
        [
            (Some("response_not_observed".into()), None),
            (None, Some("200".into()))
        ]
    );
}

#[test]
fn junk_makes_no_spans_and_its_bytes_count_as_not_understood() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop").open_tcp(1, SERVER, CLIENT);
    recorder.read(1, GET).write(1, OK);
    bench.feed(&mut recorder);
    let http = (GET.len() + OK.len()) as u64;
    let coverage = bench.pipeline.coverage();
    assert_eq!(coverage.len(), 1);
    assert_eq!((coverage[0].pid, &*coverage[0].service), (PID, "shop"));
    assert_eq!(
        (coverage[0].seen_bytes, coverage[0].understood_bytes),
        (http, http)
    );

    let junk: Vec<u8> = (0..200u8).map(|byte| byte.wrapping_mul(37)).collect();
    recorder.open_tcp(2, SERVER, CLIENT).read(2, &junk);
    recorder
        .progress(1, Stage::Closed)
        .progress(2, Stage::Closed);
    bench.feed(&mut recorder).finish();
    assert_eq!(bench.spans.len(), 1);
    let coverage = bench.pipeline.coverage();
    assert_eq!(
        (coverage[0].seen_bytes, coverage[0].understood_bytes),
        (http + 200, http)
    );
}

#[test]
fn a_description_that_is_no_json_is_counted() {
    let mut bench = Bench::seeded();
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    let last = recorder.records.last_mut().expect("a record");
    let end = last.len() - 1;
    last[end] = b'x';
    bench.feed(&mut recorder);
    assert_eq!(bench.health.losses(Loss::Undecodable), 1);
}

/// A recording with some of everything.
fn mixture() -> Recorder {
    let mut recorder = Recorder::new(WALL_NS);
    recorder.named("shop");
    for id in 1..=40 {
        recorder.at(id * MS).open_tcp(id, SERVER, CLIENT);
        recorder.read(id, GET);
        if id % 3 == 0 {
            recorder.write(id, OK);
        }
        if id % 5 == 0 {
            recorder.progress(id, Stage::Closed);
        }
    }
    recorder.at(99 * MS).life(LifeEvent::Exit, 0);
    recorder
}

fn replayed(file: &[u8], seed: Option<u64>) -> (Vec<Span>, Result<u64, ReadError>) {
    let mut bench = Bench::new(PipelineConfig {
        seed,
        ..PipelineConfig::default()
    });
    let mut spans = Vec::new();
    let mut reader = Reader::new(file).expect("a recording");
    let outcome = replay(&mut reader, &mut bench.pipeline, |batch| {
        spans.append(batch);
    });
    (spans, outcome.map(|replayed| replayed.spans))
}

#[test]
fn a_replay_yields_the_spans_of_the_live_run_and_with_a_seed_their_ids() {
    let mut recorder = mixture();
    let file = recorder.file();
    let live = spans_of(&mut recorder);
    assert_eq!(live.len(), 40);
    let all = |spans: &[Span]| format!("{spans:?}");
    let (seeded, count) = replayed(&file, Some(1));
    assert_eq!(count.expect("whole"), 40);
    assert_eq!(all(&seeded), all(&live));
    assert_eq!(all(&replayed(&file, Some(1)).0), all(&live));

    let (one, other) = (replayed(&file, None).0, replayed(&file, None).0);
    assert_ne!(all(&one), all(&other));
    let bare = |spans: &[Span]| spans.iter().map(without_ids).collect::<Vec<_>>();
    assert_eq!(bare(&one), bare(&live));
    assert_eq!(bare(&one), bare(&other));
}

#[test]
fn a_recording_cut_anywhere_replays_what_is_whole() {
    let mut recorder = mixture();
    let file = recorder.file();
    recorder.records.pop();
    let whole = spans_of(&mut recorder);
    assert_eq!(whole.len(), 40);
    let (spans, outcome) = replayed(&file[..file.len() - 1], Some(1));
    assert!(matches!(outcome, Err(ReadError::Cut { .. })), "{outcome:?}");
    assert_eq!(format!("{spans:?}"), format!("{whole:?}"));
}
