//! Traces that go on from node to node because an option of TCP says so: servers on three nodes,
//! with a router between that translates addresses and loses packets, and an agent for each node.
//! The programs that carry are attached to control groups that hold these servers alone.

use std::path::Path;

use wirespan_tests::cgroup::SocketGroup;
use wirespan_tests::chain::{Chain, PORT, Speech};
use wirespan_tests::daemon::{self, Daemon, Finished};
use wirespan_tests::links::{KeptRow, Load, Row, Target};
use wirespan_tests::nodes::{Nodes, Way};
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::spans::Seen;
use wirespan_tests::workload::python;

/// Threads, and connections, of a client.
const THREADS: &str = "8";

/// A group for each node; `None` where this machine has none.
fn groups() -> Option<Vec<SocketGroup>> {
    let group = |node: u8| SocketGroup::new(&format!("wirespan-option-{node}"));
    (0..3)
        .map(group)
        .collect::<Result<_, _>>()
        .inspect_err(|reason| eprintln!("not tried: {reason}"))
        .ok()
}

/// An agent on a node, that carries for one process of the group; `None` where this kernel can't.
fn agent(nodes: &Nodes, node: u8, group: &Path, pid: u32) -> Option<Daemon> {
    let group = group.to_str().expect("text").to_owned();
    let mut daemon = nodes.host(node).run(move || {
        let settings = [
            ("BEYLA_BPF_CONTEXT_PROPAGATION", "tcp"),
            ("WIRESPAN_CONTEXT_PROPAGATION_CGROUP", &group),
            ("BEYLA_TARGET_PID", &pid.to_string()),
        ];
        Daemon::start_by(daemon::command(), &[], &settings)
    });
    let stderr = &daemon.process().stderr;
    let said = stderr.wait_for_line(LIMIT, "carry their trace");
    let said = said.unwrap_or_default();
    if !said.contains("calls of watched processes carry their trace in TCP options") {
        assert!(is_too_old(), "{said}");
        eprintln!("not tried: {said}");
        return None;
    }
    daemon.wait_until_watching(pid);
    Some(daemon)
}

/// Whether this kernel lacks what it takes.
fn is_too_old() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it tells");
    release.starts_with("5.")
}

/// Ends all agents, once they have told of so many spans each.
fn stop(agents: Vec<Daemon>, spans: &[usize]) -> Vec<Finished> {
    for (daemon, spans) in agents.iter().zip(spans) {
        daemon.wait_for_count(*spans);
    }
    let finished: Vec<_> = agents.into_iter().map(Daemon::stop).collect();
    for it in &finished {
        assert_eq!(it.lost(), "nothing", "{}", it.story());
    }
    finished
}

fn all_spans(finished: &[Finished]) -> Vec<Seen> {
    let all = finished.iter().flat_map(|it| it.spans.iter());
    all.cloned().collect()
}

/// Keeps a row of requests that came from one node to the next, of which so many per cent have to
/// be below the call that made them, and none below another one.
fn keep(name: &str, asked: usize, least: f64, finished: &[Finished]) -> Row {
    let row = Row::of(&all_spans(finished));
    println!("option: {name}: {} of {asked}", row.joins);
    let said = |it: &Finished| {
        let line = it.log.iter().find(|it| it.contains("context in TCP"));
        line.cloned().unwrap_or_default()
    };
    let counted: Vec<_> = finished.iter().map(said).collect();
    counted
        .iter()
        .for_each(|line| println!("option: {name}: {line}"));
    let target = Target {
        right: least,
        wrong: 0.0,
    };
    let (right, wrong) = (row.joins.right, row.joins.wrong);
    KeptRow::new(asked, right, wrong, target).keep(&format!("option, {name}"));
    assert_eq!(wrong + row.calls.wrong, 0, "{name}: {row}");
    let part = 100.0 * right as f64 / asked as f64;
    assert!(part >= least, "{name}: {row}, {part}%\n{counted:#?}");
    row
}

/// A chain of three nodes under load, that come to `hops` links for each request at least.
fn goes_on(
    name: &str,
    nodes: &Nodes,
    (way, speech): (Way, Speech),
    requests: usize,
    hops: usize,
    least: f64,
) {
    let Some(groups) = groups() else { return };
    let chain = Chain::within(nodes, way, speech, &groups);
    let agents = (0u8..).zip(&groups).map(|(node, group)| {
        let [worker] = chain.workers(node)[..] else {
            panic!("one worker")
        };
        agent(nodes, node, group.path(), worker)
    });
    let Some(agents) = agents.collect::<Option<Vec<_>>>() else {
        return;
    };
    let load = Load {
        requests,
        ..Load::of_a_row()
    };
    let base = format!("http://{}:{PORT}", nodes.address(0, Way::Routed));
    let answered = nodes
        .router()
        .run(move || load.send(&base, |id| format!("/{id}001/a")));
    assert_eq!(answered, requests);
    let finished = stop(agents, &[2 * requests, 2 * requests, requests]);
    let row = keep(name, hops * requests, least, &finished);
    // Of the first server, nobody watches the client.
    assert!(row.joins.none >= requests, "{name}: {row}");
}

