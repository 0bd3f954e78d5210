//! What hangs, and whom it must not stop: a file system that does not answer, a pipe that nobody
//! reads; and what others say that must not be believed.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;
use wirespan_tests::daemon::{Daemon, command, run_to_end};
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::receiver::Receiver;
use wirespan_tests::spans::Seen;
use wirespan_tests::stalled::Stalled;
use wirespan_tests::truth::assert_same;
use wirespan_tests::workload::{Server, children_of, curl, eventually};

#[test]
fn an_executable_on_a_file_system_that_does_not_answer_blinds_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let stalled = Stalled::start(folder.path());
    let server = Server::python();
    let daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", "*/stalled"),
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
    ]);
    for number in 0..20 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    daemon.wait_for_count(20);
    daemon.wait_until_watching(stalled.program);
    let finished = daemon.stop();
    let truth = server.truth(20);
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
    let said = format!("pid {}: reading ", stalled.program);
    let said = finished.log.iter().filter(|line| line.contains(&said));
    assert_eq!(said.count(), 1, "{}", finished.story());
    assert!(
        finished.lost().contains("look_given_up 1"),
        "{}",
        finished.lost()
    );
}

#[test]
fn a_list_of_processes_waits_for_no_file_system() {
    let folder = tempfile::tempdir().expect("a folder");
    let stalled = Stalled::start(folder.path());
    let server = Server::python();
    let mut listed = command();
    listed.args(["processes", "--json", "--auto-target-exe", "*/stalled"]);
    listed.args(["--open-port", &server.port.to_string()]);
    let (code, printed, log) = run_to_end(&mut listed);
    assert_eq!(code, Some(0), "{log:?}");
    let rows: serde_json::Value = serde_json::from_str(&printed.join("\n")).expect("JSON");
    let names = ["stalled", "server"].map(|name| {
        let mut rows = rows.as_array().expect("a list").iter();
        rows.find(|row| row["service_name"] == name)
            .and_then(|row| row["pid"].as_u64())
    });
    let pids = [stalled.program, server.process.pid()];
    assert_eq!(names, pids.map(|pid| Some(pid.into())), "{rows}");
    let said = format!("pid {}: looking at it takes too long", stalled.program);
    assert!(log.iter().any(|line| line.contains(&said)), "{log:?}");
}

/// A pipe that takes no byte more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
    while rustix::io::write(&writer, b"nobody reads this") != Err(Errno::AGAIN) {}
    // A pipe takes small pieces when it has no room for large ones.
    while rustix::io::write(&writer, b"x") != Err(Errno::AGAIN) {}
    fcntl_setfl(&writer, flags).expect("set");
    (reader, writer)
}

/// A daemon that exports what a server at a port says, with outputs of its own.
struct Raw(Child);

