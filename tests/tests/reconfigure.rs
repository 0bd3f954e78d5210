//! Another configuration while the daemon runs: what takes effect in the kernel side and in all
//! rooms, without a restart. The daemon runs within the test, because nothing from outside asks it
//! for that yet.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use wirespan::capture::Capture;
use wirespan::config::{CaptureConfig, Config, Purpose, Setting, Strategy, Targets};
use wirespan::ending::Ending;
use wirespan::health::Health;
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, Recorder, replay};
use wirespan::run::Daemon;
use wirespan::span::{Span, SpanKind};
use wirespan_common::record::{Body, LifeEvent, Record};
use wirespan_tests::ports;
use wirespan_tests::receiver::{Received, Receiver};
use wirespan_tests::workload::{Server, curl};

const SOON: Duration = Duration::from_secs(60);

fn config(settings: &[(&str, &str)]) -> Config {
    let loaded = Config::load(Purpose::Trace, [], settings.iter().copied());
    loaded.expect("a valid configuration").config
}

fn targets(settings: &[(&str, &str)]) -> Targets {
    let loaded = Config::load(Purpose::Record, [], settings.iter().copied());
    let config = loaded.expect("a valid configuration").config;
    config.discover.targets
}

/// What the kernel side told of the life of a process since the last call.
fn told_of(capture: &mut Capture, pid: u32) -> Vec<(LifeEvent, u16, u8)> {
    let mut told = Vec::new();
    capture.feeds[0].drain(1_000_000, |bytes| {
        let (record, _) = Record::decode(bytes).expect("a record");
        if let Body::Life { life, event } = record.body
            && record.tgid == pid
        {
            told.push((event, life.port, life.watched));
        }
    });
    told
}

/// Runs a program to its end; what was told of it.
fn run_something(capture: &mut Capture) -> Vec<(LifeEvent, u16, u8)> {
    let mut child = Command::new("true").spawn().expect("true");
    let pid = child.id();
    assert!(child.wait().expect("it ends").success());
    told_of(capture, pid)
}

#[test]
fn execs_are_told_while_programs_are_selected_by_name_and_not_else() {
    let mut capture =
        Capture::start(&CaptureConfig::default(), &Targets::default()).expect("capture starts");
    let mut selection = capture.selection().expect("not asked for before");
    assert!(capture.selection().is_err());
    for _ in 0..2 {
        assert_eq!(run_something(&mut capture), []);
        selection
            .reconfigure(&targets(&[("BEYLA_AUTO_TARGET_EXE", "*/nginx")]))
            .expect("the kernel takes it");
        assert_eq!(run_something(&mut capture), [(LifeEvent::Exec, 0, 0)]);
        selection
            .reconfigure(&targets(&[("BEYLA_TARGET_PID", "1")]))
            .expect("the kernel takes it");
    }
    assert_eq!(run_something(&mut capture), []);
}

