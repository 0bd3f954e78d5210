//! What hostile peers and local users do, in records: each load is one step, repeated.

use wirespan::discover::Process;
use wirespan::health::Loss;
use wirespan_common::record::LifeEvent;

use crate::records::{PID, Recorder};

pub struct Load {
    pub name: &'static str,
    /// How often.
    pub count: u64,
    pub each: fn(&mut Recorder, u64),
    /// What is counted when there is too much of it.
    pub loss: Loss,
    /// Nothing is remembered once its connections and processes have ended.
    pub ends_empty: bool,
}

pub const STREAMS: u64 = 100;

pub const LOADS: &[Load] = &[
    Load {
        name: "unanswered HTTP/2 streams",
        count: 600,
        each: streams,
        loss: Loss::MemoryFull,
        ends_empty: true,
    },
    Load {
        name: "more connections of them",
        count: 2_500,
        each: few_streams,
        loss: Loss::MemoryFull,
        ends_empty: true,
    },
    Load {
        name: "HTTP/2 tables",
        count: 600,
        each: tables,
        loss: Loss::MemoryFull,
        ends_empty: true,
    },
    Load {
        name: "unanswered pipelines",
        count: 4_000,
        each: pipeline,
        loss: Loss::MemoryFull,
        ends_empty: true,
    },
    Load {
        name: "heads without an end",
        count: 1_000,
        each: endless_head,
        loss: Loss::MemoryFull,
        ends_empty: true,
    },
    Load {
        name: "processes that say much",
        count: 1_000,
        each: talkative,
        loss: Loss::DescriptionCut,
        ends_empty: false,
    },
    Load {
        name: "processes with names of their own",
        count: 12_000,
        each: named,
        loss: Loss::DescriptionLost,
        ends_empty: false,
    },
];

const SERVER: &str = "10.0.0.1:8080";
const HEALTHY: u64 = 1 << 40;

/// An exchange on a connection that is kept.
pub fn healthy(recorder: &mut Recorder) {
    recorder.of(PID);
    recorder.open_tcp(HEALTHY, SERVER, "10.0.0.3:50000");
    recorder.read(
        HEALTHY,
        "GET /healthy HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    );
    recorder.write(HEALTHY, "HTTP/1.1 204 No Content\r\n\r\n");
}

pub fn end_processes(recorder: &mut Recorder) {
    for number in 0..12_000 {
        recorder.of(PID + 1 + number).life(LifeEvent::Exit, 0);
    }
    recorder.of(PID);
}

fn opened(recorder: &mut Recorder, id: u64) {
    let peer = format!("10.1.{}.{}:{}", id / 200, id % 200 + 1, 1024 + id);
    recorder.open_tcp(id, SERVER, &peer);
}

fn streams(recorder: &mut Recorder, id: u64) {
    requests(recorder, id, STREAMS, 6 * 1024);
}

fn few_streams(recorder: &mut Recorder, id: u64) {
    requests(recorder, id, STREAMS, 512);
}

fn requests(recorder: &mut Recorder, id: u64, count: u64, len: usize) {
    opened(recorder, id);
    recorder.read(id, preface());
    for stream in 0..count {
        let path = format!("/{stream:05}{}", "x".repeat(len - 6));
        // :method GET, :scheme http, :path as a literal that is not indexed.
        let mut block = vec![0x82, 0x86, 0x04];
        literal(&mut block, &path);
        let mut bytes = Vec::new();
        frame(&mut bytes, 1, 5, stream as u32 * 2 + 1, &block);
        recorder.read(id, bytes);
    }
}

/// Fills the dynamic table with what is never used.
fn tables(recorder: &mut Recorder, id: u64) {
    opened(recorder, id);
    recorder.read(id, preface());
    // The server allows 64 KiB.
    let mut settings = Vec::new();
    frame(&mut settings, 4, 0, 0, &[0, 1, 0, 1, 0, 0]);
    recorder.write(id, settings);
    for stream in 0..16 {
        let mut block = Vec::new();
        if stream == 0 {
            // The size is 64 KiB from here on.
            block.extend_from_slice(&[0x3f, 0xe1, 0xff, 0x03]);
        }
        block.extend_from_slice(&[0x82, 0x86, 0x84]);
        block.push(0x40);
        literal(&mut block, &format!("x-{stream}"));
        literal(&mut block, &"v".repeat(4000));
        let mut bytes = Vec::new();
        frame(&mut bytes, 1, 5, stream * 2 + 1, &block);
        recorder.read(id, bytes);
    }
}

fn pipeline(recorder: &mut Recorder, id: u64) {
    opened(recorder, id);
    for number in 0..20 {
        let request: String = (0..5)
            .map(|part| {
                let path = format!("/{number}/{part}/{}", "p".repeat(200));
                format!("GET {path} HTTP/1.1\r\nHost: h{number}-{part}.example\r\n\r\n")
            })
            .collect();
        recorder.read(id, request);
    }
}

fn endless_head(recorder: &mut Recorder, id: u64) {
    opened(recorder, id);
    recorder.read(id, "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Endless: ");
    for _ in 0..10 {
        recorder.read(id, "e".repeat(6000));
    }
}

/// As many attributes as 128 KiB hold.
fn talkative(recorder: &mut Recorder, number: u64) {
    let attributes = (0..128).map(|n| (format!("key.{n}"), "v".repeat(1000)));
    describe(
        recorder,
        number,
        Process {
            service_name: "shop".into(),
            resource_attributes: attributes.collect(),
            ..Process::default()
        },
    );
}

fn named(recorder: &mut Recorder, number: u64) {
    let process = Process {
        service_name: format!("service-{number}-{}", "n".repeat(1000)),
        command_args: vec!["argument".into(); 400],
        ..Process::default()
    };
    describe(recorder, number, process);
}

fn describe(recorder: &mut Recorder, number: u64, process: Process) {
    let pid = PID + 1 + number as u32;
    recorder.of(pid).process(&Process { pid, ..process });
}

fn preface() -> Vec<u8> {
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()
}

/// A text that is not coded (RFC 7541 §5.2).
fn literal(block: &mut Vec<u8>, text: &str) {
    let len = text.len();
    if len < 127 {
        block.push(len as u8);
    } else {
        block.push(127);
        let mut rest = len - 127;
        while rest >= 128 {
            block.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text.as_bytes());
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("short");
    to.extend_from_slice(&len.to_be_bytes()[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}
