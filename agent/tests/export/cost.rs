//! What a span costs on its way out: numbers to read, not to pass or fail.
//! `cargo build --release -p wirespan-tests --bin otlp-sink`, then
//! `cargo test --release -p wirespan --test export cost -- --ignored --nocapture --test-threads 1`

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use prost::Message;
use wirespan::config::{OtlpConfig, OtlpProtocol};
use wirespan::export::otlp::{bring_together, json, protobuf};
use wirespan::export::{ExportConfig, Exporters};
use wirespan::health::{Destination, Health};
use wirespan::span::Span;

use crate::sample::{exporting, lost_in_export, otlp, request_of, resource, server_spans};

#[test]
#[ignore = "a measurement"]
fn cost_of_encoding() {
    let services = ["shop", "cart", "pay"].map(resource);
    let spans: Vec<Span> = (0..512)
        .map(|n| server_spans(&services[n % 3], n as u64..n as u64 + 1).remove(0))
        .collect();
    let measure = |name: &str, encode: &mut dyn FnMut(&[&Span]) -> usize| {
        let mut best = Duration::MAX;
        let mut len = 0;
        for _ in 0..200 {
            let begun = Instant::now();
            let mut spans: Vec<&Span> = spans.iter().collect();
            bring_together(&mut spans);
            len = black_box(encode(black_box(&spans)));
            best = best.min(begun.elapsed());
        }
        let ns = best.as_nanos() / 512;
        println!("{name:32} {ns:6} ns per span, {} bytes per span", len / 512);
    };
    let mut buffer = BytesMut::new();
    measure("protobuf, by hand", &mut |spans| {
        buffer.clear();
        protobuf::encode(spans, &mut buffer);
        buffer.len()
    });
    measure("protobuf, generated types", &mut |spans| {
        buffer.clear();
        request_of(spans).encode(&mut buffer).unwrap();
        buffer.len()
    });
    let mut text = Vec::new();
    measure("JSON, borrowed", &mut |spans| {
        text.clear();
        json::write(spans, &mut text);
        text.len()
    });
    measure("JSON, generated types", &mut |spans| {
        text.clear();
        serde_json::to_writer(&mut text, &request_of(spans)).unwrap();
        text.len()
    });
    measure("gzip of protobuf, fastest", &mut |spans| {
        buffer.clear();
        protobuf::encode(spans, &mut buffer);
        gzip(&buffer, flate2::Compression::fast())
    });
    measure("gzip of protobuf, default", &mut |spans| {
        buffer.clear();
        protobuf::encode(spans, &mut buffer);
        gzip(&buffer, flate2::Compression::default())
    });
}

/// What would be saved if who makes spans encoded them, so that only bytes change threads: CPU of
/// both threads together, and of the one that makes them.
#[test]
#[ignore = "a measurement"]
fn cost_of_changing_threads() {
    const BATCHES: u64 = 4000;
    const SPANS: u64 = 128;
    let shop = resource("shop");
    let per_span = |time: Duration| time.as_nanos() / u128::from(BATCHES * SPANS);
    for _ in 0..3 {
        for encodes_first in [false, true] {
            let (sender, receiver) = std::sync::mpsc::sync_channel(64);
            let begun = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID);
            let exporting = std::thread::spawn(move || {
                let mut buffer = BytesMut::new();
                while let Ok((spans, bytes)) = receiver.recv() {
                    let (spans, bytes): (Vec<Span>, BytesMut) = (spans, bytes);
                    buffer.clear();
                    if bytes.is_empty() {
                        protobuf::encode(&spans.iter().collect::<Vec<_>>(), &mut buffer);
                    } else {
                        buffer.extend_from_slice(&bytes);
                    }
                    black_box(&buffer);
                }
            });
            let making = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID);
            for batch in 0..BATCHES {
                let mut spans = server_spans(&shop, batch * SPANS..(batch + 1) * SPANS);
                let mut bytes = BytesMut::new();
                if encodes_first {
                    protobuf::encode(&spans.iter().collect::<Vec<_>>(), &mut bytes);
                    spans.clear();
                }
                sender.send((spans, bytes)).unwrap();
            }
            let making = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID) - making;
            drop(sender);
            exporting.join().unwrap();
            let all = cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID) - begun;
            let name = if encodes_first { "bytes" } else { "spans" };
            println!(
                "{name} change threads: {} ns per span, {} of them where it is made",
                per_span(all),
                per_span(making)
            );
        }
    }
}

fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock is one that every process has, and the structure is there to be written to.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn gzip(content: &[u8], level: flate2::Compression) -> usize {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap().len()
}

#[test]
#[ignore = "a measurement"]
fn cost_of_an_absent_receiver() {
    let memory = || {
        procfs::process::Process::myself()
            .unwrap()
            .status()
            .unwrap()
            .vmrss
            .unwrap()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let health = Arc::new(Health::default());
    let _inside = runtime.enter();
    let config = OtlpConfig {
        batch_spans_max: 512,
        ..otlp(OtlpProtocol::HttpProtobuf, ([127, 0, 0, 1], 1).into())
    };
    let (queue, exporters) = Exporters::start(exporting(config), &health).unwrap();
    let shop = resource("shop");
    let before = memory();
    for push in 0..4000 {
        queue.push(server_spans(&shop, push * 128..(push + 1) * 128));
    }
    println!(
        "of {} spans {} were lost; the rest takes {} KiB",
        4000 * 128,
        lost_in_export(&health),
        memory() - before
    );
    runtime.block_on(exporters.drain(Duration::ZERO));
}

/// The sink in a process of its own, so that only the agent's side is measured.
struct Sink {
    process: Child,
    address: SocketAddr,
}

impl Sink {
    fn start() -> Self {
        let here = std::env::current_exe().unwrap();
        let path = here.ancestors().nth(2).unwrap().join("otlp-sink");
        let mut command = Command::new(&path);
        command.arg("127.0.0.1:0").stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .trim_start_matches("listening on ")
            .parse()
            .unwrap();
        Self { process, address }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// CPU time of this process in seconds, to the kernel's tick of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = procfs::process::Process::myself().unwrap().stat().unwrap();
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

#[test]
#[ignore = "a measurement"]
fn cost_of_export() {
    const SPANS: u64 = 1_800_000;
    const PER_SECOND: u64 = 180_000;
    const PER_PUSH: u64 = 128;
    let shop = resource("shop");
    let pushes = SPANS / PER_PUSH;
    let pause = Duration::from_nanos(1_000_000_000 * PER_PUSH / PER_SECOND);
    // The price of making (and freeing) the spans, and of keeping the pace, is not the exporters'.
    let mut making = 0.0;
    let variants = [
        ("no destination", None, 512, false),
        (
            "http/protobuf, batches of 512",
            Some(OtlpProtocol::HttpProtobuf),
            512,
            false,
        ),
        (
            "http/protobuf, batches of 4096",
            Some(OtlpProtocol::HttpProtobuf),
            4096,
            false,
        ),
        ("grpc, batches of 512", Some(OtlpProtocol::Grpc), 512, false),
        (
            "grpc, batches of 4096",
            Some(OtlpProtocol::Grpc),
            4096,
            false,
        ),
        (
            "http/protobuf gzip, 4096",
            Some(OtlpProtocol::HttpProtobuf),
            4096,
            true,
        ),
    ];
    for (name, protocol, batch_spans_max, gzip) in variants {
        let sink = Sink::start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let health = Arc::new(Health::default());
        let _inside = runtime.enter();
        let config = match protocol {
            None => ExportConfig::new(None, Default::default()),
            Some(protocol) => exporting(OtlpConfig {
                batch_spans_max,
                gzip,
                batch_age_max: Duration::from_millis(500),
                ..otlp(protocol, sink.address)
            }),
        };
        let (queue, exporters) = Exporters::start(config, &health).unwrap();
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        for push in 0..pushes {
            queue.push(server_spans(&shop, push * PER_PUSH..(push + 1) * PER_PUSH));
            let due = begun + pause * u32::try_from(push + 1).unwrap();
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let elapsed = begun.elapsed().as_secs_f64();
        runtime.block_on(exporters.drain(Duration::from_secs(10)));
        let micros = (cpu_seconds() - cpu) * 1e6 / SPANS as f64;
        if protocol.is_none() {
            making = micros;
        }
        let memory = procfs::process::Process::myself()
            .unwrap()
            .status()
            .unwrap();
        println!(
            "{name:32} {:.2} µs CPU per span ({micros:.2} with the making), {:.0} spans/s, \
             {} exported, {} lost, peak {} MiB",
            micros - making,
            (pushes * PER_PUSH) as f64 / elapsed,
            health.spans_exported(Destination::Otlp),
            lost_in_export(&health),
            memory.vmhwm.unwrap_or(0) / 1024,
        );
    }
}