#[test]
fn ports_are_selected_and_servers_found_while_it_runs() {
    for strategy in [Strategy::SocketTracepoints, Strategy::SyscallTracepoints] {
        let config = CaptureConfig {
            strategy: Some(strategy),
            ..CaptureConfig::default()
        };
        let mut capture = match Capture::start(&config, &Targets::default()) {
            Ok(capture) => capture,
            // Only some kernels have the first.
            Err(_) if strategy == Strategy::SocketTracepoints => continue,
            Err(error) => panic!("{error}"),
        };
        let mut selection = capture.selection().expect("not asked for before");
        let old = Server::python();
        let new = ports::free();
        let both = format!("{},{new}", old.port);
        for round in 0..2 {
            let _ = curl(&[&old.url("/unseen")]);
            assert_eq!(told_of(&mut capture, old.process.pid()), [], "{strategy}");
            selection
                .reconfigure(&targets(&[("BEYLA_OPEN_PORT", &both)]))
                .expect("the kernel takes it");
            // It began to listen before; that it serves is found out by what it reads.
            let _ = curl(&[&old.url("/")]);
            assert_eq!(
                told_of(&mut capture, old.process.pid()),
                [(LifeEvent::Serve, old.port, 1)],
                "{strategy}, round {round}"
            );
            let listens = Server::python_on(new);
            assert_eq!(
                told_of(&mut capture, listens.process.pid()),
                [(LifeEvent::Listen, new, 1)],
                "{strategy}, round {round}"
            );
            capture.watch_list.unwatch(old.process.pid());
            capture.watch_list.unwatch(listens.process.pid());
            drop(listens);
            selection
                .reconfigure(&Targets::default())
                .expect("the kernel takes it");
        }
    }
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|it| it.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// Path, query and service of each span that a receiver has.
fn told(received: &[Received]) -> Vec<[Option<String>; 3]> {
    let mut told = Vec::new();
    for resource in received.iter().flat_map(|it| &it.resource_spans) {
        let attributes = &resource.resource.as_ref().expect("a resource").attributes;
        let service = text(attributes, "service.name");
        for span in resource.scope_spans.iter().flat_map(|it| &it.spans) {
            let [path, query] = ["url.path", "url.query"].map(|it| text(&span.attributes, it));
            told.push([path, query, service.clone()]);
        }
    }
    told
}

fn line(path: &str, query: Option<&str>, service: &str) -> [Option<String>; 3] {
    [Some(path), query, Some(service)].map(|it| it.map(str::to_owned))
}

async fn wait_for(receiver: &Receiver, path: &str) -> Vec<[Option<String>; 3]> {
    let has = |received: &[Received]| {
        told(received)
            .iter()
            .any(|it| it[0].as_deref() == Some(path))
    };
    receiver
        .wait_for(|_| has(&receiver.received()), SOON)
        .await
        .unwrap_or_else(|error| panic!("no span of {path}: {error}"));
    told(&receiver.received())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_room_follows_while_it_runs_and_a_recording_holds_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run");
    let (first, second) = (
        Receiver::start().await.expect("a port"),
        Receiver::start().await.expect("a port"),
    );
    let traces = |receiver: &Receiver| format!("http://{}/v1/traces", receiver.address());
    let (to_first, to_second) = (traces(&first), traces(&second));
    let metrics = format!("http://{}/v1/metrics", second.address());
    let python = Server::python();
    let pid = python.process.pid().to_string();
    let endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let [health_early, health_later] = [(); 2].map(|()| ports::free().to_string());
    let early = [
        ("BEYLA_HEALTH_CHECK_PORT", health_early.as_str()),
        ("BEYLA_TARGET_PID", pid.as_str()),
        (endpoint, &to_first),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
    ];
    let later = [
        early[1],
        early[3],
        ("BEYLA_HEALTH_CHECK_PORT", &health_later),
        ("BEYLA_EXECUTABLE_NAME", "hyper-server"),
        (endpoint, &to_second),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &metrics),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("BEYLA_SERVICE_NAME", "shop"),
        ("WIRESPAN_DROP_QUERY", "true"),
        ("WIRESPAN_MEMORY_LIMIT", "50MiB"),
        ("WIRESPAN_CPU_LIMIT", "250m"),
        ("BEYLA_LOG_LEVEL", "warn"),
        ("BEYLA_SHUTDOWN_TIMEOUT", "20s"),
        ("WIRESPAN_CONNECTIONS_MAX", "100"),
    ];
    let ending = Ending::catch(Duration::from_secs(10)).expect("signals");
    let health = Arc::new(Health::default());
    let recorder = Recorder::create(&file, None, Arc::clone(&health)).expect("a recording");
    let started = config(&early);
    let daemon = tokio::task::spawn_blocking({
        let health = Arc::clone(&health);
        move || {
            let daemon = Daemon::start(started, Some(recorder), &ending, health);
            let daemon = daemon.expect("it starts");
            let _settled = ending.wait(SOON).expect("it looks at what is there");
            (daemon, ending)
        }
    });
    let (mut daemon, ending) = daemon.await.expect("no panic");

    let _ = curl(&[&python.url("/one?a=b")]);
    assert_eq!(
        wait_for(&first, "/one").await,
        [line("/one", Some("a=b"), "server")]
    );

    let healthy = |port: &str| {
        let url = format!("http://127.0.0.1:{port}/healthz");
        let answer = Command::new("curl")
            .args(["-sf", &url])
            .output()
            .expect("curl");
        answer.status.success() && answer.stdout == b"ok\n"
    };
    assert!(healthy(&health_early) && !healthy(&health_later));

    let new = config(&later);
    let (mut daemon, ending) = tokio::task::spawn_blocking(move || {
        let outcome = daemon.reconfigure(&new, &ending);
        assert_eq!(outcome.restart, [Setting::ConnectionsMax]);
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        (daemon, ending)
    })
    .await
    .expect("no panic");
    assert!(healthy(&health_later) && !healthy(&health_early));
    // The kernel side tells of its exec, though nobody watched it.
    let hyper = Server::hyper();
    let _ = curl(&[&hyper.url("/two?a=b")]);
    let _ = wait_for(&second, "/two").await;
    let _ = curl(&[&python.url("/three?a=b")]);
    let mut all = wait_for(&second, "/three").await;
    all.sort();
    assert_eq!(
        all,
        [line("/three", None, "shop"), line("/two", None, "shop")]
    );
    second
        .wait_for_points(
            |points| {
                let made = points.iter().find(|it| it.metric == "wirespan.spans.made");
                made.is_some_and(|it| it.value >= 3.0)
            },
            SOON,
        )
        .await
        .expect("metrics that began while it ran");

    let again = config(&early);
    let (daemon, ending) = tokio::task::spawn_blocking(move || {
        let _ = daemon.reconfigure(&again, &ending);
        (daemon, ending)
    })
    .await
    .expect("no panic");
    let _ = curl(&[&python.url("/four?a=b")]);
    let all = wait_for(&first, "/four").await;
    // Who is not watched any more can't be waited for.
    let _ = curl(&[&hyper.url("/five?a=b")]);
    let _ = curl(&[&python.url("/six?a=b")]);
    let _ = all;
    let all = wait_for(&first, "/six").await;
    assert_eq!(
        all,
        [
            line("/one", Some("a=b"), "server"),
            line("/four", Some("a=b"), "server"),
            line("/six", Some("a=b"), "server"),
        ]
    );

    // Without the beginning of the end, whose watchdog would end the other tests too.
    let finished = tokio::task::spawn_blocking(move || daemon.end(&ending));
    let (finished, _) = finished.await.expect("no panic").expect("it ends");
    let recorded = finished.recorded.expect("a recording");
    assert!(recorded.is_complete());
    assert_eq!(
        second
            .received()
            .iter()
            .map(Received::spans_len)
            .sum::<usize>(),
        2
    );

    assert_eq!(
        replayed(&file),
        [
            line("/one", Some("a=b"), "server"),
            line("/two", None, "shop"),
            line("/three", None, "shop"),
            line("/four", Some("a=b"), "server"),
            line("/six", Some("a=b"), "server"),
        ]
    );
}

/// The same of the spans that a recording gives, by nobody's settings but its own.
fn replayed(file: &Path) -> Vec<[Option<String>; 3]> {
    let mut reader = Reader::new(std::fs::File::open(file).expect("it is there")).expect("whole");
    let health = Arc::new(Health::default());
    let mut pipelines = Pipelines::new(PipelineConfig::default(), health);
    let mut told = Vec::new();
    replay(&mut reader, &mut pipelines, |spans| {
        let servers = spans.iter().filter(|span| span.kind == SpanKind::Server);
        told.extend(servers.map(|span: &Span| {
            let of = |name: &str| {
                let (_, value) = span.attributes.iter().find(|(key, _)| *key == name)?;
                Some(value.as_str()?.to_owned())
            };
            let service = span.resource.get("service.name").and_then(|it| it.as_str());
            [of("url.path"), of("url.query"), service.map(str::to_owned)]
        }));
    })
    .expect("whole");
    told
}