fn requests() -> usize {
    Load::of_a_row().requests
}

#[test]
fn over_http1_whatever_translates_addresses() {
    for way in Way::ALL {
        let name = format!("HTTP/1, {way:?}");
        let nodes = Nodes::new(3);
        goes_on(&name, &nodes, (way, Speech::Http1), requests(), 2, 99.5);
    }
}

/// A server of TLS does not know in time for whom it asks another one, where the request is the
/// first of its connection.
#[test]
fn over_tls() {
    let way = (Way::Dnat, Speech::Https);
    goes_on("TLS", &Nodes::new(3), way, requests(), 1, 99.5);
}

/// A server of HTTP/2 does not know in time for which of its streams it asks another one. Where the
/// client's message begins with something else, its request is not told of.
#[test]
fn over_http2() {
    let way = (Way::Routed, Speech::Http2Inside);
    goes_on("HTTP/2", &Nodes::new(3), way, requests(), 1, 80.0);
}

#[test]
fn over_a_network_that_loses_packets() {
    let nodes = Nodes::new(3);
    nodes.lose(2);
    let way = (Way::Masqueraded, Speech::Http1);
    goes_on("HTTP/1, 2% lost", &nodes, way, requests() / 5, 2, 95.0);
}

/// A client to which nobody speaks: each of its calls begins a trace.
fn client_asks(name: &str, speech: Speech, least: f64) {
    let Some(groups) = groups() else { return };
    let nodes = Nodes::new(3);
    let chain = Chain::within(&nodes, Way::Routed, speech, &groups);
    let mut client = nodes.host(0).run(|| {
        let mut command = python("asks_many.py", &[THREADS]);
        Process::start("client", &mut command)
    });
    client.expect_line("ready");
    groups[0].take_in(client.pid());
    let servers = [1, 2].map(|node| chain.workers(node)[0]);
    let watched = [client.pid(), servers[0], servers[1]];
    let agents = (0u8..).zip(watched).map(|(node, pid)| {
        let group = groups[usize::from(node)].path();
        agent(&nodes, node, group, pid)
    });
    let Some(agents) = agents.collect::<Option<Vec<_>>>() else {
        return;
    };
    let requests = requests();
    let scheme = if speech == Speech::Https {
        "https"
    } else {
        "http"
    };
    let base = format!("{scheme}://{}:{PORT}", nodes.address(1, Way::Routed));
    client.tell(&format!("{base} {requests}"));
    client.expect_line(&format!("asked {requests}"));
    let finished = stop(agents, &[requests, 2 * requests, requests]);
    let _ = keep(name, requests, least, &finished);
}

#[test]
fn from_a_client_over_http1() {
    client_asks("HTTP/1, client", Speech::Http1, 99.5);
}

#[test]
fn from_a_client_over_tls() {
    client_asks("TLS, client", Speech::Https, 99.0);
}

/// Whoever is asked is not watched. What comes is longer than segments are, which the option makes
/// shorter.
#[test]
fn what_is_sent_arrives_as_it_is() {
    const LEN: usize = 8 << 20;
    let Some(groups) = groups() else { return };
    let nodes = Nodes::new(3);
    let server = nodes.host(1).run(|| {
        let mut command = python("keeps_sums.py", &[&PORT.to_string()]);
        Process::start("server", &mut command)
    });
    server.expect_line("ready");
    let body = tempfile::NamedTempFile::new().expect("a file");
    let bytes: Vec<u8> = (0..LEN).map(|at| (at * at % 251) as u8).collect();
    std::fs::write(body.path(), bytes).expect("it is written");
    let mut sums = Vec::new();
    for carries in [false, true] {
        let mut client = nodes.host(0).run(|| {
            let mut command = tied("sh");
            command.args(["-c", "read line; exec curl -sS $line"]);
            Process::start("client", &mut command)
        });
        groups[0].take_in(client.pid());
        let daemon = match carries {
            false => None,
            true => match agent(&nodes, 0, groups[0].path(), client.pid()) {
                Some(daemon) => Some(daemon),
                None => return,
            },
        };
        let url = format!("http://{}:{PORT}", nodes.address(1, Way::Routed));
        let path = body.path().display();
        client.tell(&format!(
            "-H Expect: --data-binary @{path} {url}/a {url}/b {url}/c"
        ));
        sums.push(client.succeed());
        if let Some(daemon) = daemon {
            daemon.wait_for_count(3);
            let told = daemon.stop();
            let counted = "3 requests with the TCP option";
            assert!(
                told.log.iter().any(|line| line.contains(counted)),
                "{}",
                told.story()
            );
        }
    }
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[0].len(), 3, "{sums:?}");
}
