//! Prints what the kernel side sends about processes that listen on a port: a look at the raw data.
use std::time::{Duration, Instant};
use wirespan::capture::Capture;
use wirespan::config::{CaptureConfig, Strategy, Targets};
use wirespan_common::record::{Body, Record};

fn main() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Off)
        .filter_module("wirespan", log::LevelFilter::Trace)
        .init();
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().and_then(|a| a.parse().ok()).unwrap_or(18080);
    let strategy = match args.next().as_deref() {
        Some("st") => Some(Strategy::SocketTracepoints),
        Some("fexit") => Some(Strategy::Fexit),
        Some("kp") => Some(Strategy::Kprobes),
        Some("sys") => Some(Strategy::SyscallTracepoints),
        _ => None,
    };
    let pids: Vec<u32> = args.filter_map(|a| a.parse().ok()).collect();
    let began = Instant::now();
    let config = CaptureConfig {
        strategy,
        bpf_debug: false,
    };
    let targets = Targets {
        open_ports: vec![port..=port],
        ..Targets::default()
    };
    let mut capture = match Capture::start(&config, &targets) {
        Ok(c) => c,
        Err(e) => {
            println!("{e}");
            return;
        }
    };
    for pid in pids {
        capture.watch_list.watch(pid);
    }
    println!("ready {} in {:?}", capture.strategy, began.elapsed());
    for info in aya::programs::loaded_programs().flatten() {
        println!(
            "{:?} insns {:?}",
            info.name_as_str(),
            info.verified_instruction_count()
        );
    }
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let n = capture
            .reader
            .drain(1000, |bytes| match Record::decode(bytes) {
                Ok((record, _)) => match record.body {
                    Body::Chunk {
                        chunk,
                        direction,
                        bytes,
                    } => println!(
                        "{} {} chunk {direction:?} c={} pos={} len={} cap={} opp={}@{} {:?}",
                        record.time_ns,
                        record.tgid,
                        chunk.connection,
                        chunk.position,
                        chunk.len,
                        chunk.captured,
                        chunk.opposite.position,
                        chunk.opposite.last_ns,
                        String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
                    ),
                    Body::Open { open, path } => println!(
                        "{} open {open:?} {:?}",
                        record.tgid,
                        String::from_utf8_lossy(path)
                    ),
                    other => println!("{} {} {other:?}", record.time_ns, record.tgid),
                },
                Err(e) => println!("bad {e:?} {bytes:?}"),
            });
        if n == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for (l, n) in capture.losses.totals() {
        if n > 0 {
            println!("{l:?} {n}");
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for l in status
        .lines()
        .filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS"))
    {
        println!("{l}");
    }
}
