//! Both ends of an exchange on one node are one call, without a byte in between that says so: nginx
//! asks nginx, over what can lie between them.

use std::path::Path;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::{KeptRow, Load, Row, Target};
use wirespan_tests::tls::Certificates;
use wirespan_tests::workload::{Nginx, eventually};

const ANSWER: &str = "location / { return 200 \"answered\\n\"; }";

/// All of them.
const TARGET: Target = Target {
    right: 100.0,
    wrong: 0.0,
};

/// nginx that asks another one over connections that it keeps.
fn front(upstream: &str, scheme: &str) -> Nginx {
    let upstreams = format!("upstream behind {{ server {upstream}; keepalive 16; }}");
    let location = format!(
        "location / {{ proxy_pass {scheme}://behind; proxy_http_version 1.1; \
         proxy_set_header Connection ''; }}"
    );
    Nginx::start(2, &upstreams, &location)
}

/// Requests through both, of which each pair of spans must have been joined.
fn all_are_joined(name: &str, front: &Nginx, back: &Nginx) {
    eventually("all workers", || {
        front.workers().len() == 2 && !back.workers().is_empty()
    });
    let workers = [front.workers(), back.workers()].concat();
    let pids: Vec<String> = workers.iter().map(u32::to_string).collect();
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids.join(","))]);
    for worker in workers {
        daemon.wait_until_watching(worker);
    }
    let load = Load::of_a_row();
    let answered = load.send(&front.url(""), |id| format!("/{id}/a"));
    assert_eq!(answered, load.requests);
    daemon.wait_for_count(3 * load.requests);
    let finished = daemon.stop();
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let row = Row::of(&finished.spans);
    println!("joins: {name}: {}", row.joins);
    let joins = row.joins;
    KeptRow::new(load.requests, joins.right, joins.wrong, TARGET).keep(&format!("joins, {name}"));
    // Of the one server the client is watched, of the other it is this process.
    assert_eq!(row.joins.wrong, 0, "{name}: {row}");
    assert_eq!(row.joins.right, load.requests, "{name}: {row}");
    assert_eq!(row.joins.none, load.requests, "{name}: {row}");
}

fn at(nginx: &Nginx) -> String {
    format!("127.0.0.1:{}", nginx.port)
}

#[test]
fn over_tcp() {
    let back = Nginx::start(1, "", ANSWER);
    all_are_joined("tcp", &front(&at(&back), "http"), &back);
}

#[test]
fn over_tls() {
    let back = Nginx::start_tls(&Certificates::create(), "", ANSWER);
    all_are_joined("tls", &front(&at(&back), "https"), &back);
}

#[test]
fn over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listen = |path: &Path| format!("listen unix:{};\n{ANSWER}", path.display());
    let back = Nginx::start(1, "", &listen(&path));
    let upstream = format!("unix:{}", path.display());
    all_are_joined("unix", &front(&upstream, "http"), &back);
}
