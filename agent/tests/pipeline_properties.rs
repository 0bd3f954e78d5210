//! What holds for the pipeline whatever the records say: they may come from a damaged file, and
//! what they carry comes from strangers.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use wirespan::health::Health;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::Span;
use wirespan_common::record::{
    Caller, Chunk, Clock, Extent, Header, Kind, Life, Open, Progress, Record, SamplingNote,
    TaskNote,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const CONNECTIONS_MAX: usize = 4;

/// Connections that records speak of.
const CONNECTIONS: usize = 6;

/// Payloads that get somewhere, and some that do not.
const PAYLOADS: [[&[u8]; 6]; 2] = [
    [
        b"GET / HTTP/1.1\r\nHost: a:1\r\n\r\n",
        b"GET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n",
        b"POST /x?sig=1 HTTP/1.1\r\nHost: not a host\r\nContent-Length: 3\r\n\r\nabc",
        b"BREW * HTTP/1.0\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\n\r\n",
        b"GET / HT",
    ],
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
];

/// How far each stream has come, so that most records continue where the last one ended.
type Positions = [[u64; 2]; CONNECTIONS];

/// A body's fixed part of arbitrary bytes, made plausible enough to be decoded by `mend`.
fn body<T: FromBytes + FromZeros + IntoBytes + zerocopy::Immutable>(
    raw: &[u8],
    mend: impl FnOnce(&mut T),
) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let len = raw.len().min(bytes.len());
    bytes[..len].copy_from_slice(&raw[..len]);
    let mut value = T::read_from_bytes(&bytes).expect("exactly as long");
    mend(&mut value);
    value.as_bytes().to_vec()
}

/// What one record is made of: kind, time, process, bytes for its fields, choices.
type Seed = (u8, u64, u32, Vec<u8>, [u8; 5]);

fn record(seed: &Seed, positions: &mut Positions) -> Vec<u8> {
    let (kind, time_ns, tgid, raw, choices) = seed;
    let [connection, choice, number, honesty, side] = choices.map(usize::from);
    let connection = connection % CONNECTIONS;
    let known = &mut positions[connection];
    // One record in eight makes its positions up.
    let is_honest = !honesty.is_multiple_of(8);
    let mend_extent = |extent: &mut Extent, position: u64| {
        extent.tail_len %= 9;
        if is_honest {
            extent.position = position;
        }
    };
    let mut payload: &[u8] = b"";
    let body = match Kind::try_from(*kind).expect("a kind") {
        Kind::Open => {
            *known = [0; 2];
            payload = &raw[..raw.len() % 20];
            body::<Open>(raw, |open| {
                open.connection = connection as u64;
                open.family = [1, 2, 10, 99][choice % 4];
            })
        }
        Kind::Chunk => {
            // Even connections are served, odd ones called out on; sometimes the wrong way round.
            let direction = side % 2;
            let speech = (direction + connection + usize::from(honesty == 1)) % 2;
            payload = PAYLOADS[speech][choice % PAYLOADS[0].len()];
            body::<Chunk>(raw, |chunk| {
                chunk.connection = connection as u64;
                chunk.direction = direction as u8;
                chunk.tail_len %= 9;
                chunk.captured = payload.len() as u32;
                chunk.len = chunk.captured + if number < 64 { 1000 } else { 0 };
                if is_honest {
                    chunk.position = known[direction];
                    known[direction] += u64::from(chunk.len);
                }
                mend_extent(&mut chunk.opposite, known[1 - direction]);
            })
        }
        Kind::Progress => {
            known[side % 2] += if number < 64 { 1000 } else { 0 };
            body::<Progress>(raw, |progress| {
                progress.connection = connection as u64;
                progress.stage = (choice % 16).saturating_sub(11) as u8;
                mend_extent(&mut progress.ingress, known[0]);
                mend_extent(&mut progress.egress, known[1]);
            })
        }
        Kind::Life => body::<Life>(raw, |life| {
            life.event = life.event % 4 + 1;
            life.other %= 4;
        }),
        Kind::Clock => body::<Clock>(raw, |_| {}),
        Kind::Process => {
            payload = b"{\"pid\":2,\"service_name\":\"a\"}";
            Vec::new()
        }
        Kind::Task => {
            payload = &raw[raw.len() / 2..];
            body::<TaskNote>(raw, |note| {
                note.event = note.event % 8 + 1;
                note.kind = note.kind % 7 + 1;
                note.ancestors = (payload.len() / 8) as u8;
            })
        }
        Kind::Peers => {
            payload = b"[{\"address\":\"10.0.0.1\"}]";
            Vec::new()
        }
        Kind::Settings => {
            payload = b"{\"drop_query\":true,\"asked_within_ms\":1000}";
            Vec::new()
        }
        Kind::Caller => body::<Caller>(raw, |_| {}),
        Kind::Sampling => body::<SamplingNote>(raw, |_| {}),
    };
    let header = Header {
        len: (size_of::<Header>() + body.len() + payload.len()) as u32,
        kind: *kind,
        shard: 0,
        reserved: [0; 2],
        time_ns: *time_ns,
        tgid: *tgid,
        tid: *tgid,
    };
    [header.as_bytes(), &body, payload].concat()
}

