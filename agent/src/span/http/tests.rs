//! Exchanges by hand, and the attributes that their spans must have. Nothing is parsed from bytes.

use std::sync::Arc;

use wirespan_common::record::Open;
use wirespan_protocols::exchange::{Exchange, Ticket};
use wirespan_protocols::trace_headers::TraceHeaders;
use wirespan_protocols::trace_parent::TraceParent;

use wirespan_protocols::family::Family;

use super::super::{Resource, Span, SpanKind, SpanMaker, Surroundings};
use super::*;
use crate::config::SpanConfig;
use crate::endpoints::{Endpoints, Via};
use crate::trace_context::{Propagation, TraceContext};

mod behind;

/// A connection between port 8080 here and port 40000 there, whichever is the server.
fn tcp() -> Endpoints {
    let mut open = Open {
        connection: 1,
        carrier: 0,
        family: 2,
        local_port: 8080,
        peer_port: 40000,
        local_address: [0; 16],
        peer_address: [0; 16],
        ..Open::default()
    };
    open.local_address[..4].copy_from_slice(&[10, 0, 0, 1]);
    open.peer_address[..4].copy_from_slice(&[10, 0, 0, 2]);
    Endpoints::from_open(&open, b"").expect("a known family")
}

fn unix(path: &str) -> Endpoints {
    Endpoints::Unix {
        path: Some(path.into()),
    }
}

fn request(method: &str, target: &str, host: Option<&str>) -> HttpRequest {
    HttpRequest {
        method: Method::from_token(method),
        target: target.into(),
        version: Version::Http11,
        host: host.map(Into::into),
        user_agent: None,
        forwarded_for: None,
        forwarded_host: None,
        forwarded_scheme: None,
        traces: TraceHeaders::default(),
        trace_state: None,
        body_size: None,
        truncated: false,
        scheme: None,
        call: None,
        completeness: Completeness::Whole,
    }
}

fn response(status: u16) -> HttpResponse {
    HttpResponse {
        status,
        version: Version::Http11,
        body_size: None,
        truncated: false,
        call_status: None,
        completeness: Completeness::Whole,
    }
}

fn exchange(role: Role, request: HttpRequest, response: Option<HttpResponse>) -> Exchange {
    Exchange {
        ticket: Ticket::default(),
        role,
        tid: 5,
        start_ns: 1_000,
        first_response_ns: None,
        end_ns: 3_000,
        outcome: Outcome::Complete,
        family: Family::over_http(
            Http {
                request: Box::new(request),
                response,
            },
            None,
        ),
    }
}

fn make(exchange: Exchange, endpoints: Option<&Endpoints>) -> Span {
    make_with(KnownMethods::default(), exchange, endpoints)
}

fn make_with(methods: KnownMethods, exchange: Exchange, endpoints: Option<&Endpoints>) -> Span {
    let ends = Ends {
        addresses: endpoints,
        ..Ends::default()
    };
    make_between(methods, exchange, ends)
}

fn make_between(methods: KnownMethods, exchange: Exchange, ends: Ends<'_>) -> Span {
    let named = exchange.family.http().map(|http| {
        let propagation = Propagation::new(&SpanConfig::default());
        propagation.named(&http.request.traces)
    });
    let context = TraceContext::new(Some(1)).place(exchange.role, named.unwrap_or_default());
    SpanMaker::new(methods).make(
        exchange,
        context,
        None,
        Surroundings {
            resource: &Arc::new(Resource::default()),
            ends,
            hosts: &mut HostMemo::default(),
            wall_offset_ns: 1_000_000,
        },
    )
}

fn told(span: &Span) -> Vec<String> {
    let mut told: Vec<String> = span
        .attributes
        .iter()
        .map(|(name, value)| match value {
            Value::Int(number) => format!("{name}={number}"),
            Value::Bool(truth) => format!("{name}={truth}"),
            Value::List(texts) => format!("{name}={texts:?}"),
            text => format!("{name}={}", text.as_str().expect("text")),
        })
        .collect();
    told.sort();
    for pair in span.attributes.iter().map(|(name, _)| name) {
        assert!(
            semconv::ATTRIBUTES.iter().any(|(known, _)| known == pair),
            "{pair} is not in the list"
        );
    }
    told
}

/// The values of some attributes, as text, in the order asked for; `-` where there is none.
fn values(span: &Span, names: &[&str]) -> String {
    let told = told(span);
    let value = |name: &&str| {
        let prefix = format!("{name}=");
        let found: Vec<_> = told
            .iter()
            .filter_map(|pair| pair.strip_prefix(&prefix))
            .collect();
        assert!(found.len() < 2, "{name} is told twice");
        found.first().map_or("-".into(), ToString::to_string)
    };
    names.iter().map(value).collect::<Vec<_>>().join(" ")
}

