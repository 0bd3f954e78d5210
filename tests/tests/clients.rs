//! Clients under observation: Python, Node, hyper and curl; and every attribute of one exchange, in
//! both roles.

use std::collections::BTreeMap;
use std::process::Command;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::{assert_same, forgiving_long_chunked};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{Client, Server, curl};

fn compare(mut client: Client, server: &Server) -> Vec<Seen> {
    let daemon = Daemon::for_pid(client.process.pid());
    let requests = [
        ("GET", "/plain?size=12", 0),
        ("GET", "/second", 0),
        ("POST", "/posted", 2000),
        ("PUT", "/put?status=201", 1),
        ("HEAD", "/head?size=99", 0),
        ("GET", "/chunked?chunked=1&size=300", 0),
        ("GET", "/large?size=400000", 0),
        ("GET", "/empty?status=204", 0),
        ("GET", "/gone?status=404", 0),
        ("DELETE", "/broken?status=500", 0),
    ];
    for (method, target, body) in requests {
        client.send(method, &server.url(target), body);
    }
    let truth = client.truth(requests.len());
    assert_same(
        "the client's and the server's truth",
        server.truth(requests.len()),
        truth.clone(),
    );
    daemon.wait_for_count(requests.len());
    let finished = daemon.stop();
    let came: Vec<_> = finished.spans.iter().map(Seen::exchange).collect();
    assert_same(
        "spans of the client",
        forgiving_long_chunked(truth, &came),
        came,
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let port = server.port.to_string();
    for span in &finished.spans {
        assert_eq!(span.kind, Kind::Client, "{span}");
        let status = span.exchange().status.unwrap_or_default();
        assert_eq!(span.failed, status >= 400, "{span}");
        let error = (status >= 400).then(|| status.to_string());
        assert_eq!(span.get("error.type"), error.as_deref(), "{span}");
        let url = server.url(&span.target());
        assert_eq!(span.get("url.full"), Some(&*url), "{span}");
        assert_eq!(span.get("server.address"), Some("127.0.0.1"), "{span}");
        assert_eq!(span.get("server.port"), Some(&*port), "{span}");
        assert_eq!(span.get("network.peer.port"), Some(&*port), "{span}");
    }
    finished.spans
}

#[test]
fn pythons_urllib_is_told_as_it_saw_it() {
    let spans = compare(Client::python(), &Server::hyper());
    assert_eq!(spans[0].resource["service.name"], "client");
}

#[test]
fn nodes_http_client_is_told_as_it_saw_it() {
    let spans = compare(Client::node(), &Server::python());
    assert_eq!(spans[0].resource["service.name"], "client");
}

#[test]
fn hypers_client_is_told_as_it_saw_it() {
    let spans = compare(Client::hyper(), &Server::node());
    assert_eq!(spans[0].resource["service.name"], "hyper-client");
}

#[test]
fn a_program_that_lives_for_one_request_is_traced() {
    let server = Server::python();
    // A name of its own: other tests use curl too.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("one-request");
    std::fs::copy("/usr/bin/curl", &program).expect("curl is installed");
    let glob = format!("{}/*", directory.path().display());
    let daemon = Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", &glob)]);
    for number in 0..5 {
        let mut command = wirespan_tests::process::tied(&program);
        command.args(["--silent", &server.url(&format!("/one/{number}"))]);
        wirespan_tests::process::Process::start("one-request", &mut command).succeed();
        // Not traced: it has another path.
        let _ = curl(&[&server.url("/other")]);
    }
    let expected =
        (0..5).map(|number| format!("Client GET /one/{number} 200, request 0 B, response 5 B"));
    daemon.wait_for_count(5);
    let finished = daemon.stop();
    assert_same("spans of curl", expected, finished.lines());
    for span in &finished.spans {
        assert_eq!(span.resource["service.name"], "one-request", "{span}");
    }
}

/// Names and values, for a comparison that shows all of them.
fn pairs(attributes: &BTreeMap<String, String>) -> Vec<String> {
    let pairs = attributes.iter();
    pairs
        .map(|(name, value)| format!("{name} = {value}"))
        .collect()
}

#[test]
fn a_server_span_has_every_attribute_and_no_other() {
    let server = Server::python();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        ("BEYLA_SERVICE_NAME", "shop"),
        ("BEYLA_SERVICE_NAMESPACE", "market"),
    ]);
    let mut wire = Wire::connect(server.port);
    wire.send(
        "POST /buy/it?item=1&sig=secret&AWSAccessKeyId=key HTTP/1.1\r\nHost: shop.example:8080\r\n\
         User-Agent: agent/1\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nContent-Length: 4\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
         tracestate: rojo=00f067aa0ba902b7\r\ntracestate: congo=t61\r\n\r\nbody",
    );
    wire.answer(false);
    daemon.wait_for_count(1);
    let finished = daemon.stop();
    let [span] = finished.spans.as_slice() else {
        panic!("one span: {}", finished.story());
    };
    assert_eq!(span.name, "POST");
    assert_eq!(span.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span.parent_span_id, "b7ad6b7169203331");
    assert_eq!(
        span.trace_state.as_deref(),
        Some("rojo=00f067aa0ba902b7,congo=t61")
    );
    // Sampled; and the parent is known to be remote.
    assert_eq!(span.flags, 0x301);
    let port = wire.local().port();
    assert_same(
        "attributes",
        [
            "client.address = 203.0.113.9".to_owned(),
            "http.request.body.size = 4".into(),
            "http.request.method = POST".into(),
            "http.response.body.size = 5".into(),
            "http.response.status_code = 200".into(),
            "network.peer.address = 127.0.0.1".into(),
            format!("network.peer.port = {port}"),
            "network.protocol.version = 1.1".into(),
            "server.address = shop.example".into(),
            "server.port = 8080".into(),
            "url.path = /buy/it".into(),
            "url.query = item=1&sig=REDACTED&AWSAccessKeyId=REDACTED".into(),
            "url.scheme = http".into(),
            "user_agent.original = agent/1".into(),
        ],
        pairs(&span.attributes),
    );
    let executable = std::fs::read_link(format!("/proc/{}/exe", server.process.pid()));
    let executable = executable.expect("it runs");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let (host, pid) = (host.trim(), server.process.pid());
    let resource: Vec<_> = pairs(&span.resource)
        .into_iter()
        .filter(|pair| !pair.contains(".version = "))
        .collect();
    let mut expected = of_machine();
    expected.extend([
        format!("host.name = {host}"),
        "os.type = linux".into(),
        format!(
            "process.executable.name = {}",
            executable.file_name().expect("a file").to_string_lossy()
        ),
        format!("process.executable.path = {}", executable.display()),
        format!("process.pid = {pid}"),
        format!("service.instance.id = {host}:{pid}"),
        "service.name = shop".into(),
        "service.namespace = market".into(),
        "telemetry.distro.name = wirespan".into(),
        "telemetry.sdk.language = python".into(),
        "telemetry.sdk.name = wirespan".into(),
    ]);
    expected.sort();
    assert_same("attributes of the resource", expected, resource);
}

