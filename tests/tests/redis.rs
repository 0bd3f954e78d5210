//! Redis under observation: Debian's server, redis-cli, redis-py and redis-benchmark. Every span is
//! compared with what the client did.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::redis::{RedisServer, introduces, line};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::tls::{Certificates, built};
use wirespan_tests::truth::assert_same;

/// Lines of spans of one kind, without what clients say of themselves.
fn lines(finished: &Finished, kind: Kind) -> Vec<String> {
    let spans = finished.of_kind(kind).into_iter();
    spans.filter(|span| !introduces(span)).map(line).collect()
}

fn nothing_lost(finished: &Finished) {
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

/// redis-py, told what to do.
struct Client {
    process: Process,
}

impl Client {
    fn start(server: &RedisServer) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = tied("/usr/bin/python3");
        command
            .arg(root.join("workloads/redis_client.py"))
            .arg(built("wheels/redis-8.1.0"))
            .arg(server.port.to_string());
        let process = Process::start("redis-py", &mut command);
        Self { process }
    }

    /// What it did in all these steps.
    fn run(mut self, steps: &[&str]) -> Vec<String> {
        for step in steps {
            self.process.tell(step);
        }
        self.process.close_input();
        let said = self.process.succeed();
        said.iter()
            .filter_map(|line| line.strip_prefix("did ").map(str::to_owned))
            .collect()
    }
}

