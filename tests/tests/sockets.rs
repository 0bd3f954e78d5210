//! Sockets that are treated unusually: passed on, shared, half closed, left alone, killed; the
//! spans tell what was said. Each case runs under each strategy that this machine's kernel has, or
//! under the one that `WIRESPAN_CAPTURE` forces.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use wirespan_tests::daemon::{Daemon, Finished, strategies};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Seen, listing};
use wirespan_tests::workload::{eventually, file};

const REQUEST: &[u8] = b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server of `server.py` under the daemon, which watches it before it is visited.
struct Case {
    daemon: Daemon,
    server: Process,
    port: u16,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Case {
    fn tcp(strategy: &str, case: &str) -> Self {
        Self::start(strategy, case, false)
    }

    fn unix(strategy: &str, case: &str) -> Self {
        Self::start(strategy, case, true)
    }

    fn start(strategy: &str, case: &str, unix: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let port = ports::free();
        let mut command = tied("python3");
        command.arg(file("capture/server.py")).arg(case);
        if unix {
            command.arg(&path);
        } else {
            command.arg(port.to_string());
        }
        let server = Process::start(case, &mut command);
        server.expect_line("ready");
        let selection = if unix {
            ("BEYLA_TARGET_PID", server.pid().to_string())
        } else {
            ("BEYLA_OPEN_PORT", port.to_string())
        };
        let daemon = Daemon::start(&[("WIRESPAN_CAPTURE", strategy), (selection.0, &selection.1)]);
        daemon.wait_until_watching(server.pid());
        Self {
            daemon,
            server,
            port,
            path,
            _directory: directory,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("it listens")
    }

    fn get(&self, path: &str) {
        let mut connection = self.connect();
        ask(&mut connection, path);
    }

    /// Waits for that many spans and ends all.
    fn finish(mut self, count: usize) -> Finished {
        self.daemon.wait_for_count(count);
        self.server.stop();
        let finished = self.daemon.stop();
        assert_eq!(finished.spans.len(), count, "{}", finished.story());
        finished
    }
}

/// One request that is answered with `ok`.
fn ask(connection: &mut (impl Read + Write), path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    let mut response = Vec::new();
    while !response.ends_with(b"ok") {
        let mut some = [0; 1000];
        let len = connection.read(&mut some).expect("received");
        assert!(len > 0, "no answer to {path}");
        response.extend_from_slice(&some[..len]);
    }
}

fn seconds(span: &Seen) -> f64 {
    (span.end_ns - span.start_ns) as f64 / 1e9
}

fn assert_all_answered(finished: &Finished) {
    for span in &finished.spans {
        let status = span.get("http.response.status_code");
        assert_eq!(status, Some("200"), "{}", finished.story());
        assert_eq!(span.get("error.type"), None, "{}", finished.story());
    }
}

#[test]
fn a_number_used_again_inherits_nothing() {
    for strategy in strategies() {
        let case = Case::tcp(&strategy, "one-each");
        let count = 2_000;
        for number in 0..count {
            case.get(&format!("/{number}"));
        }
        let finished = case.finish(count);
        assert_all_answered(&finished);
        for (number, span) in finished.spans.iter().enumerate() {
            assert_eq!(span.get("url.path"), Some(&*format!("/{number}")));
        }
        assert_eq!(finished.lost(), "nothing");
    }
}

#[test]
fn sockets_are_passed_on_in_every_way() {
    for strategy in strategies() {
        for case in ["duplicated", "forked", "passed", "inherited"] {
            let server = Case::tcp(&strategy, case);
            for number in 0..3 {
                server.get(&format!("/{number}"));
            }
            let finished = server.finish(3);
            assert_all_answered(&finished);
            assert_eq!(finished.lost(), "nothing", "{strategy} {case}");
        }
    }
}

#[test]
fn a_thread_may_read_and_another_write() {
    for strategy in strategies() {
        let case = Case::tcp(&strategy, "two-threads");
        // A kretprobe has ten slots (Linux kernel/kprobes.c, register_kretprobe), and both ends of
        // each connection may be blocked in the same call.
        let connections = if strategy == "kprobes" { 4 } else { 8 };
        // Records of the two directions are written side by side, for a few hundred nanoseconds of
        // each exchange.
        let exchanges = 2_000;
        std::thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    let mut connection = case.connect();
                    (0..exchanges).for_each(|_| ask(&mut connection, "/t"));
                });
            }
        });
        let finished = case.finish(connections * exchanges);
        assert_all_answered(&finished);
        assert_eq!(finished.lost(), "nothing", "{strategy}");
    }
}

#[test]
fn a_slow_sendfile_lasts_until_its_last_byte() {
    for strategy in strategies() {
        let case = Case::tcp(&strategy, "file");
        let mut connection = case.connect();
        let asked_ns = now_unix_ns();
        connection.write_all(REQUEST).expect("sent");
        // The head is not part of the body that is waited for, so a few bytes may be left.
        let half: u64 = 32 * 1024 * 1024;
        skip(&mut connection, half);
        // The kernel's buffers hold less than the other half: the server can't go on.
        let state = format!("/proc/{}/stat", case.server.pid());
        eventually("the server to wait for its client", || {
            let stat = std::fs::read_to_string(&state).expect("it runs");
            stat.contains(") S ")
        });
        let waiting_ns = now_unix_ns();
        skip(&mut connection, half);
        drop(connection);
        let finished = case.finish(1);
        let told_ns = now_unix_ns();
        assert_all_answered(&finished);
        let span = &finished.spans[0];
        assert_eq!(span.get("http.response.body.size"), Some("67108864"));
        assert!(span.start_ns >= asked_ns, "{span}");
        assert!((waiting_ns..=told_ns).contains(&span.end_ns), "{span}");
    }
}

