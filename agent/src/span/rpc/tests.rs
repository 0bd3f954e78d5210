//! Calls as spans: status, errors by role, counts, events.

use super::super::*;
use super::*;
use wirespan_protocols::exchange::{Exchange, Ticket};
use wirespan_protocols::family::http::{Http, HttpRequest, Method, Version};
use wirespan_protocols::trace_headers::TraceHeaders;

use crate::trace_context::{Named, TraceContext};

const SECOND: u64 = 1_000_000_000;

fn exchange(role: Role, response: Option<HttpResponse>, outcome: Outcome) -> Exchange {
    Exchange {
        ticket: Ticket::default(),
        role,
        tid: 1,
        start_ns: 0,
        first_response_ns: None,
        end_ns: 2 * SECOND,
        outcome,
        family: Family::over_http(
            Http {
                request: Box::new(HttpRequest {
                    method: Method::Post,
                    target: "/shop.v1.Cart/Add".into(),
                    version: Version::Http2,
                    host: Some("cart:50051".into()),
                    user_agent: None,
                    forwarded_for: None,
                    forwarded_host: None,
                    forwarded_scheme: None,
                    traces: TraceHeaders::default(),
                    trace_state: None,
                    body_size: None,
                    truncated: false,
                    scheme: Some("http"),
                    call: Some(Call {
                        system: CallSystem::Grpc,
                        timeout_ns: None,
                        may_time_out: false,
                    }),
                    completeness: Completeness::Whole,
                }),
                response,
            },
            None,
        ),
    }
}

fn rpc(exchange: &mut Exchange) -> &mut Rpc {
    match &mut exchange.family {
        Family::Rpc(rpc) => rpc,
        other => panic!("{other:?}"),
    }
}

fn response(status: u16, call_status: Option<u32>) -> HttpResponse {
    HttpResponse {
        status,
        version: Version::Http2,
        body_size: None,
        truncated: false,
        call_status,
        completeness: Completeness::Whole,
    }
}

fn make(exchange: Exchange) -> Span {
    let context = TraceContext::new(Some(1)).place(exchange.role, Named::default());
    SpanMaker::new(KnownMethods::default()).make(
        exchange,
        context,
        None,
        Surroundings {
            resource: &Arc::default(),
            ends: Ends::default(),
            hosts: &mut HostMemo::default(),
            wall_offset_ns: 1000,
        },
    )
}

fn text<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let (_, value) = span.attributes.iter().find(|(key, _)| *key == name)?;
    value.as_str()
}

#[test]
fn a_call_is_named_after_its_method() {
    let span = make(exchange(
        Role::Client,
        Some(response(200, Some(0))),
        Outcome::Complete,
    ));
    assert_eq!(span.name, "shop.v1.Cart/Add");
    assert_eq!(text(&span, "rpc.method"), Some("shop.v1.Cart/Add"));
    assert_eq!(text(&span, "rpc.system.name"), Some("grpc"));
    assert_eq!(text(&span, "rpc.status_code"), Some("OK"));
    assert_eq!(text(&span, "server.address"), Some("cart"));
    assert_eq!(text(&span, "http.request.method"), None);
    assert_eq!(text(&span, "error.type"), None);
    assert_eq!(span.status, Status::Unset);
}

#[test]
fn which_codes_are_errors_depends_on_the_side() {
    for (code, name, server, client) in [
        (0, "OK", Status::Unset, Status::Unset),
        (5, "NOT_FOUND", Status::Unset, Status::Error),
        (1, "CANCELLED", Status::Unset, Status::Error),
        (4, "DEADLINE_EXCEEDED", Status::Error, Status::Error),
        (13, "INTERNAL", Status::Error, Status::Error),
    ] {
        for (role, wanted) in [(Role::Server, server), (Role::Client, client)] {
            let answered = Some(response(200, Some(code)));
            let span = make(exchange(role, answered, Outcome::Complete));
            assert_eq!(span.status, wanted, "{name} {role:?}");
            assert_eq!(text(&span, "rpc.status_code"), Some(name));
            let is_error = wanted == Status::Error;
            assert_eq!(text(&span, "error.type"), is_error.then_some(name));
        }
    }
}

