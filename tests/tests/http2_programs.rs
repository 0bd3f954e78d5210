//! HTTP/2 that is not gRPC: nginx, nghttpd, Node and Go as servers, curl, nghttp, h2load and Node
//! as clients. What they say that they did is compared with spans.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::grpc::{self, Call, Runtime, built_by_setup};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::truth::{Exchange, assert_same};
use wirespan_tests::visits::assert_told;
use wirespan_tests::workload::{Client, Nginx, Server, curl, eventually, file};

/// What holds for spans of HTTP/2, whatever became of the request.
fn assert_http2(finished: &Finished) {
    for span in &finished.spans {
        assert_eq!(span.get("network.protocol.version"), Some("2"), "{span}");
        assert_eq!(span.get("rpc.system.name"), None, "{span}");
        for mark in ["wirespan.http2.headers_incomplete", "wirespan.end_inferred"] {
            assert_eq!(span.get(mark), None, "{span}");
        }
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

/// Spans of one side against the truth.
fn assert_side(finished: &Finished, kind: Kind, truth: Vec<Exchange>) {
    assert_told(&format!("{kind:?} spans"), truth, &finished.of_kind(kind));
}

/// A copy of a program, so that no other test's one is watched.
fn copy_of(program: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join(program);
    std::fs::copy(Path::new("/usr/bin").join(program), &copy)
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    (directory, copy)
}

fn run(program: &Path, arguments: &[&str]) -> Vec<String> {
    Process::start("client", tied(program).args(arguments)).succeed()
}

/// Runs programs that are over within milliseconds: as its children they are watched from their
/// first instant, which others are not that must be found first.
struct Shell {
    shell: Process,
    directory: TempDir,
    program: PathBuf,
    runs: usize,
}

impl Shell {
    /// For a copy of `program`, in a directory of its own.
    fn of(program: &str) -> Self {
        let (directory, program) = copy_of(program);
        let copy = directory.path().join("sh");
        std::fs::copy("/bin/sh", &copy).expect("a shell is installed");
        let mut command = tied(copy);
        command.args([
            "-c",
            "while read -r line; do eval \"$line\"; echo \"ended $?\"; done",
        ]);
        Self {
            shell: Process::start("shell", &mut command),
            directory,
            program,
            runs: 0,
        }
    }

    /// What selects it and its children.
    fn glob(&self) -> String {
        format!("{}/*", self.directory.path().display())
    }

    /// Runs the program with arguments that have no quotes in them, which must end well.
    fn run(&mut self, arguments: &[&str]) {
        let mut line = format!("'{}'", self.program.display());
        for argument in arguments {
            assert!(!argument.contains('\''), "{argument}");
            line.push_str(&format!(" '{argument}'"));
        }
        self.shell.tell(&line);
        self.runs += 1;
        let runs = self.runs;
        let ended = self.shell.stdout.wait_for(LIMIT, |lines| {
            let mut ended = lines.iter().filter(|line| line.starts_with("ended "));
            ended.nth(runs - 1).cloned()
        });
        assert_eq!(ended.as_deref(), Some("ended 0"), "{}", self.shell.story());
    }
}

/// Requests by curl over HTTP/2, several on a connection, and what each side should say of them.
fn visit_by_curl(shell: &mut Shell, flag: &str, url: impl Fn(&str) -> String) -> Vec<Exchange> {
    let upload = "u".repeat(100_000);
    let common = [flag, "--silent", "--show-error", "--max-time", "20"];
    let quiet = ["--output", "/dev/null"];
    let kept: Vec<_> = (0..10)
        .map(|n| url(&format!("/kept/{n}?size={n}00")))
        .collect();
    if flag == "--http2" {
        let mut arguments = common.to_vec();
        for url in &kept {
            arguments.extend(quiet);
            arguments.push(url);
        }
        shell.run(&arguments);
    } else {
        // Debian's curl can't use such a connection twice.
        for url in &kept {
            shell.run(&[&common[..], &quiet, &[url]].concat());
        }
    }
    let mut truth: Vec<_> = (0..10)
        .map(|n| Exchange::new("GET", &format!("/kept/{n}?size={n}00"), 200, n * 100))
        .collect();
    let mut one = |more: &[&str], exchange: Exchange| {
        let url = url(&exchange.target);
        shell.run(&[&common[..], &quiet, more, &[&url]].concat());
        truth.push(exchange);
    };
    one(&["--head"], Exchange::new("HEAD", "/head?size=77", 200, 0));
    one(
        &["--data-binary", "posted"],
        Exchange::new("POST", "/posted", 200, 5).with_request_body(6),
    );
    one(
        &["--data-binary", &upload],
        Exchange::new("POST", "/large-upload", 200, 5).with_request_body(100_000),
    );
    one(
        &[],
        Exchange::new("GET", "/large?size=3000000", 200, 3_000_000),
    );
    one(&[], Exchange::new("GET", "/empty?status=204", 204, 0));
    one(&[], Exchange::new("GET", "/gone?status=404", 404, 5));
    one(
        &[],
        Exchange::new("GET", "/broken?status=503&size=0", 503, 0),
    );
    one(
        &["--request", "DELETE"],
        Exchange::new("DELETE", "/delete", 200, 5),
    );
    truth
}

fn curl_to(server: &Server, flag: &str) -> Finished {
    let mut shell = Shell::of("curl");
    let glob = shell.glob();
    let pid = server.process.pid().to_string();
    let daemon = Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", &glob), ("BEYLA_TARGET_PID", &pid)]);
    let truth = visit_by_curl(&mut shell, flag, |target| server.url(target));
    assert_same(
        "what was asked for and what was answered",
        truth.clone(),
        server.truth(truth.len()),
    );
    daemon.wait_for_count(2 * truth.len());
    let finished = daemon.stop();
    assert_side(&finished, Kind::Server, truth.clone());
    assert_side(&finished, Kind::Client, truth);
    finished
}

fn h2c() -> Server {
    Server::on(ports::free(), |port| {
        let mut command = tied(built_by_setup("grpc/h2c"));
        command.arg(port);
        command
    })
}

fn node() -> Server {
    Server::on(ports::free(), |port| {
        let mut command = tied("node");
        command.arg(file("http2/server.js")).arg(port);
        command
    })
}

#[test]
fn curl_and_node_with_prior_knowledge_are_told_as_they_saw_it() {
    let finished = curl_to(&node(), "--http2-prior-knowledge");
    assert_http2(&finished);
}

#[test]
fn curl_and_go_with_prior_knowledge_are_told_as_they_saw_it() {
    let finished = curl_to(&h2c(), "--http2-prior-knowledge");
    assert_http2(&finished);
}

/// Each connection begins in HTTP/1.1; the first request is answered in HTTP/2, on stream 1.
#[test]
fn an_upgrade_from_http_1_loses_and_invents_nothing() {
    let finished = curl_to(&h2c(), "--http2");
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let of_1 = |span: &&Seen| span.get("network.protocol.version") == Some("1.1");
    let kept = finished
        .spans
        .iter()
        .filter(|span| span.target().starts_with("/kept/"));
    // All but the first of a connection are HTTP/2 in any case.
    assert!(kept.filter(of_1).count() <= 2, "{}", finished.story());
}

fn nodes(lines: &[&str]) -> (Vec<Exchange>, Finished) {
    let server = node();
    let mut command = tied("node");
    command.arg(file("http2/client.js")).arg(server.url(""));
    let mut client = Client::start(&mut command);
    let pids = format!("{},{}", server.process.pid(), client.process.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    let mut count = 0;
    for line in lines {
        client.process.tell(line);
        count += line.split(',').count();
    }
    let truth = client.truth(count);
    assert_same("both truths", server.truth(count), truth.clone());
    daemon.wait_for_count(2 * count);
    (truth, daemon.stop())
}

#[test]
fn nodes_many_streams_at_once_are_told_apart() {
    let burst: Vec<_> = (0..100)
        .map(|n| format!("GET /burst/{n}?size={}&delay={} 0", n * 100, n % 7 * 10))
        .collect();
    let burst = burst.join(",");
    let posts = "POST /a 100000,PUT /b?status=201 70000,POST /c 1,HEAD /d 0";
    let (truth, finished) = nodes(&[&burst, posts, &burst]);
    assert_side(&finished, Kind::Server, truth.clone());
    assert_side(&finished, Kind::Client, truth);
    assert_http2(&finished);
}

#[test]
fn hints_pushes_and_goodbyes_are_no_exchanges() {
    let (truth, finished) = nodes(&[
        "GET /hints?hints=1 0",
        "GET /pushes?push=1 0",
        "GET /bye?goaway=1 0",
        "GET /after 0",
    ]);
    assert_side(&finished, Kind::Server, truth.clone());
    assert_side(&finished, Kind::Client, truth);
    assert_http2(&finished);
}

#[test]
fn a_stream_that_was_reset_is_an_error() {
    let (truth, finished) = nodes(&["GET /reset?reset=1 0", "GET /after 0"]);
    assert_eq!(truth[0].status, None);
    for kind in [Kind::Server, Kind::Client] {
        let spans = finished.of_kind(kind);
        let reset: Vec<_> = spans.iter().filter(|span| span.failed).collect();
        assert_eq!((spans.len(), reset.len()), (2, 1), "{}", finished.story());
        assert_eq!(reset[0].exchange().status, None, "{}", reset[0]);
        assert_eq!(
            reset[0].get("error.type"),
            Some("http2_internal_error"),
            "{}",
            reset[0]
        );
    }
    assert_http2(&finished);
}

// === nginx ===

#[test]
fn nginx_is_told_as_curl_saw_it() {
    let nginx = Nginx::http2(
        1,
        "",
        "location / { return 200 'short'; }
         location /gone { return 404; }
         location /large.bin { }",
    );
    nginx.serve_file("large.bin", 3_000_000);
    let daemon = Daemon::for_port(nginx.port);
    let flag = "--http2-prior-knowledge";
    for (more, target) in [
        (&[][..], "/a"),
        (&["--head"], "/head"),
        (&[], "/large.bin"),
        (&[], "/gone?x=1"),
    ] {
        let _ = curl(&[&[flag], more, &[&nginx.url(target)]].concat());
    }
    let url = nginx.url("/kept");
    run(Path::new("nghttp"), &["--null-out", "--multiply=20", &url]);
    let count = 4 + 20;
    let truth = nginx.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    let known = |exchange: Exchange| (exchange.method, exchange.target, exchange.status);
    let line = |(method, target, status): (String, String, Option<u16>)| {
        format!("{method} {target} {status:?}")
    };
    let spans = finished.of_kind(Kind::Server);
    let came = spans.iter().map(|span| line(known(span.exchange())));
    // nginx counts frames with the body; what the size is, is known here.
    assert_same(
        "spans",
        truth.into_iter().map(|told| line(known(told))),
        came,
    );
    for span in spans {
        let said = span.exchange();
        let size = match said.target.as_str() {
            "/large.bin" => 3_000_000,
            "/head" => 0,
            "/gone?x=1" => continue,
            _ => 5,
        };
        assert_eq!(said.response_body, Some(size), "{span}");
    }
    assert_http2(&finished);
}

#[test]
fn nothing_is_lost_under_h2load() {
    const REQUESTS: usize = 20_000;
    let nginx = Nginx::http2(2, "", "");
    nginx.serve_file("small.txt", 300);
    let port = nginx.port.to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "counter"),
        ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "1000000"),
    ]);
    let mut h2load = tied("h2load");
    h2load
        .args(["--clients=10", "--max-concurrent-streams=32", "--threads=2"])
        .arg(format!("--requests={REQUESTS}"))
        .arg(nginx.url("/small.txt"));
    let said = Process::start("h2load", &mut h2load).succeed().join("\n");
    assert!(said.contains(&format!("{REQUESTS} succeeded")), "{said}");
    let _ = nginx.truth(REQUESTS);
    let finished = daemon.stop_uncounted();
    assert_eq!(finished.lost(), "nothing", "{}", finished.summary());
    assert_eq!(finished.made(), REQUESTS, "{}", finished.summary());
}

