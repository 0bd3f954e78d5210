//! Each format by a table of what it takes and what it refuses, then whatever else may be sent.

use proptest::prelude::*;

use super::*;

const TRACE: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];
const SHORT: [u8; 16] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];
const SPAN: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];

fn head(fields: &[(&str, &str)]) -> TraceHeaders {
    let mut collector = Collector::default();
    for (name, value) in fields {
        collector.take(name.as_bytes(), Some(value.as_bytes()));
    }
    collector.finish(None)
}

/// The trace, and what was decided of it; the span is always the same.
type Told = Option<([u8; 16], Option<bool>)>;

fn told(parent: Option<TraceParent>) -> Told {
    let parent = parent?;
    assert_eq!(parent.parent_id, SPAN);
    let sampled = (!parent.is_deferred).then_some(parent.flags & 1 == 1);
    Some((parent.trace_id, sampled))
}

fn check(format: Format, name: &str, table: &[(&str, Told)]) {
    for (value, expected) in table {
        let found = head(&[(name, value)]).of(format);
        assert_eq!(told(found), *expected, "{name}: {value}");
    }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

#[test]
fn b3_in_one_field() {
    let long = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
    let upper = long.to_uppercase();
    let with = |rest: &str| format!("{long}{rest}");
    check(
        Format::B3,
        "b3",
        &[
            (&with("-1"), Some((TRACE, YES))),
            (&with("-d"), Some((TRACE, YES))),
            (&with("-0"), Some((TRACE, NO))),
            (long, Some((TRACE, None))),
            (&upper, Some((TRACE, None))),
            (&with("-1-05e3ac9a4f6e3b90"), Some((TRACE, YES))),
            (&with("-05e3ac9a4f6e3b90"), Some((TRACE, None))),
            ("8448eb211c80319c-b7ad6b7169203331-1", Some((SHORT, YES))),
            // A decision alone, and what is none.
            ("0", None),
            ("1", None),
            ("d", None),
            ("", None),
            ("-", None),
            (&with("-"), None),
            (&with("-2"), None),
            (&with("-1-"), None),
            (&with("-1-05e3ac9a4f6e3b9"), None),
            (&with("-1-05e3ac9a4f6e3b90-1"), None),
            (&with("1"), None),
            ("0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-1", None),
            ("0000000000000000-b7ad6b7169203331-1", None),
            ("8448eb211c80319c-0000000000000000-1", None),
            ("8448eb211c80319x-b7ad6b7169203331-1", None),
        ],
    );
}

#[test]
fn b3_in_several_fields() {
    const IDS: [(&str, &str); 2] = [
        ("X-B3-TraceId", "0af7651916cd43dd8448eb211c80319c"),
        ("x-b3-spanid", "b7ad6b7169203331"),
    ];
    let with = |more: &[(&str, &str)]| {
        let fields = [&IDS[..], more].concat();
        told(head(&fields).of(Format::B3Multi))
    };
    for (more, expected) in [
        (&[][..], Some((TRACE, None))),
        (&[("X-B3-Sampled", "1")], Some((TRACE, YES))),
        (&[("X-B3-Sampled", "true")], Some((TRACE, YES))),
        (&[("X-B3-Sampled", "0")], Some((TRACE, NO))),
        (&[("X-B3-Flags", "1")], Some((TRACE, YES))),
        (
            &[("X-B3-ParentSpanId", "whatever"), ("X-B3-Flags", "0")],
            Some((TRACE, None)),
        ),
        (&[("X-B3-Sampled", "2")], None),
        (&[("X-B3-Sampled", "1"), ("X-B3-Sampled", "1")], None),
        (&[IDS[0]], None),
    ] {
        assert_eq!(with(more), expected, "{more:?}");
    }
    for half in IDS {
        assert_eq!(head(&[half]).of(Format::B3Multi), None);
    }
}

#[test]
fn jaegers_field() {
    let long = "af7651916cd43dd8448eb211c80319c:b7ad6b7169203331";
    let with = |rest: &str| format!("{long}{rest}");
    let escaped = with(":0:1").replace(':', "%3A");
    check(
        Format::Jaeger,
        "uber-trace-id",
        &[
            // Leading zeros are left out or not.
            (&with(":0:1"), Some((TRACE, YES))),
            (&format!("0{}", with(":0:01")), Some((TRACE, YES))),
            (&with(":0:3"), Some((TRACE, YES))),
            (&with(":0:2"), Some((TRACE, YES))),
            (&with(":1234:0"), Some((TRACE, NO))),
            ("8448eb211c80319c:b7ad6b7169203331:0:1", Some((SHORT, YES))),
            (&escaped, Some((TRACE, YES))),
            (&escaped.to_lowercase(), Some((TRACE, YES))),
            ("", None),
            (long, None),
            (&with(":0"), None),
            (&with(":0:"), None),
            (&with("::1"), None),
            (&with(":0:100"), None),
            (&with(":0:1:1"), None),
            (&with(":0:1:"), None),
            (&with(":x:1"), None),
            (&with("%3B0:1"), None),
            (&with("%"), None),
            ("0:b7ad6b7169203331:0:1", None),
            ("8448eb211c80319c:0:0:1", None),
            (
                "10af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1",
                None,
            ),
        ],
    );
}

#[test]
fn x_rays_field() {
    let root = "Root=1-0af76519-16cd43dd8448eb211c80319c";
    let with = |rest: &str| format!("{root};Parent=b7ad6b7169203331{rest}");
    check(
        Format::XRay,
        "X-Amzn-Trace-Id",
        &[
            (&with(";Sampled=1"), Some((TRACE, YES))),
            (&with(";Sampled=0"), Some((TRACE, NO))),
            (&with(";Sampled=?"), Some((TRACE, None))),
            (&with(""), Some((TRACE, None))),
            (&with("; Sampled=1; Lineage=a:1|b:2"), Some((TRACE, YES))),
            (
                &format!("Self=1-67891233-abcdef01;Sampled=1;Parent=b7ad6b7169203331;{root}"),
                Some((TRACE, YES)),
            ),
            // A load balancer that begins a trace names no parent.
            (root, None),
            ("Parent=b7ad6b7169203331;Sampled=1", None),
            (&with(";Sampled=2"), None),
            (&with(";Sampled=1;Sampled=1"), None),
            (&with(&format!(";{root}")), None),
            (&with("0"), None),
            (&with("").replacen("1-", "2-", 1), None),
            (&with("").replacen("-16", "16", 1), None),
            (&with("").replacen("0af7", "0xf7", 1), None),
            (&with(&";a=b".repeat(16)), None),
            ("", None),
            (";;;", None),
        ],
    );
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn all_that_a_head_says_is_told_apart() {
    let all = head(&[
        ("uber-trace-id", "8448eb211c80319c:b7ad6b7169203331:0:0"),
        ("TraceParent", PARENT),
        ("b3", "8448eb211c80319c-b7ad6b7169203331"),
        ("X-Request-ID", "a-request-of-somebody"),
        ("x-amzn-trace-id", "nonsense"),
    ]);
    assert_eq!(told(all.of(Format::TraceContext)), Some((TRACE, YES)));
    assert_eq!(told(all.of(Format::B3)), Some((SHORT, None)));
    assert_eq!(told(all.of(Format::Jaeger)), Some((SHORT, NO)));
    assert_eq!(all.of(Format::B3Multi), None);
    assert_eq!(all.of(Format::XRay), None);
    let same = head(&[("x-request-id", " a-request-of-somebody ")]);
    assert_eq!(all.request_id(), same.request_id());
    assert!(same.request_id().is_some());
    assert_eq!(head(&[]), TraceHeaders::default());
}

#[test]
fn request_ids_are_long_enough_to_be_somebodys_and_come_once() {
    let id = |values: &[&str]| {
        let fields: Vec<_> = values
            .iter()
            .map(|value| ("x-request-id", *value))
            .collect();
        head(&fields).request_id()
    };
    assert!(id(&["12345678"]).is_some());
    assert_ne!(id(&["12345678"]), id(&["12345679"]));
    for none in [&["1234567"][..], &[""], &["12345678", "12345678"]] {
        assert_eq!(id(none), None, "{none:?}");
    }
    assert_eq!(id(&[&"1".repeat(129)]), None);
}

#[test]
fn explicit_randomness_is_read_from_the_entry_of_opentelemetry_alone() {
    let randomness = |state: &str| {
        let mut collector = Collector::default();
        collector.take(b"traceparent", Some(PARENT.as_bytes()));
        collector.finish(Some(state)).randomness()
    };
    let expected = Some(0x006e_6d1a_7583_2a2f);
    for state in [
        "ot=rv:6e6d1a75832a2f",
        "a=b, ot=th:c;rv:6e6d1a75832a2f ,c=d",
    ] {
        assert_eq!(randomness(state), expected, "{state}");
    }
    for state in [
        "",
        "ot=th:c",
        "ot=rv:6e6d1a75832a2",
        "ot=rv:6e6d1a75832a2f0",
        "ot=rv:6E6D1A75832A2F",
        "ot=rv:+e6d1a75832a2f",
        "xot=rv:6e6d1a75832a2f",
        "a=ot=rv:6e6d1a75832a2f",
    ] {
        assert_eq!(randomness(state), None, "{state}");
    }
}

#[test]
fn a_million_fields_are_no_more_than_a_few() {
    let mut collector = Collector::default();
    for n in 0..1_000_000_u32 {
        let name = NAMES[n as usize % NAMES.len()];
        collector.take(name.as_bytes(), Some(PARENT.as_bytes()));
        collector.take(REQUEST_ID.as_bytes(), Some(&n.to_be_bytes()));
    }
    assert_eq!(collector.finish(None), TraceHeaders::default());
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select([&NAMES[..], &[REQUEST_ID, "x-forwarded-for"]].concat())
}

/// Bytes that such values are made of, and any others.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(&b"0123456789abcdefABCDEF-:;=%3ARootParentSampled?d "[..]);
    prop_oneof![
        prop::collection::vec(likely, 0..96),
        prop::collection::vec(any::<u8>(), 0..96),
        Just(PARENT.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_makes_a_valid_context_or_none(
        fields in prop::collection::vec((name(), prop::option::of(value())), 0..12)
    ) {
        let mut collector = Collector::default();
        for (name, value) in &fields {
            collector.take(name.as_bytes(), value.as_deref());
        }
        let all = collector.finish(None);
        for format in [
            Format::TraceContext,
            Format::B3,
            Format::B3Multi,
            Format::Jaeger,
            Format::XRay,
        ] {
            if let Some(parent) = all.of(format) {
                prop_assert_ne!(parent.trace_id, [0; 16]);
                prop_assert_ne!(parent.parent_id, [0; 8]);
                prop_assert!(!parent.is_deferred || parent.flags == 0);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(trace in 1..u128::MAX, span in 1..u64::MAX, sampled: bool) {
        let flag = u8::from(sampled);
        let seconds = trace >> 96;
        let number = trace & ((1 << 96) - 1);
        for (format, name, value) in [
            (Format::B3, "b3", format!("{trace:032x}-{span:016x}-{flag}")),
            (Format::Jaeger, "uber-trace-id", format!("{trace:x}:{span:x}:0:{flag}")),
            (
                Format::XRay,
                "x-amzn-trace-id",
                format!("Root=1-{seconds:08x}-{number:024x};Parent={span:016x};Sampled={flag}"),
            ),
        ] {
            let parent = head(&[(name, &value)]).of(format);
            let expected = TraceParent {
                trace_id: trace.to_be_bytes(),
                parent_id: span.to_be_bytes(),
                flags: flag,
                is_deferred: false,
            };
            prop_assert_eq!(parent, Some(expected), "{}", value);
        }
    }
}