#[test]
fn a_status_that_nobody_sent_is_what_a_client_makes_of_it() {
    for (status, outcome, wanted) in [
        (None, Outcome::Aborted(8), Some("CANCELLED")),
        (None, Outcome::Aborted(7), Some("UNAVAILABLE")),
        (Some(200), Outcome::Aborted(11), Some("RESOURCE_EXHAUSTED")),
        (Some(404), Outcome::Complete, Some("UNIMPLEMENTED")),
        (Some(503), Outcome::Complete, Some("UNAVAILABLE")),
        (Some(200), Outcome::Complete, Some("UNKNOWN")),
        (Some(200), Outcome::NotObserved, None),
        (None, Outcome::Closed, None),
    ] {
        let answered = status.map(|status| response(status, None));
        let span = make(exchange(Role::Client, answered, outcome));
        assert_eq!(
            text(&span, "rpc.status_code"),
            wanted,
            "{status:?} {outcome:?}"
        );
    }
}

#[test]
fn a_cancelled_call_whose_time_was_over_exceeded_its_deadline() {
    let waited_ns = {
        let exchange = exchange(Role::Client, None, Outcome::Aborted(8));
        exchange.end_ns - exchange.start_ns
    };
    let rows = [
        (waited_ns, "DEADLINE_EXCEEDED"),
        // An earlier timeout said again, and rounded up.
        (waited_ns + waited_ns * 4 / 100, "DEADLINE_EXCEEDED"),
        (waited_ns * 3 / 2, "CANCELLED"),
    ];
    for (timeout_ns, wanted) in rows {
        let mut exchange = exchange(Role::Client, None, Outcome::Aborted(8));
        rpc(&mut exchange).call.timeout_ns = Some(timeout_ns);
        assert_eq!(text(&make(exchange), "rpc.status_code"), Some(wanted));
    }
}

#[test]
fn a_status_that_a_server_sends_when_the_time_is_over_is_the_servers() {
    for (code, name) in [(1, "CANCELLED"), (4, "DEADLINE_EXCEEDED"), (0, "OK")] {
        let answered = Some(response(200, Some(code)));
        let mut exchange = exchange(Role::Client, answered, Outcome::Complete);
        let waited_ns = exchange.end_ns - exchange.start_ns;
        rpc(&mut exchange).call.timeout_ns = Some(waited_ns);
        assert_eq!(text(&make(exchange), "rpc.status_code"), Some(name));
    }
}

#[test]
fn messages_are_counted_where_they_could_be_and_make_events() {
    let mut exchange = exchange(
        Role::Server,
        Some(response(200, Some(0))),
        Outcome::Complete,
    );
    rpc(&mut exchange).messages = Some(Box::new(Messages {
        requests: Flown {
            count: Some(1),
            first_ns: Some(5),
            last_ns: Some(5),
        },
        responses: Flown {
            count: None,
            first_ns: Some(7),
            last_ns: Some(9),
        },
    }));
    let span = make(exchange);
    let find = |name: &str| span.attributes.iter().find(|(key, _)| *key == name);
    let counted = find("wirespan.rpc.request.messages");
    assert_eq!(counted.map(|(_, value)| value), Some(&Value::Int(1)));
    assert_eq!(find("wirespan.rpc.response.messages"), None);
    let told: Vec<_> = span
        .events
        .iter()
        .map(|event| (event.name, event.unix_ns))
        .collect();
    assert_eq!(
        told,
        [
            ("wirespan.rpc.request.first_message", 1005),
            ("wirespan.rpc.request.last_message", 1005),
            ("wirespan.rpc.response.first_message", 1007),
            ("wirespan.rpc.response.last_message", 1009),
        ]
    );
}

#[test]
fn a_method_that_was_not_decoded_is_not_invented() {
    let mut exchange = exchange(
        Role::Server,
        Some(response(200, Some(0))),
        Outcome::Complete,
    );
    let request = &mut rpc(&mut exchange).http.request;
    request.target = "".into();
    request.completeness = Completeness::Incomplete;
    let span = make(exchange);
    assert_eq!(span.name, "grpc");
    assert_eq!(text(&span, "rpc.method"), None);
}
