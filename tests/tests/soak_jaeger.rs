//! A real Jaeger gets the shop's spans over OTLP, and tells them as traces of the same shape, and
//! as a graph of who calls whom. It is no test for every run for the sake of its set-up.

use std::collections::BTreeSet;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::jaeger::Jaeger;
use wirespan_tests::shop::{Call, SERVICES, Shop, Sight};
use wirespan_tests::spans::{Kind, Seen};

/// Before those that count; see the test of the shop.
const FIRST: usize = 100;
const ORDERS: usize = 200;

fn service(span: &Seen) -> &str {
    &span.resource["service.name"]
}

#[test]
#[ignore = "a soak"]
fn jaeger_shows_each_order_as_it_was_served() {
    let jaeger = Jaeger::start();
    let shop = Shop::open();
    shop.order(1, FIRST);
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &shop.ports()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &jaeger.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
    daemon.wait_until_following();
    shop.order(2, FIRST);
    shop.order(3, ORDERS);
    let finished = daemon.stop();

    // What was printed beside says which traces there are.
    let ids: BTreeSet<_> = finished
        .spans
        .iter()
        .map(|it| it.trace_id.as_str())
        .collect();
    let told: Vec<_> = ids.iter().flat_map(|id| jaeger.trace(id)).collect();
    let placed = |spans: &[Seen]| -> BTreeSet<[String; 4]> {
        let place = |it: &Seen| {
            let service = service(it).to_owned();
            let [trace, span, parent] = [&it.trace_id, &it.span_id, &it.parent_span_id];
            [trace.clone(), span.clone(), parent.clone(), service]
        };
        spans.iter().map(place).collect()
    };
    let (at_jaeger, made) = (placed(&told), placed(&finished.spans));
    assert_eq!(at_jaeger.len(), told.len(), "no span is told twice");
    assert!(
        at_jaeger == made,
        "{} spans at Jaeger, {} made",
        at_jaeger.len(),
        made.len()
    );
    Sight::of(&told, 3).assert(ORDERS);

    let mut names: Vec<_> = SERVICES.iter().map(|it| it.name.to_owned()).collect();
    names.sort();
    assert_eq!(jaeger.services(), names);
    let edges = jaeger.dependencies();
    println!("jaeger: {edges:#?}");
    let between: BTreeSet<_> = edges
        .iter()
        .filter(|edge| edge.parent != edge.child)
        .map(|edge| (edge.parent.as_str(), edge.child.as_str()))
        .collect();
    let expected = SERVICES.iter().flat_map(|service| {
        service.calls.iter().map(|call| match call {
            Call::To(name) => (service.name, *name),
            Call::Redis => (service.name, "redis-server"),
        })
    });
    assert_eq!(between, expected.collect());
    let orders = FIRST + ORDERS;
    let served = |name: &str| {
        let spans = finished.spans.iter();
        spans
            .filter(|it| it.kind == Kind::Server && service(it) == name)
            .count()
    };
    for edge in edges.iter().filter(|edge| edge.parent != edge.child) {
        assert!(edge.calls as usize <= served(&edge.child), "{edge:?}");
        assert!(edge.calls as usize >= orders * 99 / 100, "{edge:?}");
    }
}
