//! Two shards: each process's connections are told by one of them, and all are told once, whoever
//! forks, accepts and passes on.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use rustix::process::Signal;
use wirespan::recording::Reader;
use wirespan_common::record::{Body, LifeEvent};
use wirespan_tests::daemon::{Daemon, Finished, command, replayed_spans};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::spans::Seen;
use wirespan_tests::truth::{Exchange, assert_same};
use wirespan_tests::workload::{Nginx, Server, children_of, curl, eventually, file, python};

const SHARDS: (&str, &str) = ("WIRESPAN_SHARDS", "2");
/// Requests for each server, each on a connection of its own.
const REQUESTS: usize = 16;

fn ask(url: impl Fn(&str) -> String) {
    for number in 0..REQUESTS {
        let _ = curl(&[&url(&format!("/{number}"))]);
    }
}

/// Spans of one server, by its port.
fn of_port(finished: &Finished, port: u16) -> Vec<Exchange> {
    let port = port.to_string();
    let of_server = |span: &&Seen| span.get("server.port") == Some(&port);
    let spans = finished.spans.iter().filter(of_server);
    spans.map(Seen::exchange).collect()
}

#[test]
fn every_exchange_of_servers_that_fork_is_told_once() {
    let cluster = |port: &str| {
        let mut command = tied("node");
        command.arg(file("cluster.js")).args([port, "2"]);
        command
    };
    let servers = [
        Server::python_forked(4),
        Server::on(ports::free(), cluster),
        // One accepts, others answer: a connection stays with the shard of the first.
        Server::on(ports::free(), |port| {
            python("passing.py", &["rights", port])
        }),
        Server::hyper(),
    ];
    let nginx = Nginx::start(2, "", "");
    nginx.serve_file("0", 300);
    let watched: Vec<_> = servers
        .iter()
        .map(|server| server.port)
        .chain([nginx.port])
        .map(|port| port.to_string())
        .collect();
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &watched.join(",")), SHARDS]);
    for server in &servers {
        ask(|target| server.url(target));
    }
    ask(|target| nginx.url(target));
    daemon.wait_for_count(REQUESTS * watched.len());
    let finished = daemon.stop();
    assert_eq!(finished.made(), REQUESTS * watched.len());
    for server in &servers {
        let told = of_port(&finished, server.port);
        assert_same("spans", server.truth(REQUESTS), told);
    }
    let told = of_port(&finished, nginx.port);
    assert_same("spans of nginx", nginx.truth(REQUESTS), told);
    let nameless = |span: &&Seen| span.resource["service.name"].contains("unknown");
    assert_eq!(finished.spans.iter().find(nameless).map(Seen::line), None);
    let mut ids: Vec<_> = finished.spans.iter().map(|span| &span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), finished.spans.len());
}

/// What a recording says of shards.
#[derive(Default)]
struct Found {
    /// Shards of chunks.
    by_process: HashMap<u32, Vec<u8>>,
    by_connection: HashMap<u64, Vec<u8>>,
    /// Ends of processes, by shard.
    exits: [Vec<u32>; 2],
}

fn read(path: &Path) -> Found {
    let input = std::fs::File::open(path).expect("there");
    let mut reader = Reader::new(std::io::BufReader::new(input)).expect("a recording");
    let mut found = Found::default();
    while reader
        .read_record(|record| match record.body {
            Body::Chunk { chunk, .. } => {
                let of_connection = found.by_connection.entry(chunk.connection).or_default();
                of_connection.push(record.shard);
                found
                    .by_process
                    .entry(record.tgid)
                    .or_default()
                    .push(record.shard);
            }
            Body::Life {
                event: LifeEvent::Exit,
                ..
            } => found.exits[usize::from(record.shard)].push(record.tgid),
            _ => {}
        })
        .expect("whole")
    {}
    found
}

fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.contains(") Z")) || !Path::new(&format!("/proc/{pid}")).exists()
}

#[allow(clippy::ptr_arg, reason = "what values() gives")]
fn is_one(shards: &Vec<u8>) -> bool {
    shards.iter().all(|shard| *shard == shards[0])
}

#[test]
fn one_recording_holds_both_shards_and_replays_the_same() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("calls");
    let server = Server::python_forked(4);
    let port = server.port.to_string();
    let mut record = command();
    record.args(["record", path.to_str().expect("a path in UTF-8")]);
    record.args(["--open-port", &port]).env(SHARDS.0, SHARDS.1);
    let mut recorder = Process::start("wirespan", &mut record);
    let ready = recorder.stderr.wait_for_line(LIMIT, "wirespan: ready");
    assert!(ready.is_some(), "{}", recorder.story());
    ask(|target| server.url(target));
    let truth = server.truth(REQUESTS);
    let workers = children_of(server.process.pid());
    drop(server);
    eventually("workers end", || workers.iter().all(|pid| has_ended(*pid)));
    recorder.signal(Signal::TERM);
    assert!(recorder.wait().success(), "{}", recorder.story());

    let found = read(&path);
    assert!(found.by_connection.values().all(is_one), "none changes");
    assert!(
        found.by_process.values().all(is_one),
        "nor does who accepts"
    );
    let mut told_by: Vec<_> = found.by_process.values().map(|shards| shards[0]).collect();
    told_by.sort_unstable();
    told_by.dedup();
    assert_eq!(told_by, [0, 1], "work is shared");
    let [first, second] = found
        .exits
        .map(|pids| pids.into_iter().collect::<BTreeSet<_>>());
    assert!(workers.iter().all(|pid| first.contains(pid)));
    assert_eq!(first, second, "the life of processes is told to all");

    let spans = replayed_spans(path.to_str().expect("a path in UTF-8"));
    assert_same("spans", truth, spans.iter().map(Seen::exchange));
}