const SERVER: [&str; 2] = [semconv::SERVER_ADDRESS, semconv::SERVER_PORT];
const URL: [&str; 4] = [
    semconv::URL_SCHEME,
    semconv::URL_PATH,
    semconv::URL_QUERY,
    semconv::URL_FULL,
];

#[test]
fn a_server_span_tells_what_the_conventions_ask_for() {
    let request = HttpRequest {
        user_agent: Some("curl/8".into()),
        forwarded_for: Some("203.0.113.9".into()),
        body_size: Some(12),
        ..request("POST", "/a?b=c&sig=x", Some("shop.example:8080"))
    };
    let response = HttpResponse {
        body_size: Some(34),
        ..response(201)
    };
    let span = make(
        exchange(Role::Server, request, Some(response)),
        Some(&tcp()),
    );
    assert_eq!((&*span.name, span.kind), ("POST", SpanKind::Server));
    assert_eq!(span.status, Status::Unset);
    assert_eq!(
        (span.start_unix_ns, span.end_unix_ns),
        (1_001_000, 1_003_000)
    );
    assert_eq!(
        told(&span),
        [
            "client.address=203.0.113.9",
            "http.request.body.size=12",
            "http.request.method=POST",
            "http.response.body.size=34",
            "http.response.status_code=201",
            "network.peer.address=10.0.0.2",
            "network.peer.port=40000",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=8080",
            "url.path=/a",
            "url.query=b=c&sig=REDACTED",
            "url.scheme=http",
            "user_agent.original=curl/8",
        ]
    );
}

#[test]
fn a_client_span_tells_what_the_conventions_ask_for() {
    let request = request("GET", "/a?b=c", Some("shop.example:40000"));
    let span = make(
        exchange(Role::Client, request, Some(response(200))),
        Some(&tcp()),
    );
    assert_eq!((&*span.name, span.kind), ("GET", SpanKind::Client));
    assert_eq!(
        told(&span),
        [
            "http.request.method=GET",
            "http.response.status_code=200",
            "network.peer.address=10.0.0.2",
            "network.peer.port=40000",
            "network.protocol.version=1.1",
            "server.address=shop.example",
            "server.port=40000",
            "url.full=http://shop.example:40000/a?b=c",
        ]
    );
}

#[test]
fn the_server_is_who_the_request_names_else_the_address() {
    for (host, as_server, as_client) in [
        (Some("h:1"), "h 1", "h 1"),
        (Some("h"), "h 8080", "h 40000"),
        (Some("[::1]:9"), "::1 9", "::1 9"),
        (Some("not a host"), "10.0.0.1 8080", "10.0.0.2 40000"),
        (Some("u:p@h"), "10.0.0.1 8080", "10.0.0.2 40000"),
        (None, "10.0.0.1 8080", "10.0.0.2 40000"),
    ] {
        for (role, expected) in [(Role::Server, as_server), (Role::Client, as_client)] {
            let span = make(
                exchange(role, request("GET", "/", host), Some(response(200))),
                Some(&tcp()),
            );
            assert_eq!(values(&span, &SERVER), expected, "{role:?} {host:?}");
        }
    }
}

#[test]
fn every_form_of_target_has_its_url() {
    // method, target, server's url parts, client's full URL, server's address and port
    for (method, target, parts, full, server) in [
        ("GET", "/", "http / - -", "- - - http://h/", "h 8080"),
        (
            "GET",
            "http://bob:pw@other/x?Signature=1",
            "http /x Signature=REDACTED -",
            "- - - http://REDACTED:REDACTED@other/x?Signature=REDACTED",
            "other 80",
        ),
        (
            "GET",
            "HTTPS://other",
            "https / - -",
            "- - - HTTPS://other/",
            "other 443",
        ),
        (
            "GET",
            "ftp://other:21/x",
            "ftp /x - -",
            "- - - ftp://other:21/x",
            "other 21",
        ),
        ("OPTIONS", "*", "http * - -", "- - - http://h", "h 8080"),
        (
            "CONNECT",
            "other:443",
            "http  - -",
            "- - - http://other:443",
            "other 443",
        ),
    ] {
        let make = |role| {
            make(
                exchange(
                    role,
                    request(method, target, Some("h")),
                    Some(response(200)),
                ),
                Some(&tcp()),
            )
        };
        let span = make(Role::Server);
        assert_eq!(values(&span, &URL), parts, "{method} {target}");
        assert_eq!(values(&span, &SERVER), server, "{method} {target}");
        assert_eq!(values(&make(Role::Client), &URL), full, "{method} {target}");
    }
}

