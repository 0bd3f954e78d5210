//! The Collector and Jaeger by the configurations that `deploy/` has for them, behind the agent as
//! a manifest runs it. Building them takes minutes, so that it is no test for every run.

use std::net::TcpListener;
use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use wirespan_tests::container::{Container, Image, Node};
use wirespan_tests::daemon::Daemon;
use wirespan_tests::deploy::{deploy, documents, kustomize, only};
use wirespan_tests::grpc::built_by_setup;
use wirespan_tests::network::Host;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::receiver::{Receiver, text_of};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{curl, eventually, python};

const PORT: u16 = 8080;
const BACKEND: u16 = 14318;

/// Starts a program on a network, and waits until it answers with 200 there.
fn started(host: &Host, name: &'static str, mut command: Command, url: &'static str) -> Process {
    let process = host.run(move || Process::start(name, &mut command));
    eventually(name, || {
        host.run(move || {
            let mut asked = tied("curl");
            asked.args(["--silent", "--fail", "--output", "/dev/null", url]);
            asked.status().expect("curl starts").success()
        })
    });
    process
}

fn collector(host: &Host) -> Process {
    let directory = tempfile::tempdir().expect("a directory");
    let backend = directory.path().join("backend.yaml");
    let configuration = format!(
        "exporters: {{otlp_http: {{endpoint: 'http://127.0.0.1:{BACKEND}', compression: none}}}}\n\
         service: {{pipelines: {{traces: {{exporters: [otlp_http]}}}}}}\n"
    );
    std::fs::write(&backend, configuration).expect("a file");
    let mut command = tied(built_by_setup("collector/collector"));
    command
        .arg("--config")
        .arg(deploy("otel-collector/config.yaml"))
        .arg("--config")
        .arg(&backend);
    started(host, "collector", command, "http://127.0.0.1:13133/")
}

#[test]
#[ignore = "a soak"]
fn the_collector_keeps_what_failed_and_what_was_slow_and_hides_secrets() {
    let own = Host::new();
    let listener = own.run(|| TcpListener::bind(("127.0.0.1", BACKEND)).expect("it is free"));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _within = runtime.enter();
    let receiver = Receiver::on(listener).expect("it listens");
    let _collector = collector(&own);
    let pods = Host::new();
    let server = pods.run(|| Process::start("server", &mut python("server.py", &["8080"])));
    server.expect_line("listening");
    let rendered = kustomize(&deploy("kubernetes/overlays/collector"));
    let documents = documents(&rendered);
    let pod = &only(&documents, "DaemonSet")["spec"]["template"]["spec"];
    // Both have a port of this number for their health.
    let agent = Host::new();
    own.connect(&agent, ["10.77.0.1/24", "10.77.0.2/24"], "cluster");
    let node = Node {
        network: Some(agent.namespace()),
        hosts: "10.77.0.1 otel-collector.wirespan\n".to_owned(),
        ..Node::default()
    };
    let image = Image::packed();
    let daemon = Daemon::started_below(&mut Container::new(pod, &image, &node).command());
    daemon.wait_until_watching(server.pid());
    pods.run(|| {
        for path in ["/failed?status=500", "/slow?delay=700"] {
            let mut wire = Wire::connect(PORT);
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            let _ = wire.answer(false);
        }
    });
    let secrets = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "name": "by hand", "kind": 2, "status": {"code": 2},
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000001",
        "attributes": [
            {"key": "http.request.header.authorization", "value": {"stringValue": "Bearer x"}},
            {"key": "app.api_key", "value": {"stringValue": "k"}},
            {"key": "app.order", "value": {"stringValue": "7"}},
        ],
    }]}]}]});
    let sent = own.run(move || {
        let text = secrets.to_string();
        curl(&[
            "--header",
            "Content-Type: application/json",
            "--data",
            &text,
            "http://127.0.0.1:4318/v1/traces",
        ])
    });
    assert_eq!(sent, ["200"]);
    // Others of this machine may serve ports of that number, too.
    let of_server = |span: &Span, path| text_of(span, "url.path") == Some(path);
    let wanted = |spans: &[Span]| {
        ["/failed", "/slow"]
            .iter()
            .all(|path| spans.iter().any(|span| of_server(span, path)))
            && spans.iter().any(|span| span.name == "by hand")
    };
    let waited = receiver.wait_for(wanted, LIMIT);
    let spans = runtime.block_on(waited).expect("three traces are kept");
    let by_hand = spans.iter().find(|span| span.name == "by hand");
    let kept: Vec<_> = by_hand.expect("it was found").attributes.iter().collect();
    let kept: Vec<_> = kept
        .iter()
        .map(|attribute| attribute.key.as_str())
        .collect();
    assert_eq!(kept, ["app.order"]);
    assert_eq!(daemon.stop().lost(), "nothing");
}

#[test]
#[ignore = "a soak"]
fn jaeger_takes_the_configuration_of_the_overlay() {
    let host = Host::new();
    let mut command = tied(built_by_setup("jaeger/jaeger"));
    command
        .arg("--config")
        .arg(deploy("kubernetes/components/jaeger/config.yaml"));
    let _jaeger = started(&host, "jaeger", command, "http://127.0.0.1:13133/status");
    let services = host.run(|| {
        let mut asked = tied("curl");
        asked.args(["--silent", "http://127.0.0.1:16686/api/services"]);
        asked.output().expect("curl starts").stdout
    });
    let services: Value = serde_json::from_slice(&services).expect("it is JSON");
    assert_eq!(services["total"], 0, "{services}");
}
