//! Ways into and out of sockets: whatever call moves the bytes, the spans tell what was said. Each
//! case runs under each strategy that this machine's kernel has, or under the one that
//! `WIRESPAN_CAPTURE` forces.

use std::path::{Path, PathBuf};
use std::process::Command;

use wirespan_tests::daemon::{Daemon, strategies};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::workload::file;

/// The program `ways`, compiled where that was not done yet.
fn ways() -> PathBuf {
    let source = file("capture/ways.c");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ways");
    let time_of = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    if time_of(&to).is_none_or(|built| time_of(&source).is_none_or(|edited| built < edited)) {
        // Under a name of its own first: other tests may be at it too.
        let own = to.with_extension(std::process::id().to_string());
        let compiler = Command::new("cc")
            .args(["-O1", "-o"])
            .args([&own, &source])
            .status();
        assert!(
            compiler
                .as_ref()
                .is_ok_and(std::process::ExitStatus::success),
            "cc: {compiler:?}"
        );
        std::fs::rename(&own, &to).expect("in the same directory");
    }
    to
}

/// Method, path, status, size of the request's body and of the response's.
type Told<'a> = (&'a str, &'a str, u16, u64, u64);

const SAID: [Told<'_>; 7] = [
    ("GET", "/bytes/100000", 200, 0, 100_000),
    ("POST", "/chunked/50000", 200, 20_000, 50_000),
    ("GET", "/none", 404, 0, 3),
    ("HEAD", "/bytes/9", 200, 0, 0),
    ("POST", "/bytes/7", 200, 100_000, 7),
    ("GET", "/bytes/0", 200, 0, 0),
    ("GET", "/close/5000", 200, 0, 5_000),
];

/// A server and a client that both move bytes this way, traced both.
fn converse(strategy: &str, address: &str, way_in: &str, way_out: &str) {
    // A name of its own, so that other tests' programs are not selected.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("ways");
    std::fs::copy(ways(), &program).expect("copied");
    let own = format!("^{}$", program.display());
    let daemon = Daemon::start(&[
        ("WIRESPAN_CAPTURE", strategy),
        ("BEYLA_EXECUTABLE_NAME", &own),
    ]);
    let told = format!("{strategy}, {address}, {way_in}, {way_out}");
    let mut server = Process::start(
        "ways serve",
        tied(&program).args(["serve", address, way_in, way_out]),
    );
    server.expect_line("ready");
    daemon.wait_until_watching(server.pid());
    let requests = SAID.map(|(method, path, _, body, _)| format!("{method}:{path}:{body}"));
    let mut client = Process::start(
        "ways fetch",
        tied(&program)
            .args(["fetch", address, way_in, way_out])
            .args(requests),
    );
    daemon.wait_until_watching(client.pid());
    client.tell("go");
    client.succeed();
    daemon.wait_for_count(2 * SAID.len());
    server.stop();
    let finished = daemon.stop();
    for kind in [Kind::Server, Kind::Client] {
        let spans: Vec<_> = finished.spans.iter().filter(|s| s.kind == kind).collect();
        assert_eq!(spans.len(), SAID.len(), "{told}\n{}", finished.story());
        for (span, said) in spans.into_iter().zip(SAID) {
            assert_tells(span, said, &format!("{told}\n{}", finished.story()));
        }
    }
    assert_eq!(finished.lost(), "nothing", "{told}");
}

