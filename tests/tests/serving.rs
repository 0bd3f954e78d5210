//! Who serves a port is not always who made it listen: connections and listeners that one process
//! passes to another. The daemon is there first, and later.

use std::process::Command;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::tied;
use wirespan_tests::puppet::Puppet;
use wirespan_tests::spans::Seen;
use wirespan_tests::truth::assert_same;
use wirespan_tests::workload::{Server, curl, file, python};

/// Requests of each test, each on a connection of its own.
const REQUESTS: usize = 12;

fn passing(how: &str, port: &str) -> Command {
    let mut command = python("passing.py", &[how, port]);
    command.env("OTHER_PYTHON", other_python());
    command
}

/// The interpreter under another path: what runs its parent's executable is watched anyway.
fn other_python() -> String {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("other");
    let other = directory.join("served");
    if !other.exists() {
        std::fs::create_dir_all(&directory).expect("a directory");
        let python = std::fs::canonicalize("/usr/bin/python3").expect("python3");
        let staged = directory.join(format!("staged{}", std::process::id()));
        std::fs::copy(python, &staged).expect("a copy");
        std::fs::rename(staged, &other).expect("a name");
    }
    other.display().to_string()
}

fn ask(server: &Server) {
    for number in 0..REQUESTS {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
}

/// Asks the server that `command` starts, with the daemon there before it, and again with the
/// daemon coming after.
fn all_is_seen(command: impl Fn(&str) -> Command) -> [Finished; 2] {
    let port = ports::free();
    let daemon = Daemon::for_port(port);
    let server = Server::on(port, &command);
    ask(&server);
    let truth = server.truth(REQUESTS);
    daemon.wait_for_count(REQUESTS);
    let first = daemon.stop();
    assert_same(
        "spans, daemon first",
        truth,
        first.spans.iter().map(Seen::exchange),
    );

    let daemon = Daemon::for_port(port);
    ask(&server);
    let truth = server.truth(2 * REQUESTS).split_off(REQUESTS);
    daemon.wait_for_count(REQUESTS);
    let later = daemon.stop();
    assert_same(
        "spans, daemon later",
        truth,
        later.spans.iter().map(Seen::exchange),
    );
    [first, later]
}

fn named(finished: &[Finished], name: &str) {
    for span in finished.iter().flat_map(|finished| &finished.spans) {
        assert_eq!(span.resource["service.name"], name, "{span}");
    }
}

#[test]
fn workers_of_a_node_cluster_are_seen() {
    let seen = all_is_seen(|port| {
        let mut command = tied("node");
        command.arg(file("cluster.js")).args([port, "2"]);
        command
    });
    named(&seen, "cluster");
}

#[test]
fn workers_of_a_node_cluster_that_accept_themselves_are_seen() {
    let _ = all_is_seen(|port| {
        let mut command = tied("node");
        command.arg(file("cluster.js")).args([port, "2", "shared"]);
        command
    });
}

#[test]
fn workers_on_one_socket_that_was_bound_before_they_began_are_seen() {
    let _ = all_is_seen(|port| passing("workers", port));
}

#[test]
fn a_program_that_is_run_for_each_connection_is_seen_under_its_own_name() {
    let seen = all_is_seen(|port| passing("exec", port));
    for span in seen.iter().flat_map(|finished| &finished.spans) {
        match span.resource.get("process.executable.path") {
            Some(path) => assert!(path.ends_with("/other/served"), "{path} {span}"),
            // It had gone before anybody could look: the name that the kernel has is left.
            None => assert_eq!(span.resource["service.name"], "served", "{span}"),
        }
    }
}

#[test]
fn connections_that_are_passed_on_are_seen() {
    let _ = all_is_seen(|port| passing("rights", port));
}

#[test]
fn connections_that_are_fetched_are_seen() {
    let _ = all_is_seen(|port| passing("getfd", port));
}

#[test]
fn listeners_that_are_passed_on_at_a_reload_are_seen() {
    let _ = all_is_seen(|port| passing("reload", port));
}

#[test]
fn a_client_whose_own_port_happens_to_be_selected_is_not_watched() {
    let (mut server, mut client) = (Puppet::start(), Puppet::start());
    let port = server.listen();
    let (connection, local) = client.connect(port);
    let accepted = server.accept();
    let watched = Server::python();
    let ports = format!("{local},{}", watched.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    client.write(connection, "GET /asked HTTP/1.1\r\nHost: h\r\n\r\n");
    server.read_head(accepted);
    server.write(accepted, "HTTP/1.1 204 No Content\r\n\r\n");
    client.read_head(connection);
    // Behind what is not to be seen, something that is.
    let _ = curl(&[&watched.url("/watched")]);
    let truth = watched.truth(1);
    daemon.wait_for_count(1);
    let finished = daemon.stop();
    assert_same("spans", truth, finished.spans.iter().map(Seen::exchange));
}