#[test]
fn a_url_without_host_is_built_from_the_address_or_not_at_all() {
    let client = |endpoints: Option<&Endpoints>| {
        let exchange = exchange(
            Role::Client,
            request("GET", "/a?b", None),
            Some(response(200)),
        );
        values(&make(exchange, endpoints), &URL)
    };
    assert_eq!(client(Some(&tcp())), "- - - http://10.0.0.2:40000/a?b");
    assert_eq!(client(Some(&unix("/run/x"))), "- /a b -");
    assert_eq!(client(None), "- /a b -");
}

#[test]
fn a_unix_socket_is_told_by_its_name() {
    let names = [
        semconv::SERVER_ADDRESS,
        semconv::SERVER_PORT,
        semconv::NETWORK_PEER_ADDRESS,
        semconv::NETWORK_PEER_PORT,
        semconv::NETWORK_TRANSPORT,
        semconv::CLIENT_ADDRESS,
    ];
    let tell = |role, host| {
        let exchange = exchange(role, request("GET", "/", host), Some(response(200)));
        values(&make(exchange, Some(&unix("/run/x"))), &names)
    };
    assert_eq!(tell(Role::Server, None), "/run/x - - - unix -");
    assert_eq!(tell(Role::Client, None), "/run/x - /run/x - unix -");
    assert_eq!(
        tell(Role::Client, Some("docker")),
        "docker - /run/x - unix -"
    );
}

#[test]
fn without_addresses_only_what_was_said_is_told() {
    let exchange = exchange(
        Role::Server,
        request("GET", "/", Some("h")),
        Some(response(200)),
    );
    assert_eq!(
        told(&make(exchange, None)),
        [
            "http.request.method=GET",
            "http.response.status_code=200",
            "network.protocol.version=1.1",
            "server.address=h",
            "url.path=/",
            "url.scheme=http",
        ]
    );
}

#[test]
fn a_method_that_is_not_known_does_not_name_the_span() {
    let names = [
        semconv::HTTP_REQUEST_METHOD,
        semconv::HTTP_REQUEST_METHOD_ORIGINAL,
    ];
    let exchange = |method| {
        exchange(
            Role::Server,
            request(method, "/", None),
            Some(response(200)),
        )
    };
    let span = make(exchange("BREW"), None);
    assert_eq!(
        (&*span.name, &*values(&span, &names)),
        ("HTTP", "_OTHER BREW")
    );
    let span = make(exchange("QUERY"), None);
    assert_eq!((&*span.name, &*values(&span, &names)), ("QUERY", "QUERY -"));
    let only = || KnownMethods::only(["BREW"]);
    let span = make_with(only(), exchange("BREW"), None);
    assert_eq!((&*span.name, &*values(&span, &names)), ("BREW", "BREW -"));
    let span = make_with(only(), exchange("GET"), None);
    assert_eq!(
        (&*span.name, &*values(&span, &names)),
        ("HTTP", "_OTHER GET")
    );
}

#[test]
fn a_failure_is_judged_by_role_and_outcome() {
    use Outcome::*;
    // status, outcome, then error.type and whether the span's status is an error: server, client
    for (status, outcome, server, client) in [
        (Some(200), Complete, ("-", false), ("-", false)),
        (Some(399), Complete, ("-", false), ("-", false)),
        (Some(404), Complete, ("-", false), ("404", true)),
        (Some(503), Complete, ("503", true), ("503", true)),
        (Some(999), Complete, ("999", true), ("999", true)),
        (Some(101), Complete, ("-", false), ("-", false)),
        (Some(200), EndInferred, ("-", false), ("-", false)),
        (
            Some(200),
            Closed,
            ("connection_closed", true),
            ("connection_closed", true),
        ),
        (Some(200), Left, ("-", false), ("-", false)),
        (Some(500), Left, ("500", true), ("500", true)),
        (Some(500), Reset, ("500", true), ("500", true)),
        (
            None,
            Closed,
            ("connection_closed", true),
            ("connection_closed", true),
        ),
        (
            None,
            Reset,
            ("connection_reset", true),
            ("connection_reset", true),
        ),
        (
            None,
            ProcessExited,
            ("process_exited", true),
            ("process_exited", true),
        ),
        (
            None,
            NotObserved,
            ("response_not_observed", false),
            ("response_not_observed", false),
        ),
        (
            None,
            Evicted,
            ("observation_ended", false),
            ("observation_ended", false),
        ),
        (
            None,
            Complete,
            ("response_not_observed", false),
            ("response_not_observed", false),
        ),
    ] {
        for (role, (error, failed)) in [(Role::Server, server), (Role::Client, client)] {
            let mut exchange = exchange(role, request("GET", "/", None), status.map(response));
            exchange.outcome = outcome;
            let span = make(exchange, None);
            let case = format!("{role:?} {status:?} {outcome:?}");
            assert_eq!(values(&span, &[semconv::ERROR_TYPE]), error, "{case}");
            assert_eq!(span.status == Status::Error, failed, "{case}");
            assert_eq!(
                values(&span, &[semconv::HTTP_RESPONSE_STATUS_CODE]),
                status.map_or("-".into(), |status| status.to_string()),
                "{case}"
            );
        }
    }
}