fn assert_tells(span: &Seen, said: Told<'_>, story: &str) {
    let (method, path, status, request, response) = said;
    let number = |name| {
        span.get(name)
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    assert_eq!(span.get("http.request.method"), Some(method), "{story}");
    let url = span.get("url.path").or(span.get("url.full"));
    assert!(url.is_some_and(|url| url.ends_with(path)), "{story}");
    let seen = number("http.response.status_code");
    assert_eq!(seen, Some(status.into()), "{story}");
    let seen = number("http.request.body.size").unwrap_or(0);
    assert_eq!(seen, request, "{said:?}\n{story}");
    // The chunk sizes in a read that was not copied whole are not known, and then nor is the
    // body's.
    let may_be_unknown = path.starts_with("/chunked") && span.kind == Kind::Client;
    let seen = number("http.response.body.size").unwrap_or(0);
    assert!(
        seen == response || may_be_unknown && seen == 0,
        "{said:?}\n{story}"
    );
    let error = span.get("error.type");
    assert!(error.is_none_or(|error| error == "404"), "{story}");
}

fn each_way(ways: &[(&str, &str)]) {
    for strategy in strategies() {
        for (way_in, way_out) in ways {
            converse(&strategy, &ports::free().to_string(), way_in, way_out);
        }
    }
}

#[test]
fn one_buffer_at_a_time() {
    each_way(&[
        ("read", "write"),
        ("recv", "send"),
        ("boundless", "send"),
        ("recvfrom", "sendto"),
        ("read", "whole"),
        ("read", "tiny"),
        ("waitall", "more"),
    ]);
}

#[test]
fn scattered_and_gathered() {
    each_way(&[
        ("readv", "writev"),
        ("preadv2", "pwritev2"),
        ("recvmsg", "sendmsg"),
        ("recvmmsg", "write"),
    ]);
}

#[test]
fn several_messages_in_a_call() {
    each_way(&[("recvmmsg", "sendmmsg")]);
}

#[test]
fn without_buffers() {
    each_way(&[
        ("read", "sendfile"),
        ("splice", "splice"),
        ("trunc", "write"),
    ]);
}

#[test]
fn without_blocking() {
    each_way(&[("nonblock", "nonblock")]);
}

#[test]
fn reads_that_take_nothing_do_not_count() {
    each_way(&[("peek", "write"), ("zero", "write")]);
}

#[test]
fn all_families_of_addresses() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    for strategy in strategies() {
        let port = ports::free();
        converse(&strategy, &format!("[::1]:{port}"), "read", "writev");
        let unix = format!("unix:{}", path.display());
        converse(&strategy, &unix, "recvmsg", "sendfile");
        let _ = std::fs::remove_file(&path);
        let unix = format!("unix:@wirespan-test-{port}");
        converse(&strategy, &unix, "read", "sendmsg");
    }
}

#[test]
fn ipv4_over_an_ipv6_socket_is_ipv4() {
    for strategy in strategies() {
        let port = ports::free();
        let address = format!("[::ffff]:{port}");
        let daemon = Daemon::start(&[
            ("WIRESPAN_CAPTURE", &strategy),
            ("BEYLA_OPEN_PORT", &port.to_string()),
        ]);
        let server = Process::start(
            "ways serve",
            tied(ways()).args(["serve", &address, "read", "write"]),
        );
        server.expect_line("ready");
        let port = port.to_string();
        let mut client = Process::start(
            "ways fetch",
            tied(ways()).args(["fetch", &port, "read", "write", "GET:/bytes/1:0"]),
        );
        client.tell("go");
        client.succeed();
        let spans = daemon.wait_for_count(1);
        let peer = spans[0].get("network.peer.address");
        assert_eq!(peer, Some("127.0.0.1"), "{strategy}");
        let _ = daemon.stop();
    }
}

#[test]
fn long_bodies_are_counted_in_few_records() {
    const BODY: u64 = 256 * 1024 * 1024;
    for strategy in strategies() {
        let port = ports::free().to_string();
        let directory = tempfile::tempdir().expect("a directory");
        let recording = directory.path().join("recording");
        let server = Process::start(
            "ways serve",
            tied(ways()).args(["serve", &port, "read", "write"]),
        );
        server.expect_line("ready");
        let daemon = Daemon::start_with(
            &["record", recording.to_str().expect("text")],
            &[("WIRESPAN_CAPTURE", &strategy), ("BEYLA_OPEN_PORT", &port)],
        );
        daemon.wait_until_watching(server.pid());
        let mut client = Process::start(
            "ways fetch",
            tied(ways()).args(["fetch", &port, "read", "write"]).args([
                format!("GET:/bytes/{BODY}:0"),
                format!("POST:/bytes/3:{BODY}"),
            ]),
        );
        client.tell("go");
        client.succeed();
        let finished = daemon.stop();
        let sizes = finished.spans.iter().map(|span| {
            let size = |name| span.get(name).and_then(|text| text.parse::<u64>().ok());
            (
                size("http.request.body.size"),
                size("http.response.body.size"),
            )
        });
        let expected = [(Some(0), Some(BODY)), (Some(BODY), Some(3))];
        assert!(sizes.eq(expected), "{strategy} {}", finished.story());
        let recorded = recording.metadata().expect("written").len();
        assert!(recorded < 512 * 1024, "{strategy}: {recorded} bytes");
    }
}
