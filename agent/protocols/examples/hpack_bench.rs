//! What decoding a header block costs, beside the decoders that can be had: nanoseconds for one
//! block, on connections of a thousand blocks. Run with `--release`. Each decoder hands every field
//! to a function that adds up lengths.
#![allow(clippy::print_stdout, reason = "that is what it is for")]
#![allow(clippy::unwrap_used, reason = "of the tests it shares")]
#![allow(dead_code, reason = "the tests need more of the sender than this")]

use std::hint::black_box;
use std::time::Instant;

use wirespan_protocols::http2::hpack::{Decoder, LearntHeaders};

#[path = "../tests/hpack/sender.rs"]
mod sender;
#[path = "../tests/hpack/support.rs"]
mod support;

use sender::{Call, Form, Library, Sender};

const BLOCKS: usize = 1000;

/// Each decoder has its turn so often; the fastest turn counts.
const ROUNDS: usize = 20;

/// Decodes all blocks of a connection, and adds up lengths.
type Run = fn(&[Vec<u8>]) -> usize;

const RUNS: [(&str, Run); 6] = [
    ("wirespan", wirespan),
    ("  with learnt", wirespan_with_lore),
    ("hpack", hpack),
    ("fluke-hpack", fluke),
    ("loona-hpack", loona),
    ("httlib-hpack", httlib),
];

fn main() {
    let loads: [(&str, Vec<Vec<u8>>); 6] = [
        ("gRPC steady (grpc-go)", calls(Library::GrpcGo, false)),
        (
            "gRPC with deadlines (grpc-go)",
            calls(Library::GrpcGo, true),
        ),
        ("gRPC steady (grpc-core)", calls(Library::GrpcCore, false)),
        ("gRPC with deadlines (tonic)", calls(Library::Tonic, true)),
        ("browser requests", browser()),
        ("nginx responses", nginx()),
    ];
    print!("{:30}", "ns for one block");
    for (name, _) in RUNS {
        print!(" {name:>13}");
    }
    println!(" {:>16}", "ours to fastest");
    for (load, blocks) in &loads {
        let sums = RUNS.map(|(_, run)| run(blocks));
        assert!(sums.iter().all(|sum| *sum == sums[0]), "{load}: {sums:?}");
        let mut best = RUNS.map(|_| f64::MAX);
        for _ in 0..ROUNDS {
            for (best, (_, run)) in best.iter_mut().zip(RUNS) {
                let start = Instant::now();
                black_box(run(black_box(blocks)));
                *best = best.min(start.elapsed().as_nanos() as f64 / blocks.len() as f64);
            }
        }
        print!("{load:30}");
        for ns in best {
            print!(" {ns:13.1}");
        }
        let fastest = best[2..].iter().copied().fold(f64::MAX, f64::min);
        println!(" {:15.2}x", fastest / best[0]);
    }
}

fn wirespan(blocks: &[Vec<u8>]) -> usize {
    let (mut decoder, mut sum) = (Decoder::from_start(), 0);
    for block in blocks {
        let outcome = decoder.decode(block, None, &mut |field| {
            sum += field.name.bytes().map_or(0, <[u8]>::len);
            sum += field.value.bytes().map_or(0, <[u8]>::len);
        });
        assert_eq!(outcome, Ok(()));
    }
    sum
}

fn wirespan_with_lore(blocks: &[Vec<u8>]) -> usize {
    let mut learnt = LearntHeaders::new();
    let (mut decoder, mut sum) = (Decoder::from_start(), 0);
    for block in blocks {
        let outcome = decoder.decode(block, Some(&mut learnt), &mut |field| {
            sum += field.name.bytes().map_or(0, <[u8]>::len);
            sum += field.value.bytes().map_or(0, <[u8]>::len);
        });
        assert_eq!(outcome, Ok(()));
    }
    sum
}

