//! Contexts in header blocks: those of gRPC's metadata too, which are the same fields.

use super::*;
use crate::trace_headers::{Format, TraceHeaders};

fn traces(fields: &[(&str, Text<'_>)]) -> TraceHeaders {
    let mut memory = Memory::default();
    let mut head = Head::new(&mut memory);
    let known = |text| Text::Known(str::as_bytes(text));
    let pseudo = [(":method", known("POST")), (":path", known("/a.B/C"))];
    for (name, value) in pseudo.iter().chain(fields) {
        head.take(Field {
            name: known(name),
            value: *value,
            never_indexed: false,
        });
    }
    match head.finish(false) {
        What::Request(request) => request.traces,
        other => panic!("{other:?}"),
    }
}

const SINGLE: &[u8] = b"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1";

#[test]
fn contexts_are_read_in_every_format() {
    let all = traces(&[
        (
            "x-b3-traceid",
            Text::Known(b"0af7651916cd43dd8448eb211c80319c"),
        ),
        ("x-b3-spanid", Text::Known(b"b7ad6b7169203331")),
        ("b3", Text::Known(SINGLE)),
        (
            "uber-trace-id",
            Text::Known(b"af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1"),
        ),
        (
            "x-amzn-trace-id",
            Text::Known(b"Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331"),
        ),
    ]);
    for format in [Format::B3, Format::B3Multi, Format::Jaeger, Format::XRay] {
        let parent = all.of(format).expect("read");
        assert_eq!(parent.parent_id[..2], [0xb7, 0xad], "{format:?}");
        assert_eq!(parent.trace_id[..2], [0x0a, 0xf7], "{format:?}");
    }
}

#[test]
fn an_id_that_is_inferred_is_none() {
    let inferred = Text::Inferred(SINGLE);
    for value in [inferred, Text::Unknown] {
        assert_eq!(traces(&[("b3", value)]), TraceHeaders::default());
    }
    let twice = traces(&[("b3", inferred), ("b3", Text::Known(SINGLE))]);
    assert_eq!(twice.of(Format::B3), None);
}