fn any_records(count_max: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let time_ns = prop_oneof![
        50 => 0..1_000_000u64,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ];
    let kind = prop_oneof![
        4 => Just(Kind::Open as u8),
        40 => Just(Kind::Chunk as u8),
        10 => Just(Kind::Progress as u8),
        5 => Kind::Life as u8..=Kind::Task as u8,
        1 => Just(Kind::Settings as u8),
        1 => Just(Kind::Peers as u8),
        1 => Just(Kind::Caller as u8),
        1 => Just(Kind::Sampling as u8),
    ];
    let seed = (
        kind,
        time_ns,
        0..4u32,
        prop::collection::vec(any::<u8>(), 0..100),
        any::<[u8; 5]>(),
    );
    prop::collection::vec(seed, 0..count_max).prop_map(|seeds: Vec<Seed>| {
        let mut positions = Positions::default();
        seeds
            .iter()
            .map(|seed| record(seed, &mut positions))
            .collect()
    })
}

fn run(records: &[Vec<u8>]) -> (Vec<Span>, Pipeline, Arc<Health>) {
    let health = Arc::new(Health::default());
    let config = PipelineConfig {
        seed: Some(1),
        connections_max: CONNECTIONS_MAX,
        ..PipelineConfig::default()
    };
    let mut pipeline = Pipeline::new(config, Arc::clone(&health));
    let mut spans = Vec::new();
    for bytes in records {
        let Ok((record, _)) = Record::decode(bytes) else {
            continue;
        };
        pipeline.record(&record, &mut spans);
        assert!(pipeline.connections() <= CONNECTIONS_MAX);
        for id in pipeline.wants_progress(u64::MAX) {
            assert!(
                id < CONNECTIONS as u64,
                "one of those that records spoke of"
            );
        }
    }
    pipeline.finish(&mut spans);
    (spans, pipeline, health)
}

proptest! {
    #[test]
    fn whatever_records_say_spans_are_well_formed(
        records in any_records(150)
    ) {
        let (spans, pipeline, health) = run(&records);
        prop_assert_eq!(pipeline.connections(), 0);
        prop_assert_eq!(pipeline.open_exchanges(), 0);
        prop_assert_eq!(health.spans_made(), spans.len() as u64);
        for line in pipeline.coverage() {
            prop_assert!(line.understood_bytes <= line.seen_bytes);
        }
        for span in &spans {
            prop_assert!(span.start_unix_ns <= span.end_unix_ns);
            prop_assert_ne!(span.trace_id, [0; 16]);
            prop_assert_ne!(span.span_id, [0; 8]);
            let names: BTreeSet<_> = span.attributes.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names.len(), span.attributes.len(), "{:?}", span.attributes);
            prop_assert!(span.resource.get("service.name").is_some());
        }
    }

    #[test]
    fn the_same_records_make_the_same_spans(
        records in any_records(60)
    ) {
        let text = |spans: Vec<Span>| format!("{spans:?}");
        prop_assert_eq!(text(run(&records).0), text(run(&records).0));
    }
}
