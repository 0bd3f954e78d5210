//! What it costs that agents ask each other:
//! `cargo run --release -p wirespan --example asking_bench`, as root.
//!
//! Two agents, in a network of their own, over a stream as they always have it. One's node makes
//! calls, of which the other's asks each; how many of them are in a batch follows from how many
//! there are, as shards leave what they have every few milliseconds. Each request is a client's
//! span at the one and a server's at the other. Processor time is that of the threads that ask, and
//! what a pipeline takes more if it asks; bytes are those of the network device, with all headers
//! and acknowledgements.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use wirespan::asking::{Asking, AskingSetup, PeersDoor};
use wirespan::config::{AskingConfig, PeerName, SecretSource, SpanConfig};
use wirespan::health::Health;
use wirespan::links::{CallerContext, ForPeers, JoinKey};
use wirespan::memory::Ledger;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::recording::caller_record;
use wirespan_common::record::{Caller, Record};
use wirespan_tests::network::Host;

#[path = "../tests/support/records.rs"]
mod records;

use records::Recorder;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(3);
/// How often shards leave what they have.
const ROUND: Duration = Duration::from_millis(10);
/// Requests of one connection; then there is another one.
const KEPT_FOR: u64 = 100;

fn main() {
    let host = Host::new();
    host.run(|| {
        for a_second in [1_000, 10_000] {
            over_streams(a_second);
        }
    });
    in_the_pipeline();
}

struct Agent {
    door: PeersDoor,
    callers: Receiver<usize>,
    health: Arc<Health>,
    _asking: Asking,
}

impl Agent {
    fn start(port: u16, peer: Option<u16>) -> Self {
        let config = AskingConfig {
            peers: peer
                .map(|port| PeerName {
                    host: "127.0.0.1".to_owned(),
                    port,
                })
                .into_iter()
                .collect(),
            listen: Some(([127, 0, 0, 1], port).into()),
            secret: Some(SecretSource::Text(b"correct horse battery"[..].into())),
            identity: None,
        };
        let health = Arc::new(Health::default());
        let (setup, door) =
            AskingSetup::new(&config, &Ledger::default(), &health).expect("it listens");
        let (tell, callers) = channel();
        let asking = setup.start(move |_, told: Vec<Caller>| {
            let known = told.iter().filter(|it| CallerContext::of(it).is_some());
            tell.send(known.count()).is_ok()
        });
        Self {
            door,
            callers,
            health,
            _asking: asking.expect("a thread"),
        }
    }
}

fn key(request: u64) -> JoinKey {
    let connection = (request / KEPT_FOR) as u32;
    JoinKey {
        starts: [
            connection.wrapping_mul(0x9e37_79b9),
            connection.wrapping_mul(0x85eb_ca6b),
        ],
        at: request % KEPT_FOR * 400,
    }
}

fn context(request: u64) -> CallerContext {
    let trace = u128::from(request) + 1;
    CallerContext {
        trace_id: trace
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_be_bytes(),
        span_id: key(request).span_id(),
        flags: 1,
        decided: None,
        randomness: None,
    }
}