/// What the machine's files say of it, as a shell reads them.
fn of_machine() -> Vec<String> {
    let told = r#"[ -e /etc/os-release ] && . /etc/os-release
        echo "os.name = $NAME"; echo "os.description = $PRETTY_NAME"
        echo "host.id = $(cat /etc/machine-id 2>/dev/null)""#;
    let told = Command::new("sh").args(["-c", told]).output();
    let told = String::from_utf8(told.expect("a shell").stdout).expect("text");
    let told = told
        .lines()
        .map(str::trim)
        .filter(|line| !line.ends_with('='));
    let mut told: Vec<_> = told.map(str::to_owned).collect();
    told.push("host.arch = amd64".to_owned());
    told
}

#[test]
fn a_client_span_has_every_attribute_and_no_other() {
    let server = Server::hyper();
    let mut client = Client::hyper();
    let daemon = Daemon::for_pid(client.process.pid());
    client.send("GET", &server.url("/x?X-Goog-Signature=s&b=2"), 0);
    let _ = client.truth(1);
    daemon.wait_for_count(1);
    let finished = daemon.stop();
    let [span] = finished.spans.as_slice() else {
        panic!("one span: {}", finished.story());
    };
    assert_eq!((&*span.name, &*span.parent_span_id), ("GET", ""));
    let port = server.port;
    assert_same(
        "attributes",
        [
            "http.request.body.size = 0".to_owned(),
            "http.request.method = GET".into(),
            "http.response.body.size = 5".into(),
            "http.response.status_code = 200".into(),
            "network.peer.address = 127.0.0.1".into(),
            format!("network.peer.port = {port}"),
            "network.protocol.version = 1.1".into(),
            "server.address = 127.0.0.1".into(),
            format!("server.port = {port}"),
            format!("url.full = http://127.0.0.1:{port}/x?X-Goog-Signature=REDACTED&b=2"),
        ],
        pairs(&span.attributes),
    );
}

#[test]
fn a_target_names_itself_by_its_own_environment() {
    let port = wirespan_tests::ports::free();
    let server = Server::on(port, |port| {
        let mut command = wirespan_tests::workload::python("server.py", &[port]);
        command.env("OTEL_SERVICE_NAME", "named");
        command.env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.namespace=ns,deployment.environment.name=te%20st",
        );
        command
    });
    let daemon = Daemon::for_port(port);
    let _ = curl(&[&server.url("/")]);
    let spans = daemon.wait_for_count(1);
    let resource = &spans[0].resource;
    assert_eq!(resource["service.name"], "named");
    assert_eq!(resource["service.namespace"], "ns");
    assert_eq!(resource["deployment.environment.name"], "te st");
    let _ = daemon.stop();
}
