//! How much faster two shards are than one, from recordings in memory to spans, without export:
//! `cargo run --release -p wirespan --example shards_bench [exchanges]`. Each has a pipeline of its
//! own, on a thread of its own; they share what they share in a run, counters and the bound over
//! memory. Two ratios come out: of time, which needs two free processors, and of processor time for
//! one exchange, which others on the machine disturb less.

#[path = "../tests/support/records.rs"]
mod records;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use records::Recorder;
use rustix::time::{ClockId, clock_gettime};
use wirespan::health::Health;
use wirespan::memory::Ledger;
use wirespan::pipeline::{PipelineConfig, Pipelines};
use wirespan::recording::{Reader, replay};

const REQUEST: &str = "GET /api/items/42?page=3 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Content-Type: text/html\r\nContent-Length: 10\r\n\r\n0123456789";
const CONNECTIONS: u64 = 16;
const ROUNDS: usize = 9;
const SHARDS: u8 = 2;

/// What one round took.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Took {
    time: Duration,
    /// Of all threads.
    cpu: Duration,
}

fn main() {
    let exchanges = std::env::args()
        .nth(1)
        .and_then(|argument| argument.parse().ok())
        .unwrap_or(300_000);
    let files = [1, 2].map(|pid| recording(pid, exchanges));
    // In turns, so that whatever else the machine does falls on both; the best of each.
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (one_after_the_other(&files), at_once(&files)))
        .collect();
    let best = |of: fn(&(Took, Took)) -> Duration| rounds.iter().map(of).min().unwrap_or_default();
    let (one, two) = (best(|it| it.0.time), best(|it| it.1.time));
    println!(
        "two shards, time  {one:.3?} {two:.3?} {:.2}x",
        ratio(one, two)
    );
    let (one, two) = (best(|it| it.0.cpu), best(|it| it.1.cpu));
    println!(
        "two shards, processor time  {one:.3?} {two:.3?} {:.2}x",
        ratio(one, two)
    );
}

fn ratio(one: Duration, two: Duration) -> f64 {
    one.as_secs_f64() / two.as_secs_f64()
}

fn recording(pid: u32, exchanges: u64) -> Vec<u8> {
    let mut recorder = Recorder::new(0);
    recorder.of(pid).named("shop");
    let first = u64::from(pid) * 100;
    for id in first..first + CONNECTIONS {
        recorder.open_tcp(id, "10.0.0.1:80", "10.0.0.2:40000");
    }
    for exchange in 0..exchanges {
        let id = first + exchange % CONNECTIONS;
        recorder.at(exchange * 1000).read(id, REQUEST);
        recorder.at(exchange * 1000 + 500).write(id, RESPONSE);
    }
    recorder.file()
}

fn one_after_the_other(files: &[Vec<u8>; 2]) -> Took {
    measured(|| {
        let health = Arc::new(Health::default());
        let config = config(&Ledger::default(), 0, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut pipelines = Pipelines::new(config, health);
                for file in files {
                    run(file, &mut pipelines);
                }
            });
        });
    })
}

fn at_once(files: &[Vec<u8>; 2]) -> Took {
    measured(|| {
        let health = Arc::new(Health::default());
        let memory = Ledger::default();
        std::thread::scope(|scope| {
            for (shard, file) in (0..SHARDS).zip(files) {
                let config = config(&memory, shard, SHARDS);
                let health = Arc::clone(&health);
                scope.spawn(move || run(file, &mut Pipelines::new(config, health)));
            }
        });
    })
}

fn config(memory: &Ledger, shard: u8, shards: u8) -> PipelineConfig {
    let config = PipelineConfig {
        memory: memory.clone(),
        ..PipelineConfig::default()
    };
    config.of_shard(shard, shards)
}

fn run(file: &[u8], pipelines: &mut Pipelines) {
    let mut reader = Reader::new(file).expect("the recording made above");
    replay(&mut reader, pipelines, |spans| {
        black_box(&*spans);
    })
    .expect("the recording made above");
}

fn measured(work: impl FnOnce()) -> Took {
    let (begin, cpu) = (Instant::now(), cpu());
    work();
    Took {
        time: begin.elapsed(),
        cpu: self::cpu() - cpu,
    }
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