/// A client, nginx as a server and as a client, a server: four spans for each call.
#[test]
fn grpc_pass_is_a_server_and_a_client_and_all_sides_agree() {
    let server = grpc::Server::plain(Runtime::Go);
    let upstream = format!(
        "upstream shapes {{ server 127.0.0.1:{}; keepalive 4; }}",
        server.port
    );
    let nginx = Nginx::http2(1, &upstream, "location / { grpc_pass grpc://shapes; }");
    let mut client = grpc::Client::plain(Runtime::Python, nginx.port);
    let pids = [server.process.pid(), client.process.pid()];
    let ports = nginx.port.to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &ports),
        (
            "BEYLA_TARGET_PID",
            &pids.map(|pid| pid.to_string()).join(","),
        ),
    ]);
    for line in [
        "Unary repeat=10",
        "Unary code=5",
        "ServerStream count=4 reply=3000",
        "ClientStream send=4",
        "Bidi send=4",
        "Unary parallel=20",
    ] {
        client.call(line);
    }
    let count = 10 + 4 + 20;
    let truth = client.truth(count);
    assert_same("both truths", truth.clone(), server.truth(count));
    daemon.wait_for_count(4 * count);
    let finished = daemon.stop();
    // nginx makes frames of its own, as large as its buffers. Where a message begins in the middle
    // of a payload that is only counted, messages can't be; a count that is told is right.
    for kind in [Kind::Client, Kind::Server] {
        let spans = finished.of_kind(kind);
        let (proxy, end): (Vec<_>, Vec<_>) = spans
            .into_iter()
            .partition(|span| span.resource["service.name"] == "nginx");
        for (name, side) in [("nginx", proxy), ("the others", end)] {
            let (counted, open): (Vec<_>, Vec<_>) = side
                .into_iter()
                .map(Call::of)
                .partition(|call| call.responses.is_some());
            let calls = counted.into_iter().chain(open.into_iter().map(|call| {
                assert!(call.rpc.ends_with("/ServerStream"), "{name}: {call}");
                Call {
                    responses: Some(4),
                    ..call
                }
            }));
            assert_same(&format!("{kind:?} spans of {name}"), truth.clone(), calls);
        }
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

// === nghttp2's own programs ===

#[test]
fn nghttpd_and_nghttp_are_told_as_they_saw_it() {
    const REQUESTS: usize = 50;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("file"), [b'f'; 5000]).expect("a file");
    let port = ports::free();
    let mut nghttpd = tied("nghttpd");
    nghttpd
        .args(["--no-tls", "--address=127.0.0.1", "--htdocs"])
        .arg(directory.path())
        .arg(port.to_string());
    let server = Process::start("nghttpd", &mut nghttpd);
    eventually("nghttpd to listen", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let mut shell = Shell::of("nghttp");
    let glob = shell.glob();
    let daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", &glob),
        ("BEYLA_TARGET_PID", &server.pid().to_string()),
    ]);
    let multiply = format!("--multiply={REQUESTS}");
    let url = |target: &str| format!("http://127.0.0.1:{port}{target}");
    shell.run(&["--null-out", &multiply, &url("/file")]);
    shell.run(&["--null-out", "--continuation", &url("/none?q=1")]);
    shell.run(&["--null-out", "--padding=100", &url("/file?padded")]);
    daemon.wait_for_count(2 * (REQUESTS + 2));
    let finished = daemon.stop();
    for kind in [Kind::Client, Kind::Server] {
        let spans = finished.of_kind(kind);
        let told = spans.iter().map(|span| {
            let said = span.exchange();
            let size = if said.status == Some(404) {
                None
            } else {
                said.response_body
            };
            format!("{} {} {:?} {size:?}", said.method, said.target, said.status)
        });
        let expected = std::iter::repeat_n("GET /file Some(200) Some(5000)", REQUESTS).chain([
            "GET /none?q=1 Some(404) None",
            "GET /file?padded Some(200) Some(5000)",
        ]);
        assert_same(
            &format!("{kind:?} spans"),
            expected.map(str::to_owned),
            told,
        );
    }
    assert_http2(&finished);
}
