//! Processes that come and go while the daemon runs, and the daemon's own coming and going.

use rustix::process::Signal;
use wirespan_tests::daemon::{Daemon, replayed, replayed_spans};
use wirespan_tests::ports;
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::Seen;
use wirespan_tests::truth::{Exchange, assert_same};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{Nginx, Server, children_of, curl, eventually};

#[test]
fn a_server_that_starts_later_is_traced_from_its_first_request() {
    for _ in 0..3 {
        let port = ports::free();
        let daemon = Daemon::for_port(port);
        let server = Server::python_on(port);
        let mut wire = Wire::connect(port);
        wire.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
        wire.answer(false);
        let truth = server.truth(1);
        daemon.wait_for_count(1);
        let finished = daemon.stop();
        assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
        assert_eq!(finished.spans[0].resource["service.name"], "server");
    }
}

#[test]
fn workers_that_replace_others_at_a_reload_are_traced() {
    let mut nginx = Nginx::start(2, "", "");
    let daemon = Daemon::for_port(nginx.port);
    let old = nginx.workers();
    let _ = curl(&[&nginx.url("/fixed/old")]);
    nginx.process.signal(Signal::HUP);
    let master = nginx.process.pid();
    eventually("new workers", || {
        let now = children_of(master);
        now.len() == 2 && now.iter().all(|pid| !old.contains(pid))
    });
    for number in 0..20 {
        let _ = curl(&[&nginx.url(&format!("/fixed/new/{number}"))]);
    }
    let truth = nginx.truth(21);
    daemon.wait_for_count(21);
    let finished = daemon.stop();
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
    for span in &finished.spans {
        let pid: u32 = span.resource["process.pid"].parse().expect("a pid");
        assert_eq!(old.contains(&pid), span.target().ends_with("old"), "{span}");
    }
}

#[test]
fn an_ended_server_and_its_successor_on_the_port_are_told_apart() {
    let port = ports::free();
    let daemon = Daemon::for_port(port);
    let mut pids = Vec::new();
    for number in 0..3 {
        let mut server = Server::python_on(port);
        let _ = curl(&[&server.url(&format!("/{number}"))]);
        let _ = server.truth(1);
        pids.push(server.process.pid().to_string());
        server.process.stop();
    }
    daemon.wait_for_count(3);
    let finished = daemon.stop();
    let mut seen: Vec<_> = finished.spans.iter().collect();
    seen.sort_by_key(|span| span.start_ns);
    let seen: Vec<_> = seen
        .iter()
        .map(|span| format!("{} by {}", span.target(), span.resource["process.pid"]))
        .collect();
    let expected = pids
        .iter()
        .enumerate()
        .map(|(number, pid)| format!("/{number} by {pid}"));
    assert_same("spans", expected, seen);
}

#[test]
fn a_process_that_exits_unanswered_says_so() {
    let mut server = Puppet::start();
    let port = server.listen();
    let daemon = Daemon::for_pid(server.pid());
    let mut wire = Wire::connect(port);
    let connection = server.accept();
    wire.send("GET /crash HTTP/1.1\r\nHost: h\r\n\r\n");
    server.read_head(connection);
    server.process().signal(Signal::KILL);
    server.process().wait();
    daemon.wait_for_count(1);
    let finished = daemon.stop();
    let lines = finished.lines();
    assert_eq!(lines.len(), 1, "{}", finished.story());
    let error = finished.spans[0].get("error.type").unwrap_or_default();
    assert!(
        ["process_exited", "connection_closed"].contains(&error),
        "{lines:?}"
    );
    assert_eq!(finished.spans[0].exchange().status, None);
}

#[test]
fn requests_of_whom_nobody_selected_make_no_span() {
    let (watched, other) = (Server::python(), Server::python());
    let daemon = Daemon::for_port(watched.port);
    let _ = curl(&[&other.url("/other")]);
    let _ = curl(&[&watched.url("/watched")]);
    let truth = watched.truth(1);
    daemon.wait_for_count(1);
    let finished = daemon.stop();
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
}

#[test]
fn two_daemons_do_not_disturb_each_other() {
    let server = Server::python();
    let (one, other) = (Daemon::for_port(server.port), Daemon::for_port(server.port));
    let _ = curl(&[&server.url("/both")]);
    one.wait_for_count(1);
    let _ = one.stop();
    let _ = curl(&[&server.url("/second")]);
    other.wait_for_count(2);
    let finished = other.stop();
    let truth = server.truth(2);
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
}

#[test]
fn sigint_ends_it_with_a_summary() {
    let server = Server::python();
    let daemon = Daemon::for_port(server.port);
    let _ = curl(&[&server.url("/a?size=100")]);
    let pid = server.process.pid();
    daemon.wait_for_count(1);
    let finished = daemon.stop_by(Signal::INT);
    assert_eq!(finished.made(), 1);
    let summary = finished.summary();
    assert!(
        summary.contains("1 spans made; printer exported 1, lost 0"),
        "{summary}"
    );
    assert!(
        summary.contains(&format!("understood of server (pid {pid}): 100.0%")),
        "{summary}"
    );
}

#[test]
fn what_was_answered_before_sigterm_is_flushed() {
    let server = Server::python();
    let daemon = Daemon::for_port(server.port);
    for number in 0..20 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    let truth = server.truth(20);
    // Not waited for.
    let finished = daemon.stop();
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
}

#[test]
fn sigkill_leaves_nothing_and_the_next_one_works() {
    let server = Server::python();
    let first = Daemon::for_port(server.port);
    let _ = curl(&[&server.url("/before")]);
    first.kill();
    let _ = curl(&[&server.url("/between")]);
    let second = Daemon::for_port(server.port);
    let _ = curl(&[&server.url("/after")]);
    second.wait_for_count(1);
    let finished = second.stop();
    let expected = [Exchange::new("GET", "/after", 200, 5)];
    assert_same("spans", expected, finished.spans.iter().map(Seen::exchange));
}

#[test]
fn a_recording_replays_to_the_spans_of_the_live_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("calls.wirespan");
    let file = file.to_str().expect("a path in UTF-8");
    let python = Server::python();
    let upstream = format!(
        "upstream up {{ server 127.0.0.1:{}; keepalive 2; }}",
        python.port
    );
    let nginx = Nginx::start(
        1,
        &upstream,
        "location / { proxy_pass http://up; proxy_http_version 1.1;
         proxy_set_header Connection ''; }",
    );
    let ports = format!("{},{}", nginx.port, python.port);
    let daemon = Daemon::start_with(&["record", file], &[("BEYLA_OPEN_PORT", &ports)]);
    for number in 0..20 {
        let _ = curl(&[&nginx.url(&format!("/{number}?size={}", number * 1000))]);
    }
    let _ = curl(&["--data-binary", "b", &nginx.url("/post?chunked=1&size=70")]);
    let mut dies = Wire::connect(nginx.port);
    dies.send("GET /never?delay=30000 HTTP/1.1\r\nHost: h\r\n\r\n");
    daemon.wait_for_count(3 * 21);
    let live = daemon.stop();
    assert!(live.summary().contains("recorded: "), "{}", live.summary());

    let again = replayed_spans(file);
    assert_same(
        "spans of the replay",
        live.spans.iter().map(Seen::without_ids),
        again.iter().map(Seen::without_ids),
    );
    let seeded = replayed(file, &["--seed", "7"]);
    assert_eq!(seeded, replayed(file, &["--seed", "7"]));
    assert_ne!(seeded, replayed(file, &["--seed", "8"]));
}
