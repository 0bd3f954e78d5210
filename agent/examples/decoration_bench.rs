//! What Kubernetes adds to a span: `cargo run --release -p wirespan --example decoration_bench
//! [rounds]`. The same exchanges, from a recording in memory to spans, of a process in a pod whose
//! peers are in pods, and of one that nobody places. The two take turns; what counts is the median
//! of the pairs' differences in processor time, so that it holds beside others' work.

#[path = "../tests/support/records.rs"]
mod records;

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use records::Recorder;
use rustix::time::{ClockId, clock_gettime};
use wirespan::discover::Process;
use wirespan::health::Health;
use wirespan::kubernetes::PodPlace;
use wirespan::kubernetes::peer::{Peer, PeerChange, PeerKind};
use wirespan::kubernetes::pod::{Pod, PodContainer};
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, replay};

const EXCHANGES: u64 = 100_000;
const CONNECTIONS: u64 = 16;
/// The last of the addresses that belong to somebody: as many as a node has pods.
const LAST_ADDRESS: u8 = 250;
const REQUEST: &str = "GET /api/items/42 HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|argument| argument.parse().ok())
        .unwrap_or(9);
    let plain = record(&Process::default(), &[]);
    let placed = record(&process(), &peers());
    // Caches are warm from the second turn on.
    let _ = (replayed(&plain), replayed(&placed));
    let mut differences: Vec<f64> = (0..rounds)
        .map(|_| {
            let before = replayed(&plain);
            replayed(&placed) - before
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let median = differences.get(differences.len() / 2);
    println!(
        "decoration of a span  {:.0} ns",
        median.copied().unwrap_or(f64::NAN)
    );
}

fn record(process: &Process, peers: &[PeerChange]) -> Vec<u8> {
    let mut recorder = Recorder::new(0);
    recorder.process(&Process {
        pid: records::PID,
        service_name: "shop".into(),
        ..process.clone()
    });
    recorder.peers(peers);
    for id in 0..CONNECTIONS {
        recorder.open_tcp(id, "10.0.0.1:8080", &format!("10.0.0.{}:40000", id + 2));
    }
    for number in 0..EXCHANGES {
        let id = number % CONNECTIONS;
        recorder.at(number * 1000).read(id, REQUEST);
        recorder.at(number * 1000 + 500).write(id, RESPONSE);
    }
    recorder.file()
}

/// A process with as much to tell of its pod as one usually has.
fn process() -> Process {
    let texts = |what: &str| {
        let pair = |it| (format!("example.com/{what}-{it}"), format!("value-{it}"));
        (0..20).map(pair).collect()
    };
    let pod = Pod {
        uid: "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0".to_owned(),
        name: "web-6d4cf56db6-x2x7z".to_owned(),
        namespace: "shop".to_owned(),
        labels: texts("label"),
        annotations: texts("annotation"),
        containers: vec![PodContainer {
            name: "app".to_owned(),
            ..PodContainer::default()
        }],
        ..Pod::default()
    };
    Process {
        place: Some(PodPlace {
            pod: Arc::new(pod),
            container: Some("app".to_owned()),
        }),
        ..Process::default()
    }
}

fn peers() -> Vec<PeerChange> {
    let named = |number| PeerChange {
        address: IpAddr::from([10, 0, 0, number]),
        peer: Some(Arc::new(Peer {
            kind: PeerKind::Pod,
            name: format!("client-{number}"),
            namespace: Some("shop".to_owned()),
        })),
    };
    (2..=LAST_ADDRESS).map(named).collect()
}

/// Nanoseconds of processor time that a span takes.
fn replayed(file: &[u8]) -> f64 {
    let config = PipelineConfig {
        seed: Some(1),
        ..PipelineConfig::default()
    };
    let mut pipelines = Pipelines::new(config, Arc::new(Health::default()));
    let before = used();
    let mut reader = Reader::new(file).expect("the recording made above");
    let replayed = replay(&mut reader, &mut pipelines, |spans| {
        black_box(&*spans);
    })
    .expect("the recording made above");
    assert_eq!(replayed.spans, EXCHANGES);
    (used() - before).as_nanos() as f64 / EXCHANGES as f64
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}
