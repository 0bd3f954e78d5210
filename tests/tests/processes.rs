//! Processes that begin in unusual ways, and sockets that are not streams: whose spans there are,
//! and that nothing else becomes one.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::wire::Wire;

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/capture/server.py")
}

/// A case of `server.py`, up and listening.
fn server(case: &str, port: u16) -> Process {
    let mut command = tied("python3");
    command.arg(program()).arg(case).arg(port.to_string());
    let server = Process::start(case, &mut command);
    server.expect_line("ready");
    server
}

/// Asks on a connection of its own.
fn get(port: u16, path: &str) {
    let mut wire = Wire::connect(port);
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(wire.answer(false).status, 200);
}

/// Waits for a line that ends in a process id.
fn told_pid(process: &Process, at: usize, before: &str) -> u32 {
    let pids = process
        .stdout
        .wait_for(wirespan_tests::process::LIMIT, |lines| {
            let told = lines.iter().filter_map(|line| line.strip_prefix(before));
            told.filter_map(|pid| pid.trim().parse().ok()).nth(at)
        });
    pids.unwrap_or_else(|| panic!("no pid\n{}", process.story()))
}

#[test]
fn children_that_share_their_parents_memory_until_they_run_are_watched_from_the_start() {
    let port = ports::free();
    let mut parent = server("spawning", port);
    // By its process id, so that the children are watched for their parent's sake alone.
    let daemon = Daemon::for_pid(parent.pid());
    let mut expected = Vec::new();
    for how in ["posix_spawn", "vfork"] {
        parent.tell(how);
        let child = told_pid(&parent, 0, how);
        get(port, &format!("/{how}"));
        expected.push((format!("/{how}"), child.to_string()));
        let child = Pid::from_raw(child.cast_signed()).expect("a process");
        rustix::process::kill_process(child, Signal::KILL).expect("it serves on");
    }
    daemon.wait_for_count(expected.len());
    let finished = daemon.stop();
    let mut seen: Vec<_> = finished.spans.iter().collect();
    seen.sort_by_key(|span| span.start_ns);
    let seen: Vec<_> = seen
        .iter()
        .map(|span| (span.target(), span.resource["process.pid"].clone()))
        .collect();
    assert_eq!(seen, expected, "{}", finished.story());
    assert_eq!(finished.lost(), "nothing");
}

#[test]
fn datagrams_beside_streams_are_not_captured() {
    let directory = tempfile::tempdir().expect("a directory");
    let recording = directory.path().join("recording");
    let port = ports::free();
    let server = server("beside-datagrams", port);
    let daemon = Daemon::start_with(
        &["record", recording.to_str().expect("text")],
        &[("BEYLA_TARGET_PID", &server.pid().to_string())],
    );
    for number in 0..10 {
        get(port, &format!("/stream/{number}"));
    }
    daemon.wait_for_count(10);
    let finished = daemon.stop();
    let mut targets: Vec<_> = finished.spans.iter().map(|span| span.target()).collect();
    targets.sort();
    let expected: Vec<_> = (0..10).map(|number| format!("/stream/{number}")).collect();
    assert_eq!(targets, expected, "{}", finished.story());
    assert_eq!(finished.lost(), "nothing");
    let bytes = std::fs::read(recording).expect("written");
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(holds("/stream/0"), "records are in it");
    assert!(!holds("/datagram") && !holds("over datagrams"));
}

#[test]
fn a_process_id_that_is_used_again_inherits_neither_watch_nor_name() {
    let (selected, other) = (ports::free(), ports::free());
    let daemon = Daemon::for_port(selected);
    let mut command = tied("python3");
    let mut launcher = Process::start("again", command.arg(program()).args(["again", "0"]));
    launcher.expect_line("ready");
    let mut pids = Vec::new();
    let rounds = [
        ("first", selected),
        ("unwatched", other),
        ("second", selected),
    ];
    for (at, (name, port)) in rounds.into_iter().enumerate() {
        launcher.tell(&format!("{name} {port}"));
        let pid = told_pid(&launcher, at, "pid ");
        pids.push(pid);
        let listens = |lines: &[String]| {
            let ready = lines.iter().filter(|line| *line == "ready").count();
            // The launcher's own line and one of each server.
            (ready == at + 2).then_some(())
        };
        let ready = launcher
            .stdout
            .wait_for(wirespan_tests::process::LIMIT, listens);
        assert!(ready.is_some(), "{}", launcher.story());
        get(port, &format!("/{name}"));
        if port == selected {
            daemon.wait_for(name, |spans| {
                spans.iter().any(|span| span.target() == format!("/{name}"))
            });
        }
    }
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let finished = daemon.stop();
    let seen: Vec<_> = finished
        .spans
        .iter()
        .map(|span| (span.target(), &*span.resource["service.name"]))
        .collect();
    let expected = [
        ("/first".to_owned(), "first"),
        ("/second".to_owned(), "second"),
    ];
    assert_eq!(seen, expected, "{}", finished.story());
    for span in &finished.spans {
        assert_eq!(span.resource["process.pid"], pids[0].to_string());
    }
}