impl Raw {
    fn start(settings: &[(&str, &str)], stdout: Stdio, stderr: Stdio) -> Self {
        let mut command = command();
        command.envs(settings.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        Self(child.spawn().expect("it starts"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn receiver() -> (Runtime, Receiver, String) {
    let runtime = Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start()).expect("a receiver");
    let endpoint = format!("http://{}", receiver.address());
    (runtime, receiver, endpoint)
}

fn settings<'a>(port: &'a str, endpoint: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("BEYLA_OPEN_PORT", port),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("BEYLA_SHUTDOWN_TIMEOUT", "3s"),
    ]
}

/// Asks until the first span has come: who has no readable log can't say that it is ready.
fn first_span(server: &Server, receiver: &Receiver) -> usize {
    let mut asked = 0;
    eventually("the first span", || {
        let _ = curl(&[&server.url("/first")]);
        asked += 1;
        !receiver.spans().is_empty()
    });
    asked
}

fn later_spans(receiver: &Receiver) -> usize {
    let is_later = |value: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        value.key == "url.path" && format!("{value:?}").contains("/later")
    };
    let spans = receiver.spans();
    spans
        .iter()
        .filter(|span| span.attributes.iter().any(is_later))
        .count()
}

#[test]
fn a_full_pipe_at_standard_error_stops_nothing() {
    let (_runtime, receiver, endpoint) = receiver();
    let server = Server::python();
    let (_unread, full) = full_pipe();
    let port = server.port.to_string();
    let mut daemon = Raw::start(&settings(&port, &endpoint), Stdio::null(), full.into());
    first_span(&server, &receiver);
    for _ in 0..20 {
        let _ = curl(&[&server.url("/later")]);
    }
    eventually("all spans", || later_spans(&receiver) == 20);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_full_pipe_at_standard_output_stops_no_other_destination_and_not_the_end() {
    let (_runtime, receiver, endpoint) = receiver();
    let server = Server::python();
    let (_unread, full) = full_pipe();
    let port = server.port.to_string();
    let mut settings = settings(&port, &endpoint);
    settings.push(("BEYLA_TRACE_PRINTER", "text"));
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let said = File::create(&log).expect("created");
    let mut daemon = Raw::start(&settings, full.into(), said.into());
    first_span(&server, &receiver);
    for _ in 0..20 {
        let _ = curl(&[&server.url("/later")]);
    }
    eventually("all spans", || later_spans(&receiver) == 20);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let log = std::fs::read_to_string(log).expect("text");
    let printed = log.contains("printer exported 0, lost");
    assert!(printed && log.contains("shutdown_timeout"), "{log}");
}

#[test]
fn a_standard_error_that_nobody_holds_ends_nothing() {
    let server = Server::python();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let port = server.port.to_string();
    let (_runtime, receiver, endpoint) = receiver();
    let mut daemon = Raw::start(&settings(&port, &endpoint), Stdio::null(), writer.into());
    first_span(&server, &receiver);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn many_short_processes_are_few_lines() {
    let daemon = Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", "*/true,*/false")]);
    let loop_ = "for i in $(seq 300); do /bin/true; /bin/false; done; exit 0";
    let mut shell = tied("sh");
    let _ = Process::start("sh", shell.args(["-c", loop_])).succeed();
    let finished = daemon.stop();
    let lines = finished.log.len();
    assert!(
        (2..50).contains(&lines),
        "{lines} lines:\n{}",
        finished.story()
    );
}

#[test]
fn what_a_target_is_called_forges_no_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "shop\n2026 ERROR wirespan: forged\u{202e}";
    let program = folder.path().join(name);
    std::fs::copy("/bin/sleep", &program).expect("copied");
    let mut command = tied(&program);
    command.arg("600");
    let mut target = Process::start("sleep", &mut command);
    let pid = target.pid();
    eventually("the program to run", || {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program)
    });
    let mut listed = wirespan_tests::daemon::command();
    listed.args(["processes", "--target-pid", &pid.to_string()]);
    let (_, table, _) = run_to_end(&mut listed);
    let daemon = Daemon::for_pid(pid);
    daemon.wait_until_watching(pid);
    let finished = daemon.stop();
    target.stop();
    for said in [&finished.log, &table] {
        let text = said.join("\n");
        assert!(text.contains("shop\\n2026"), "{text}");
        assert!(text.contains("forged\\u{202e}"), "{text}");
        assert!(
            !text.contains('\u{202e}') && !text.contains("\n2026 ERROR"),
            "{text}"
        );
    }
}

#[test]
fn in_a_pid_namespace_of_its_own_it_refuses_and_names_the_remedy() {
    let inside = |arguments: &[&str], what: &[&str]| {
        let outside = command();
        let mut command = tied("unshare");
        command.args(arguments).arg("--").arg(outside.get_program());
        command.args(outside.get_args()).args(what);
        command
            .env("BEYLA_OPEN_PORT", "1")
            .env("BEYLA_TRACE_PRINTER", "json");
        Process::start("unshare", &mut command)
    };
    // A list of what it would watch is none of what a run would.
    for what in [&[][..], &["processes"]] {
        let mut foreign = inside(&["--pid", "--fork", "--kill-child", "--mount-proc"], what);
        assert_eq!(foreign.wait().code(), Some(1), "{}", foreign.story());
        let said = foreign.stderr.finish(LIMIT);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("hostPID: true") && said[0].contains("--pid=host"));
    }

    // With the machine's processes to be seen, its own numbers matter not.
    let mut host = inside(&["--pid", "--fork", "--kill-child"], &[]);
    let ready = host.stderr.wait_for_line(LIMIT, "wirespan: ready");
    assert!(ready.is_some(), "{}", host.story());
    for daemon in children_of(host.pid()) {
        let daemon = Pid::from_raw(daemon.cast_signed()).expect("a pid");
        kill_process(daemon, Signal::TERM).expect("it runs");
    }
    assert_eq!(host.wait().code(), Some(0), "{}", host.story());
}
