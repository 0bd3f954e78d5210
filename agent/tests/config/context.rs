//! Settings that say which headers are believed.

use wirespan::config::Propagator;
use wirespan::config::Propagator::{B3, B3Multi, Jaeger, TraceContext, XRay};

use crate::{config_with, warnings_of};

fn propagators(text: &str) -> Vec<Propagator> {
    let config = config_with(&[("OTEL_PROPAGATORS", text)]);
    config.spans.propagators().collect()
}

#[test]
fn propagators_are_those_of_the_specification() {
    assert_eq!(
        config_with(&[]).spans.propagators().collect::<Vec<_>>(),
        [TraceContext]
    );
    for (text, expected) in [
        ("tracecontext,baggage", &[TraceContext][..]),
        ("b3, B3Multi ,jaeger,xray", &[B3, B3Multi, Jaeger, XRay]),
        ("baggage", &[]),
        ("none", &[]),
        ("b3,b3,tracecontext", &[B3, TraceContext]),
        ("b3,ottrace", &[B3]),
        ("zipkin", &[TraceContext]),
    ] {
        assert_eq!(propagators(text), expected, "{text}");
    }
}

#[test]
fn propagators_that_are_not_known_are_warned_of_one_by_one() {
    assert_eq!(warnings_of(&[("OTEL_PROPAGATORS", "b3,baggage")]), [""; 0]);
    assert_eq!(
        warnings_of(&[("OTEL_PROPAGATORS", "b3,ottrace,zipkin")]),
        ["ottrace", "zipkin"].map(|name| {
            format!(
                "OTEL_PROPAGATORS: {name:?} is not among the headers that wirespan reads \
                 (tracecontext, b3, b3multi, jaeger, xray): it is ignored"
            )
        })
    );
}