#[test]
fn what_was_not_seen_whole_is_marked() {
    let names = [
        semconv::WIRESPAN_CAPTURE_TRUNCATED,
        semconv::WIRESPAN_END_INFERRED,
    ];
    let whole = exchange(Role::Server, request("GET", "/", None), Some(response(200)));
    assert_eq!(values(&make(whole.clone(), None), &names), "- -");
    let inferred = Exchange {
        outcome: Outcome::EndInferred,
        ..whole
    };
    assert_eq!(values(&make(inferred, None), &names), "- true");
    let mut cut_request = request("GET", "/", None);
    cut_request.truncated = true;
    let cut_request = exchange(Role::Server, cut_request, Some(response(200)));
    assert_eq!(values(&make(cut_request, None), &names), "true -");
    let mut cut_response = response(200);
    cut_response.truncated = true;
    let cut_response = exchange(Role::Server, request("GET", "/", None), Some(cut_response));
    assert_eq!(values(&make(cut_response, None), &names), "true -");
}

#[test]
fn an_incoming_trace_is_continued() {
    let request = HttpRequest {
        traces: TraceHeaders::from(TraceParent {
            trace_id: [3; 16],
            parent_id: [4; 8],
            flags: 1,
            is_deferred: false,
        }),
        trace_state: Some("a=b".into()),
        ..request("GET", "/", None)
    };
    let span = make(exchange(Role::Server, request, Some(response(200))), None);
    assert_eq!(span.trace_id, [3; 16]);
    assert_eq!(span.parent_span_id, Some([4; 8]));
    assert!(span.parent_is_remote);
    assert_eq!(span.trace_state.as_deref(), Some("a=b"));
}

#[test]
fn times_that_leave_the_range_stay_at_its_ends() {
    let mut exchange = exchange(Role::Server, request("GET", "/", None), Some(response(200)));
    exchange.start_ns = u64::MAX;
    exchange.end_ns = 0;
    let span = make(exchange, None);
    assert_eq!((span.start_unix_ns, span.end_unix_ns), (u64::MAX, u64::MAX));
}

#[test]
fn what_compressed_fields_left_open_is_marked_and_not_replaced() {
    let names = [
        "url.path",
        "http.response.status_code",
        "wirespan.http2.headers_incomplete",
        "wirespan.http2.headers_inferred",
    ];
    let incomplete = HttpRequest {
        completeness: Completeness::Incomplete,
        ..request("GET", "", None)
    };
    let whole = exchange(Role::Server, incomplete, Some(response(200)));
    assert_eq!(values(&make(whole, None), &names), "- 200 true -");
    let nameless = HttpResponse {
        completeness: Completeness::Incomplete,
        ..response(0)
    };
    let whole = exchange(Role::Server, request("GET", "/a", None), Some(nameless));
    assert_eq!(values(&make(whole, None), &names), "/a - true -");
    let inferred = HttpRequest {
        completeness: Completeness::Inferred,
        ..request("GET", "/a", None)
    };
    let whole = exchange(Role::Server, inferred, Some(response(200)));
    assert_eq!(values(&make(whole, None), &names), "/a 200 - true");
}

#[test]
fn a_stream_that_was_reset_says_how() {
    for (outcome, wanted) in [
        (Outcome::Aborted(8), "http2_cancel"),
        (Outcome::Aborted(99), "http2_internal_error"),
        (Outcome::Refused, "going_away"),
    ] {
        let mut exchange = exchange(Role::Client, request("GET", "/", None), None);
        exchange.outcome = outcome;
        let span = make(exchange, None);
        assert_eq!(values(&span, &["error.type"]), wanted);
        assert_eq!(span.status, Status::Error);
    }
}