fn over_streams(a_second: u64) {
    let mut called = Agent::start(4001, None);
    let mut asking = Agent::start(4002, Some(4001));
    while called.health.asking.streams() + asking.health.asking.streams() < 2 {
        std::thread::sleep(ROUND);
    }
    // Who made a request is found by the address, as mostly.
    let from: std::net::IpAddr = [10, 0, 0, 1].into();
    called.door.leave(std::iter::once(ForPeers::Has(from)));
    std::thread::sleep(10 * ROUND);
    let a_round = a_second * ROUND.as_millis() as u64 / 1000;
    let before = (cpu_ns(), wire_bytes());
    let began = Instant::now();
    let (mut request, mut known) = (0, 0);
    let mut next = began;
    while began.elapsed() < LASTS {
        let requests = request..request + a_round;
        request += a_round;
        let made = requests.clone();
        let made = made.map(|it| ForPeers::Stands(key(it), Some(context(it))));
        called.door.leave(made);
        asking
            .door
            .leave(requests.map(|it| ForPeers::Asks(key(it), Some(from))));
        next += ROUND;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        known += asking.callers.try_iter().sum::<usize>();
    }
    let ended = Instant::now();
    while known < request as usize {
        assert!(ended.elapsed() < 10 * LASTS, "each is known");
        // As a shard does, which comes again.
        called.door.leave(std::iter::empty());
        asking.door.leave(std::iter::empty());
        known += asking.callers.recv_timeout(ROUND).unwrap_or_default();
    }
    let after = (cpu_ns(), wire_bytes());
    let cpu_us = (after.0 - before.0) as f64 / 1e3 / request as f64;
    let wire = (after.1 - before.1) as f64 / request as f64;
    let within: u64 = called.health.asking.bytes().iter().sum();
    let within = within as f64 / request as f64;
    println!("asking, {a_second} requests/s, both threads, a request  {cpu_us:.2} µs");
    println!("asking, {a_second} requests/s, a request, within TLS  {within:.1} bytes");
    let where_to = if a_second >= 10_000 {
        "on the wire"
    } else {
        "all in all"
    };
    println!("asking, {a_second} requests/s, a request, {where_to}  {wire:.1} bytes");
    if a_second >= 10_000 {
        // A client's and a server's.
        println!("asking, threads, a span  {:.2} µs", cpu_us / 2.0);
    }
}

/// Of all threads that ask, so far.
fn cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs");
    let of_task = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let schedstat = fs::read_to_string(path.join("schedstat")).ok()?;
        let ran = schedstat.split(' ').next()?.parse::<u64>().ok()?;
        (name.trim() == "asking").then_some(ran)
    };
    tasks.filter_map(of_task).sum()
}

/// What the only device of this network has moved.
fn wire_bytes() -> u64 {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").expect("procfs");
    let lo = devices
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"));
    let received = lo.and_then(|counts| counts.split_whitespace().next());
    received.and_then(|it| it.parse().ok()).expect("loopback")
}

/// What a pipeline takes for a server's span, with asking and without.
fn in_the_pipeline() {
    const ROUNDS: usize = 15;
    let mut taken = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (asks, taken) in [false, true].into_iter().zip(&mut taken) {
            taken.push(pipeline_us(asks));
        }
    }
    let [without, with] = taken.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[ROUNDS / 2]
    });
    println!("asking, pipeline without, an exchange  {without:.2} µs");
    println!("asking, pipeline, a span  {:.2} µs", with - without);
}

fn pipeline_us(asks: bool) -> f64 {
    const EXCHANGES: u64 = 50_000;
    const GET: &str = "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let mut recorder = Recorder::new(0);
    recorder.settings(&SpanConfig {
        asked_within_ms: Some(if asks { 1_000 } else { 0 }),
        ..SpanConfig::default()
    });
    recorder.beginning_at([1, 2]);
    recorder.open_tcp(7, "10.0.0.1:80", "10.0.0.9:50000");
    for request in 0..EXCHANGES {
        recorder.at(1_000_000 + request * 10_000).read(7, GET);
        if asks {
            let key = JoinKey {
                starts: [1, 2],
                at: request * GET.len() as u64,
            };
            let caller = CallerContext::tell(Some(&context(request)), &key);
            let record = caller_record(recorder.now_ns, &caller);
            recorder.records.push(record);
        }
        recorder.write(7, OK);
    }
    let mut pipeline = Pipeline::new(PipelineConfig::default(), Arc::new(Health::default()));
    let mut spans = Vec::new();
    let began = Instant::now();
    for (number, bytes) in recorder.records.iter().enumerate() {
        let (record, _) = Record::decode(bytes).expect("a record");
        pipeline.record(&record, &mut spans);
        if number % 300 == 0 {
            pipeline.drain_for_peers().for_each(drop);
            spans.clear();
        }
    }
    began.elapsed().as_secs_f64() * 1e6 / EXCHANGES as f64
}
