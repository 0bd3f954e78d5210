//! How many exchanges a second one core takes from a recording in memory to spans, without export:
//! `cargo run --release -p wirespan --example pipeline_bench [exchanges] [connections] [file]`.
//! With a file, the recording is left there for `wirespan replay` and nothing is measured. HTTP/1
//! comes first, then the same over HTTP/2, 32 requests at a time, as h2load asks nginx.

#[path = "../tests/support/records.rs"]
mod records;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use records::Recorder;
use wirespan::health::Health;
use wirespan::pipeline::{PipelineConfig, Pipelines};
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

    let http1 = record(exchanges, connections, |recorder, exchange, id| {
        recorder.at(exchange * 1000).read(id, REQUEST);
        recorder.at(exchange * 1000 + 500).write(id, RESPONSE);
    });
    if let Some(path) = arguments.next() {
        std::fs::write(path, http1).expect("a file that can be written");
        return;
    }
    measure("HTTP/1", &http1);
    drop(http1);
    let rounds = exchanges / STREAMS;
    let http2 = record(rounds, connections, |recorder, round, id| {
        let first = round / connections;
        let (asked, answered) = http2_turn(first);
        recorder.at(round * 32_000).read(id, asked);
        recorder.at(round * 32_000 + 500).write(id, answered);
    });
    measure("HTTP/2", &http2);
}

/// `turns` turns, on the connections in order.
fn record(turns: u64, connections: u64, turn: impl Fn(&mut Recorder, u64, u64)) -> Vec<u8> {
    let mut recorder = Recorder::new(0);
    recorder.named("bench");
    for id in 0..connections {
        let port = 20_000 + id % 40_000;
        recorder.open_tcp(id, "10.0.0.1:8080", &format!("10.0.0.2:{port}"));
    }
    for number in 0..turns {
        turn(&mut recorder, number, number % connections);
    }
    recorder.file()
}

/// Requests that are asked at a time.
const STREAMS: u64 = 32;

/// What a client sends, and the server's answers, in the connection's turn of this number. Both
/// insert into their tables in the first turn and refer to them later, as real ones do.
fn http2_turn(number: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    if number == 0 {
        asked.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        answered.extend_from_slice(b"\0\0\0\x04\0\0\0\0\0");
    }
    for index in 0..STREAMS {
        let is_first = number == 0 && index == 0;
        let stream = u32::try_from((number * STREAMS + index) * 2 + 1).expect("few enough");
        // :method GET, :scheme http, :path as a literal, :authority, user-agent, accept.
        let mut block = vec![0x82, 0x86, 0x04, 24];
        block.extend_from_slice(b"/api/items/42?page=3&x=1");
        if is_first {
            block.extend_from_slice(b"\x41\x0e127.0.0.1:8080\x7a\x1bh2load nghttp2/1.52.0 (x64)");
            block.extend_from_slice(b"\x53\x03*/*");
        } else {
            block.extend_from_slice(&[0xc0, 0xbf, 0xbe]);
        }
        frame(&mut asked, 1, 5, stream, &block);
        // :status 200, server, date, content-type, content-length.
        let mut block = vec![0x88];
        if is_first {
            block.extend_from_slice(b"\x76\x0cnginx/1.22.1\x61\x1dSat, 21 Nov 2026 07:00:00 GMT");
            block.extend_from_slice(b"\x5f\x09text/html\x5c\x03100");
        } else {
            block.extend_from_slice(&[0xc1, 0xc0, 0xbf, 0xbe]);
        }
        frame(&mut answered, 1, 4, stream, &block);
        frame(&mut answered, 0, 1, stream, &[b'x'; 100]);
    }
    (asked, answered)
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("short");
    to.extend_from_slice(&len.to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

fn measure(what: &str, file: &[u8]) {
    println!("{what}: {} MiB of records", file.len() >> 20);
    for round in 1..=ROUNDS {
        let mut pipelines = Pipelines::new(
            PipelineConfig {
                seed: Some(1),
                ..PipelineConfig::default()
            },
            Arc::new(Health::default()),
        );
        let begin = Instant::now();
        let mut reader = Reader::new(file).expect("the recording made above");
        let replayed = replay(&mut reader, &mut pipelines, |spans| {
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
