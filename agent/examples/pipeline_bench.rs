//! How many exchanges a second one core takes from a recording in memory to spans, without export:
//! `cargo run --release -p wirespan --example pipeline_bench [exchanges] [connections] [file]`.
//! With a file, the recording is left there for `wirespan replay` and nothing is measured.

#[path = "../tests/support/records.rs"]
mod records;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use records::Recorder;
use wirespan::health::Health;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::recording::{Reader, replay};

const REQUEST: &str = "GET /api/items/42?page=3 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\
    Accept-Encoding: gzip, deflate\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
    Date: Sat, 21 Nov 2026 07:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\
    Last-Modified: Sat, 21 Nov 2026 06:00:00 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"6740000-64\"\r\nAccept-Ranges: bytes\r\n\r\n\
    0123456789012345678901234567890123456789012345678901234567890123456789\
    012345678901234567890123456789";
const ROUNDS: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments
            .next()
            .and_then(|argument| argument.parse().ok())
            .unwrap_or(default)
    };
    let exchanges = number(500_000);
    let connections = number(16).max(1);

    let mut recorder = Recorder::new(0);
    recorder.named("bench");
    for id in 0..connections {
        recorder.open_tcp(
            id,
            "10.0.0.1:8080",
            &format!("10.0.0.2:{}", 20_000 + id % 40_000),
        );
    }
    for exchange in 0..exchanges {
        let id = exchange % connections;
        recorder.at(exchange * 1000).read(id, REQUEST);
        recorder.at(exchange * 1000 + 500).write(id, RESPONSE);
    }
    let file = recorder.file();
    drop(recorder);
    if let Some(path) = arguments.next() {
        std::fs::write(path, file).expect("a file that can be written");
        return;
    }
    println!(
        "{exchanges} exchanges on {connections} connections, {} MiB of records",
        file.len() >> 20
    );

    for round in 1..=ROUNDS {
        let mut pipeline = Pipeline::new(
            PipelineConfig {
                seed: Some(1),
                ..PipelineConfig::default()
            },
            Arc::new(Health::default()),
        );
        let begin = Instant::now();
        let mut reader = Reader::new(&file[..]).expect("the recording made above");
        let replayed = replay(&mut reader, &mut pipeline, |spans| {
            black_box(&*spans);
        })
        .expect("the recording made above");
        let elapsed = begin.elapsed();
        println!(
            "round {round}: {} spans in {elapsed:.3?}: {:.0} exchanges/s, {:.0} ns each",
            replayed.spans,
            replayed.spans as f64 / elapsed.as_secs_f64(),
            elapsed.as_nanos() as f64 / replayed.spans.max(1) as f64
        );
    }
}