/// Runs steps of redis-py with both sides watched, and compares both with what it did. What else
/// is left out: commands that it gave nobody knows how often.
fn compare(steps: &[&str], besides: &str) -> Finished {
    let server = RedisServer::start(&[]);
    let client = Client::start(&server);
    let pids = format!("{},{}", server.process.pid(), client.process.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    let did = client.run(steps);
    let is_one = |span: &&Seen| !introduces(span) && line(span) != besides;
    let enough = |spans: &[Seen]| spans.iter().filter(is_one).count() >= 2 * did.len();
    daemon.wait_for("both sides of each command", enough);
    let finished = daemon.stop();
    for kind in [Kind::Client, Kind::Server] {
        let told = lines(&finished, kind).into_iter();
        let told = told.filter(|line| line != besides);
        assert_same(&format!("{kind:?}"), did.clone(), told);
    }
    nothing_lost(&finished);
    finished
}

#[test]
fn values_of_every_type_in_both_versions_of_the_protocol() {
    let finished = compare(&["types 2", "types 3"], "");
    for span in finished
        .spans
        .iter()
        .filter(|span| line(span) == "HGETALL ?")
    {
        assert_eq!(span.name, "HGETALL");
        assert_eq!(span.get("db.system.name"), Some("redis"), "{span}");
        assert_eq!(span.get("db.namespace"), Some("2"), "{span}");
        assert_eq!(span.get("server.address"), Some("127.0.0.1"), "{span}");
    }
    let digest = |span: &&Seen| span.get("db.stored_procedure.name") == Some(&"0".repeat(40));
    assert_eq!(finished.spans.iter().filter(digest).count(), 4);
}

#[test]
fn pipelines_and_transactions_are_their_commands() {
    compare(&["pipeline 100", "pipeline 50"], "");
}

#[test]
fn after_the_first_long_pipeline_none_is_lost() {
    const COMMANDS: usize = 300;
    let server = RedisServer::start(&[]);
    let mut client = Client::start(&server);
    let pids = format!("{},{}", server.process.pid(), client.process.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    let of_exec = |spans: &[Seen]| spans.iter().filter(|span| span.name == "EXEC").count();
    // What it learns, it learns by then.
    client.process.tell(&format!("pipeline {COMMANDS}"));
    daemon.wait_for("the first", |spans| of_exec(spans) >= 2);
    let did = client.run(&[&format!("pipeline {COMMANDS}")]);
    daemon.wait_for("the second", |spans| of_exec(spans) >= 4);
    let finished = daemon.stop();
    let did = &did[did.len() / 2..];
    for kind in [Kind::Client, Kind::Server] {
        let mut spans = finished.of_kind(kind);
        spans.retain(|span| !introduces(span));
        spans.sort_by_key(|span| span.start_ns);
        let last = &spans[spans.len() - did.len()..];
        let last = last.iter().map(|span| line(span));
        assert_same(&format!("{kind:?}"), did.to_vec(), last);
    }
}

#[test]
fn what_is_published_is_no_command() {
    compare(&["topics 2", "topics 3"], "");
}

#[test]
fn what_a_monitor_sees_is_no_command() {
    compare(&["monitor"], "");
}

#[test]
fn fifty_megabytes_are_counted_and_not_copied() {
    let finished = compare(&["large 50000000"], "");
    for span in &finished.spans {
        assert_eq!(span.get("wirespan.capture.truncated"), None, "{span}");
    }
}

#[test]
fn who_waits_is_told_when_the_answer_comes() {
    compare(&["waiting"], "CLIENT LIST");
}

#[test]
fn a_hundred_clients_at_once_are_told_apart() {
    compare(&["crowd 100"], "");
}

#[test]
fn what_redis_cli_and_a_person_ask_is_told_with_every_attribute() {
    let server = RedisServer::start(&["--requirepass", "S3cr3tV4lue"]);
    let daemon = Daemon::for_port(server.port);
    let pass = ["-a", "S3cr3tV4lue", "--no-auth-warning"];
    let run = |arguments: &[&str]| {
        let all = [&pass, arguments].concat();
        let _ = Process::start("redis-cli", &mut server.cli(&all)).succeed();
    };
    let _ = Process::start("redis-cli", &mut server.cli(&["get", "a"])).succeed();
    run(&["-n", "3", "set", "a", "b"]);
    run(&["lpush", "l", "b"]);
    run(&["incr", "l"]);
    run(&["-3", "config", "set", "requirepass", "S3cr3tV4lue"]);
    // By hand, as with netcat.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut typed = |text: &str, answer: &str| {
        stream.write_all(text.as_bytes()).expect("it reads");
        let mut bytes = vec![0; answer.len()];
        stream.read_exact(&mut bytes).expect("it answers");
        assert_eq!(String::from_utf8_lossy(&bytes), answer);
    };
    typed(
        "*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n",
        "-WRONGPASS invalid username-password pair",
    );
    typed("", " or user is disabled.\r\n");
    typed("auth S3cr3tV4lue\r\n", "+OK\r\n");
    typed("set b \"x y\"\r\n", "+OK\r\n");
    typed("get b\r\nget c\r\n", "$3\r\nx y\r\n$-1\r\n");
    let expected = [
        "get ? NOAUTH",
        "AUTH ?",
        "SELECT ?",
        "set ? ?",
        "AUTH ?",
        "lpush ? ?",
        "AUTH ?",
        "incr ? WRONGTYPE",
        "AUTH ?",
        "config set ? ?",
        "AUTH ? WRONGPASS",
        "auth ?",
        "set ? ?",
        "get ?",
        "get ?",
    ];
    let count = |spans: &[Seen]| spans.iter().filter(|span| !introduces(span)).count();
    daemon.wait_for("all commands", |spans| count(spans) >= expected.len());
    let finished = daemon.stop();
    let expected = expected.map(str::to_owned);
    assert_same("commands", expected, lines(&finished, Kind::Server));
    nothing_lost(&finished);
    assert!(!format!("{:?}", finished.spans).contains("S3cr3t"));
    let set = finished.spans.iter().find(|span| line(span) == "set ? ?");
    let mut attributes: BTreeMap<_, _> = set.expect("it is there").attributes.clone();
    assert!(attributes.remove("network.peer.port").is_some());
    let port = server.port.to_string();
    let wanted = [
        ("client.address", "127.0.0.1"),
        ("db.namespace", "3"),
        ("db.operation.name", "set"),
        ("db.query.text", "set ? ?"),
        ("db.system.name", "redis"),
        ("network.peer.address", "127.0.0.1"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(attributes, wanted.into());
}

#[test]
fn over_tls_it_is_the_same() {
    let certificates = Certificates::create();
    let tls_port = ports::free().to_string();
    let certificate = certificates.certificate().display().to_string();
    let key = certificates.key().display().to_string();
    let server = RedisServer::start(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let daemon = Daemon::for_pid(server.process.pid());
    let tls = ["--tls", "--insecure", "-p", &tls_port];
    // Until its library is read, nothing of it is seen.
    let mut asked = 0;
    while daemon.spans().is_empty() && asked < 200 {
        asked += 1;
        let _ = Process::start(
            "redis-cli",
            &mut server.cli(&[&tls[..], &["ping"]].concat()),
        )
        .succeed();
    }
    let last = [&tls[..], &["lpush", "l", "x"]].concat();
    let _ = Process::start("redis-cli", &mut server.cli(&last)).succeed();
    let is_last = |span: &Seen| line(span) == "lpush ? ?";
    let spans = daemon.wait_for("the last", |spans| spans.iter().any(is_last));
    let last = spans.iter().find(|span| is_last(span)).expect("it came");
    assert_eq!(last.get("server.port"), Some(&*tls_port), "{last}");
    let _ = daemon.stop();
}

#[test]
fn a_benchmark_in_pipelines_loses_nothing() {
    const COMMANDS: usize = 4_000;
    let server = RedisServer::start(&[]);
    let daemon = Daemon::for_port(server.port);
    let mut command = tied("redis-benchmark");
    command
        .args(["-p", &server.port.to_string(), "-t", "set,get,incr", "-q"])
        .args(["-n", &COMMANDS.to_string(), "-P", "16", "-c", "20"]);
    let _ = Process::start("redis-benchmark", &mut command).succeed();
    daemon.wait_for("all commands", |spans| spans.len() >= 3 * COMMANDS + 2);
    let finished = daemon.stop();
    let mut counts = BTreeMap::new();
    for line in lines(&finished, Kind::Server) {
        *counts.entry(line).or_insert(0) += 1;
    }
    let wanted = [
        ("CONFIG GET ?", 2),
        ("GET ?", COMMANDS),
        ("INCR ?", COMMANDS),
        ("SET ? ?", COMMANDS),
    ];
    assert_eq!(
        counts,
        wanted.map(|(line, count)| (line.to_owned(), count)).into()
    );
    nothing_lost(&finished);
}
