//! What holds for the pipeline whatever the records say: they may come from a damaged file, and
//! what they carry comes from strangers.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use wirespan::health::Health;
use wirespan::pipeline::{Pipeline, PipelineConfig};
use wirespan::span::Span;
use wirespan_common::record::{Chunk, Clock, Extent, Header, Kind, Life, Open, Progress, Record};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const CONNECTIONS_MAX: usize = 3;

/// Payloads that get somewhere, and some that do not.
const PAYLOADS: [&[u8]; 8] = [
    b"GET / HTTP/1.1\r\nHost: a:1\r\n\r\n",
    b"POST /x?sig=1 HTTP/1.1\r\nHost: not a host\r\nContent-Length: 3\r\n\r\nabc",
    b"BREW * HTTP/1.0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oops\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\n\r\n",
    b"GET / HT",
    b"\x16\x03\x01\x02\x00",
];

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

fn record(kind: u8, time_ns: u64, tgid: u32, raw: &[u8], small: [u8; 4]) -> Vec<u8> {
    let connection = u64::from(small[0] % 6);
    let mend_extent = |extent: &mut Extent| {
        extent.tail_len %= 9;
        if small[3].is_multiple_of(2) {
            extent.position = u64::from(small[3]);
        }
    };
    let mut payload: &[u8] = b"";
    let body = match Kind::try_from(kind).expect("a kind") {
        Kind::Open => {
            payload = &raw[..raw.len() % 20];
            body::<Open>(raw, |open| {
                open.connection = connection;
                open.family = [1, 2, 10, 99][usize::from(small[1] % 4)];
            })
        }
        Kind::Chunk => {
            payload = PAYLOADS[usize::from(small[1]) % PAYLOADS.len()];
            body::<Chunk>(raw, |chunk| {
                chunk.connection = connection;
                chunk.direction %= 2;
                chunk.tail_len %= 9;
                chunk.captured = payload.len() as u32;
                chunk.len = chunk.captured + u32::from(small[2] % 3) * 1000;
                if !small[2].is_multiple_of(5) {
                    chunk.position = u64::from(small[2]);
                }
                mend_extent(&mut chunk.opposite);
            })
        }
        Kind::Progress => body::<Progress>(raw, |progress| {
            progress.connection = connection;
            progress.stage %= 5;
            mend_extent(&mut progress.ingress);
            mend_extent(&mut progress.egress);
        }),
        Kind::Life => body::<Life>(raw, |life| {
            life.event = life.event % 4 + 1;
            life.other %= 4;
        }),
        Kind::Clock => body::<Clock>(raw, |_| {}),
        Kind::Process => {
            payload = b"{\"pid\":2,\"service_name\":\"a\"}";
            Vec::new()
        }
    };
    let header = Header {
        len: (size_of::<Header>() + body.len() + payload.len()) as u32,
        kind,
        reserved: [0; 3],
        time_ns,
        tgid,
        tid: tgid,
    };
    [header.as_bytes(), &body, payload].concat()
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let time_ns = prop_oneof![
        8 => 0..1_000_000u64,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ];
    (
        prop_oneof![1 => Just(1u8), 6 => Just(2), 2 => Just(3), 1 => 4..=6u8],
        time_ns,
        0..4u32,
        prop::collection::vec(any::<u8>(), 0..100),
        any::<[u8; 4]>(),
    )
        .prop_map(|(kind, time_ns, tgid, raw, small)| record(kind, time_ns, tgid, &raw, small))
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
            assert!(id < 6, "one of those that records spoke of");
        }
    }
    pipeline.finish(&mut spans);
    (spans, pipeline, health)
}

proptest! {
    #[test]
    fn whatever_records_say_spans_are_well_formed(
        records in prop::collection::vec(any_record(), 0..120)
    ) {
        let (spans, pipeline, health) = run(&records);
        prop_assert_eq!(pipeline.connections(), 0);
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
        records in prop::collection::vec(any_record(), 0..60)
    ) {
        let text = |spans: Vec<Span>| format!("{spans:?}");
        prop_assert_eq!(text(run(&records).0), text(run(&records).0));
    }
}
