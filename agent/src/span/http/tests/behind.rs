//! Who is behind the ends of a connection: what proxies note, what relays say, where tunnels lead.

use super::*;

const WHERE: [&str; 5] = [
    semconv::CLIENT_ADDRESS,
    semconv::CLIENT_PORT,
    semconv::SERVER_ADDRESS,
    semconv::SERVER_PORT,
    semconv::URL_SCHEME,
];

/// A server's request behind a proxy that noted these: client, host, scheme.
fn noted(client: &str, host: &str, scheme: &'static str) -> HttpRequest {
    let text = |text: &str| (!text.is_empty()).then(|| text.into());
    HttpRequest {
        forwarded_for: text(client),
        forwarded_host: text(host),
        forwarded_scheme: (!scheme.is_empty()).then_some(scheme),
        ..request("GET", "/", Some("inner:8080"))
    }
}

fn tell(role: Role, request: HttpRequest, ends: Ends<'_>) -> Span {
    let exchange = exchange(role, request, Some(response(200)));
    make_between(KnownMethods::default(), exchange, ends)
}

#[test]
fn what_proxies_noted_comes_before_what_the_connection_shows() {
    let relayed = Via {
        client: Some(("198.51.100.7".into(), 49153)),
        ..Via::default()
    };
    // Noted by proxies: client, host, scheme; then whether a relay names the client, whether the
    // connection is encrypted, and what is told.
    for (client, host, scheme, is_relayed, is_encrypted, wanted) in [
        ("", "", "", false, false, "10.0.0.2 - inner 8080 http"),
        ("", "", "", false, true, "10.0.0.2 - inner 8080 https"),
        (
            "",
            "",
            "",
            true,
            false,
            "198.51.100.7 49153 inner 8080 http",
        ),
        (
            "203.0.113.9",
            "",
            "",
            false,
            false,
            "203.0.113.9 - inner 8080 http",
        ),
        (
            "203.0.113.9",
            "",
            "",
            true,
            false,
            "203.0.113.9 - inner 8080 http",
        ),
        ("", "", "https", false, false, "10.0.0.2 - inner 8080 https"),
        ("", "", "http", false, true, "10.0.0.2 - inner 8080 http"),
        ("", "", "wss", false, false, "10.0.0.2 - inner 8080 wss"),
        (
            "",
            "shop.example:8443",
            "",
            false,
            false,
            "10.0.0.2 - shop.example 8443 http",
        ),
        (
            "",
            "shop.example",
            "https",
            false,
            false,
            "10.0.0.2 - shop.example 443 https",
        ),
        (
            "",
            "shop.example",
            "http",
            false,
            true,
            "10.0.0.2 - shop.example 80 http",
        ),
        (
            "",
            "shop.example",
            "",
            false,
            false,
            "10.0.0.2 - shop.example - http",
        ),
        (
            "",
            "[2001:db8::1]:1",
            "",
            false,
            false,
            "10.0.0.2 - 2001:db8::1 1 http",
        ),
        (
            "",
            "no host",
            "https",
            false,
            false,
            "10.0.0.2 - inner 8080 https",
        ),
    ] {
        let tcp = tcp();
        let ends = Ends {
            addresses: Some(&tcp),
            is_encrypted,
            via: is_relayed.then_some(&relayed),
            ..Ends::default()
        };
        let span = tell(Role::Server, noted(client, host, scheme), ends);
        let place = format!("{client} {host} {scheme} {is_relayed} {is_encrypted}");
        assert_eq!(values(&span, &WHERE), wanted, "{place}");
        let peer = [semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT];
        assert_eq!(values(&span, &peer), "10.0.0.2 40000", "{place}");
    }
}

#[test]
fn a_client_speaks_to_whom_it_speaks() {
    let tcp = tcp();
    let via = Via {
        client: Some(("198.51.100.7".into(), 49153)),
        ..Via::default()
    };
    let ends = Ends {
        addresses: Some(&tcp),
        via: Some(&via),
        ..Ends::default()
    };
    let span = tell(
        Role::Client,
        noted("203.0.113.9", "shop.example", "https"),
        ends,
    );
    assert_eq!(values(&span, &WHERE), "- - inner 8080 -");
    assert_eq!(values(&span, &URL), "- - - http://inner:8080/");
}

#[test]
fn a_tunnel_leads_to_another_server_than_the_proxy() {
    let tcp = tcp();
    let mut via = Via::default();
    via.tunnel("origin.example:8081");
    for (host, server, full) in [
        (Some("h:1"), "h 1", "http://h:1/"),
        (Some("h"), "h 8081", "http://h/"),
        (None, "origin.example 8081", "http://origin.example:8081/"),
    ] {
        let ends = Ends {
            addresses: Some(&tcp),
            via: Some(&via),
            ..Ends::default()
        };
        let client = tell(Role::Client, request("GET", "/", host), ends);
        assert_eq!(values(&client, &SERVER), server, "{host:?}");
        assert_eq!(values(&client, &[semconv::URL_FULL]), full, "{host:?}");
        let peer = [semconv::NETWORK_PEER_ADDRESS, semconv::NETWORK_PEER_PORT];
        assert_eq!(values(&client, &peer), "10.0.0.2 40000");
        let span = tell(Role::Server, request("GET", "/", host), ends);
        assert_eq!(values(&span, &SERVER), server, "{host:?}");
    }
}

#[test]
fn what_could_not_be_read_has_an_answer_and_no_path() {
    let exchange = exchange(Role::Server, HttpRequest::malformed(), Some(response(400)));
    let span = make(exchange, None);
    assert_eq!((&*span.name, span.status), ("HTTP", Status::Unset));
    assert_eq!(
        told(&span),
        [
            "http.request.method=_OTHER",
            "http.response.status_code=400",
            "url.scheme=http",
        ]
    );
}
