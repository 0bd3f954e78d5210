//! Calls of programs with a thread for each request, or a pool of them, linked by threads. Each
//! request leads to two calls that take their time.

use std::path::Path;
use std::process::Command;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::{Load, Row, Target, requests};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tunnels::listening;
use wirespan_tests::workload::{Server, children_of, eventually, file};

const TARGET: Target = Target {
    right: 95.0,
    wrong: 0.02,
};
/// Of threads that have a request to themselves.
const TARGET_ALONE: Target = Target {
    right: 99.0,
    wrong: 0.02,
};

/// Starts a program on a port, with another one behind it, and sends requests to it; returns what
/// became of its calls.
fn row(command: impl FnOnce(&Path, u16, u16) -> Command) -> Row {
    row_of(0, command)
}

/// The same of a program that has so many children, which serve.
fn row_of(children: usize, command: impl FnOnce(&Path, u16, u16) -> Command) -> Row {
    let back = Server::hyper();
    let directory = tempfile::tempdir().expect("a directory");
    let port = ports::free();
    let front = command(directory.path(), port, back.port);
    let front: Process = listening("front", front, port);
    eventually("children", || children_of(front.pid()).len() >= children);
    let mut pids = children_of(front.pid());
    pids.push(front.pid());
    let told: Vec<_> = pids.iter().map(u32::to_string).collect();
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &told.join(","))]);
    for pid in pids {
        daemon.wait_until_watching(pid);
    }
    let load = Load::of_a_row();
    let answered = load.send(&format!("http://127.0.0.1:{port}"), |id| format!("/{id}/x"));
    assert_eq!(answered, load.requests);
    let finished = daemon.stop();
    Row::of(&finished.spans)
}

fn calls() -> Option<usize> {
    Some(2 * requests())
}

/// A program in C among the workloads, compiled into `directory`.
fn compiled(directory: &Path, name: &str, arguments: &[&str]) -> Command {
    let program = directory.join(name);
    let mut compiler = tied("cc");
    compiler.args(["-O1", "-o"]).arg(&program);
    compiler
        .arg(file(&format!("links/{name}.c")))
        .arg("-lpthread");
    Process::start("cc", &mut compiler).succeed();
    let mut command = tied(program);
    command.args(arguments);
    command
}

#[test]
fn workers_of_a_pool_answer_what_another_thread_read() {
    for workers in ["8", "64"] {
        let row = row(|directory, port, back| {
            let [port, back] = [port, back].map(|number| number.to_string());
            compiled(directory, "pool", &[&port, &back, workers])
        });
        row.assert(&format!("C, pool of {workers}"), calls(), TARGET);
    }
}

/// Nothing is known, and that is what is told.
const NOBODY: Target = Target {
    right: 0.0,
    wrong: 0.02,
};

#[test]
fn a_pool_whose_threads_go_on_with_what_others_began_is_left_alone() {
    for workers in ["8", "64"] {
        let row = row(|directory, port, back| {
            let [port, back] = [port, back].map(|number| number.to_string());
            compiled(directory, "pool", &[&port, &back, workers, "staged"])
        });
        row.assert(
            &format!("C, stages in a pool of {workers}"),
            calls(),
            NOBODY,
        );
    }
}

#[test]
fn an_event_loop_without_epoll_is_left_alone() {
    let row = row(|directory, port, back| {
        let [port, back] = [port, back].map(|number| number.to_string());
        compiled(directory, "loop", &[&port, &back])
    });
    row.assert("C, poll(2)", calls(), NOBODY);
}

#[test]
fn puma_has_threads_and_a_reactor() {
    let row = row(|_, port, back| {
        let mut command = tied("puma");
        command.args(["--threads", "16:16", "--quiet", "--bind"]);
        command.arg(format!("tcp://127.0.0.1:{port}"));
        command
            .arg(file("links/config.ru"))
            .env("BACKEND", back.to_string());
        command
    });
    row.assert("Ruby, puma", calls(), TARGET);
}

fn gunicorn(arguments: &[&str], port: u16, back: u16) -> Command {
    let mut command = tied("gunicorn");
    command
        .args(["--bind", &format!("127.0.0.1:{port}")])
        .args(arguments);
    command
        .args(["--log-level", "error", "--chdir"])
        .arg(file("links"));
    command
        .arg("wsgi:application")
        .env("BACKEND", back.to_string());
    command
}

#[test]
fn gunicorns_workers_take_one_request_at_a_time() {
    let row = row_of(3, |_, port, back| gunicorn(&["--workers", "3"], port, back));
    row.assert("Python, gunicorn sync", calls(), TARGET_ALONE);
}

#[test]
fn gunicorns_threads_take_one_request_at_a_time() {
    let arguments = ["--worker-class", "gthread", "--threads", "16"];
    let row = row_of(1, |_, port, back| gunicorn(&arguments, port, back));
    row.assert("Python, gunicorn gthread", calls(), TARGET_ALONE);
}

#[test]
fn flask_has_a_thread_for_each_connection() {
    let row = row(|_, port, back| {
        let mut command = tied("/usr/bin/python3");
        command.arg(file("links/wsgi.py")).arg(port.to_string());
        command.env("BACKEND", back.to_string());
        command
    });
    row.assert("Python, Flask", calls(), TARGET_ALONE);
}