fn hpack(blocks: &[Vec<u8>]) -> usize {
    let (mut decoder, mut sum) = (hpack::Decoder::new(), 0);
    for block in blocks {
        let outcome = decoder.decode_with_cb(block, |name, value| sum += name.len() + value.len());
        assert!(outcome.is_ok());
    }
    sum
}

fn fluke(blocks: &[Vec<u8>]) -> usize {
    let (mut decoder, mut sum) = (fluke_hpack::Decoder::new(), 0);
    for block in blocks {
        let outcome = decoder.decode_with_cb(block, |name, value| sum += name.len() + value.len());
        assert!(outcome.is_ok());
    }
    sum
}

fn loona(blocks: &[Vec<u8>]) -> usize {
    let (mut decoder, mut sum) = (loona_hpack::Decoder::new(), 0);
    for block in blocks {
        let outcome = decoder.decode_with_cb(block, |name, value| sum += name.len() + value.len());
        assert!(outcome.is_ok());
    }
    sum
}

fn httlib(blocks: &[Vec<u8>]) -> usize {
    let (mut decoder, mut sum) = (httlib_hpack::Decoder::default(), 0);
    let (mut taken, mut fields) = (Vec::new(), Vec::new());
    for block in blocks {
        // It wants to own what it reads.
        taken.clone_from(block);
        fields.clear();
        assert!(decoder.decode(&mut taken, &mut fields).is_ok());
        sum += fields
            .iter()
            .map(|(name, value, _)| name.len() + value.len())
            .sum::<usize>();
    }
    sum
}

fn calls(library: Library, deadlines: bool) -> Vec<Vec<u8>> {
    let mut sender = library.connect();
    let call = |number: usize| Call {
        path: ["/shop.Stock/Get", "/shop.Orders/List"][number % 2],
        timeout: deadlines.then(|| format!("4999{:03}u", 999 - number * 7919 % 1000)),
    };
    (0..BLOCKS)
        .map(|number| library.request(&mut sender, &call(number)).0)
        .collect()
}

fn browser() -> Vec<Vec<u8>> {
    let mut sender = Sender::new();
    let request = |number: usize| {
        sender.field(Form::Indexed, ":method", "GET");
        sender.field(Form::Indexed, ":authority", "www.example.com");
        sender.field(Form::Indexed, ":scheme", "https");
        sender.field(
            Form::Literal,
            ":path",
            &format!("/assets/pages/{number}.html?tab=open"),
        );
        sender.field(
            Form::Indexed,
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        );
        sender.field(
            Form::Indexed,
            "accept",
            "text/html,application/xhtml+xml,*/*;q=0.8",
        );
        sender.field(Form::Indexed, "accept-encoding", "gzip, deflate, br, zstd");
        sender.field(
            Form::Indexed,
            "referer",
            &format!("https://www.example.com/{number}"),
        );
        let session = format!("session={:032x}; theme=dark", number * 0x9e37_79b9_7f4a);
        sender.field(Form::Never, "cookie", &session);
        sender.take_block()
    };
    (0..BLOCKS).map(request).collect()
}

/// nginx never uses the dynamic table (`ngx_http_v2_filter_module.c`).
fn nginx() -> Vec<Vec<u8>> {
    let mut sender = Sender::new();
    let response = |number: usize| {
        sender.field(Form::Indexed, ":status", "200");
        sender.field(Form::Literal, "server", "nginx/1.22.1");
        sender.field(Form::Literal, "date", "Sat, 21 Nov 2026 07:00:00 GMT");
        sender.field(Form::Literal, "content-type", "text/html");
        sender.field(Form::Literal, "content-length", &(600 + number).to_string());
        sender.field(
            Form::Literal,
            "last-modified",
            "Tue, 13 Jun 2023 15:08:10 GMT",
        );
        sender.field(Form::Literal, "etag", "\"6488865a-264\"");
        sender.field(Form::Literal, "accept-ranges", "bytes");
        sender.take_block()
    };
    (0..BLOCKS).map(response).collect()
}