/// Reads that many bytes.
fn skip(from: &mut impl Read, count: u64) {
    let read = std::io::copy(&mut from.take(count), &mut std::io::sink());
    assert_eq!(read.expect("received"), count);
}

fn now_unix_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("later than 1970").as_nanos() as u64
}

#[test]
fn bodies_that_end_with_the_connection_are_counted() {
    for strategy in strategies() {
        for (case, size) in [("until-close", "6234"), ("half-closed", "5000")] {
            for unix in [false, true] {
                let server = Case::start(&strategy, case, unix);
                if unix {
                    let connection = UnixStream::connect(&server.path).expect("it listens");
                    end_first(&connection, &connection, |how| connection.shutdown(how));
                } else {
                    let connection = server.connect();
                    end_first(&connection, &connection, |how| connection.shutdown(how));
                }
                let finished = server.finish(1);
                assert_all_answered(&finished);
                let seen = finished.spans[0].get("http.response.body.size");
                assert_eq!(seen, Some(size), "{strategy} {case} {}", finished.story());
            }
        }
    }
}

/// Asks, ends the own direction, reads to the end.
fn end_first(
    mut to: impl Write,
    mut from: impl Read,
    shutdown: impl FnOnce(Shutdown) -> std::io::Result<()>,
) {
    to.write_all(REQUEST).expect("sent");
    shutdown(Shutdown::Write).expect("still connected");
    from.read_to_end(&mut Vec::new()).expect("received");
}

#[test]
fn a_unix_socket_closed_without_an_answer_ends_the_exchange() {
    for strategy in strategies() {
        let case = Case::unix(&strategy, "silent");
        let mut connection = UnixStream::connect(&case.path).expect("it listens");
        connection.write_all(REQUEST).expect("sent");
        let spans = case.daemon.wait_for_count(1);
        let error = spans[0].get("error.type");
        assert_eq!(error, Some("connection_closed"), "{}", listing(&spans));
        assert!(seconds(&spans[0]) < 3.0, "{}", listing(&spans));
        drop(connection);
        let _ = case.finish(1);
    }
}

#[test]
fn a_silent_connection_is_left_in_peace() {
    for strategy in strategies() {
        let case = Case::unix(&strategy, "patient");
        let mut connection = UnixStream::connect(&case.path).expect("it listens");
        ask(&mut connection, "/late");
        ask(&mut connection, "/soon");
        let finished = case.finish(2);
        assert_all_answered(&finished);
        assert!(seconds(&finished.spans[0]) >= 1.5, "{}", finished.story());
    }
}

#[test]
fn a_server_killed_at_work_leaves_a_span_without_status() {
    for strategy in strategies() {
        let mut case = Case::tcp(&strategy, "mute");
        let mut connection = case.connect();
        connection.write_all(REQUEST).expect("sent");
        case.server.expect_line("asked");
        case.server.signal(rustix::process::Signal::KILL);
        case.server.wait();
        let finished = case.finish(1);
        let span = &finished.spans[0];
        assert_eq!(span.get("http.response.status_code"), None);
        assert_eq!(span.get("error.type"), Some("process_exited"));
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_is_told() {
    for strategy in strategies() {
        let case = Case::tcp(&strategy, "endless");
        let mut connection = case.connect();
        connection.write_all(REQUEST).expect("sent");
        let _ = connection.read(&mut [0; 100]).expect("received");
        // What is unread when a socket is closed makes a reset of the close.
        drop(connection);
        let finished = case.finish(1);
        let span = &finished.spans[0];
        assert_eq!(span.get("http.response.status_code"), Some("200"));
        assert_eq!(span.get("error.type"), Some("connection_reset"), "{span}");
    }
}

#[test]
fn many_requests_in_one_write() {
    for strategy in strategies() {
        let case = Case::tcp(&strategy, "pipelined");
        let mut connection = case.connect();
        let requests: String = (0..100)
            .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .collect();
        connection.write_all(requests.as_bytes()).expect("sent");
        connection.read_to_end(&mut Vec::new()).expect("received");
        let finished = case.finish(100);
        assert_all_answered(&finished);
        for (number, span) in finished.spans.iter().enumerate() {
            assert_eq!(span.get("url.path"), Some(&*format!("/{number}")));
        }
    }
}

#[test]
fn a_server_that_is_gone_at_once_was_seen() {
    for strategy in strategies() {
        let port = ports::free();
        let daemon = Daemon::start(&[
            ("WIRESPAN_CAPTURE", &strategy),
            ("BEYLA_OPEN_PORT", &port.to_string()),
        ]);
        let mut command = tied("python3");
        command
            .arg(file("capture/server.py"))
            .args(["brief", &port.to_string()])
            .env("OTEL_SERVICE_NAME", "brief-service");
        let mut server = Process::start("brief", &mut command);
        server.expect_line("ready");
        // The daemon is woken at once; how soon it runs is up to the machine's load.
        daemon.wait_until_watching(server.pid());
        let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        ask(&mut connection, "/only");
        server.wait();
        let spans = daemon.wait_for_count(1);
        let name = spans[0].resource.get("service.name").map(String::as_str);
        assert_eq!(name, Some("brief-service"), "{strategy}");
        let _ = daemon.stop();
    }
}
