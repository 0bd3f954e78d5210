//! Go: calls of goroutines are linked to the requests that they were made for, in the oldest and
//! the newest Go that could be had, whatever shape a request's work has.

use wirespan_tests::links::go::{Pair, TARGET, grpc_under_daemon};
use wirespan_tests::links::{Load, Row, Target, late_calls, requests};
use wirespan_tests::tls::Certificates;

/// Each request of `shape` makes so many calls.
fn linked(program: &str, settings: &[(&str, &str)], shape: &str, calls: usize) -> Row {
    let pair = Pair::start(program, settings, None);
    let (row, _) = pair.under(&Load::of_a_row(), shape);
    row.assert(
        &format!("{program} {shape} {settings:?}"),
        Some(calls * requests()),
        TARGET,
    );
    row
}

fn http1(program: &str) {
    linked(program, &[], "direct", 2);
    linked(program, &[], "fan", 3);
    linked(program, &[], "nested", 1);
}

#[test]
fn the_oldest_go_over_http1() {
    http1("links-go-oldest");
}

#[test]
fn the_newest_go_over_http1() {
    http1("links-go-newest");
}

#[test]
fn a_program_without_symbols() {
    linked("links-go-oldest-stripped", &[], "fan", 3);
    linked("links-go-newest-stripped", &[], "fan", 3);
}

#[test]
fn fewer_connections_than_requests() {
    linked("links-go-newest", &[("MAX_CONNS", "20")], "fan", 3);
    linked("links-go-oldest", &[("MAX_IDLE", "2")], "direct", 2);
}

/// What is given up may not have been asked at all, so that the number of calls is not known.
#[test]
fn calls_that_are_given_up() {
    for program in ["links-go-oldest", "links-go-newest"] {
        let pair = Pair::start(program, &[("GIVE_UP", "5")], None);
        let (row, _) = pair.under(&Load::of_a_row(), "fan");
        row.assert(&format!("{program} given up"), None, TARGET);
    }
}

#[test]
fn over_http2() {
    linked("links-go-newest", &[("HTTP2", "1")], "fan", 3);
    let pair = Pair::start("links-go-newest", &[("HTTP2", "1")], None);
    let load = Load {
        http2: true,
        ..Load::of_a_row()
    };
    let (row, _) = pair.under(&load, "direct");
    let calls = Some(2 * requests());
    row.assert("links-go-newest, HTTP/2 on both sides", calls, TARGET);
}

#[test]
fn over_tls() {
    let certificates = Certificates::create();
    for program in ["links-go-oldest", "links-go-newest"] {
        for http2 in [false, true] {
            let settings: &[(&str, &str)] = if http2 { &[("HTTP2", "1")] } else { &[] };
            let pair = Pair::start(program, settings, Some(&certificates));
            let load = Load {
                http2,
                ..Load::of_a_row()
            };
            let (row, _) = pair.under(&load, "fan");
            let name = format!("{program} over TLS, HTTP/2: {http2}");
            row.assert(&name, Some(3 * requests()), TARGET);
        }
    }
}

#[test]
fn over_grpc() {
    grpc_under_daemon("direct").assert("grpc-go direct", Some(2 * requests()), TARGET);
    grpc_under_daemon("fan").assert("grpc-go fan", Some(3 * requests()), TARGET);
}

/// The call is made a fifth of a second after the answer.
#[test]
fn calls_that_come_late_point_at_their_request() {
    for (settings, is_part) in [(&[][..], false), (&[("WIRESPAN_LATE_CALLS", "9s")], true)] {
        let pair = Pair::start("links-go-newest", &[], None);
        let (_, finished) = pair.under_with(&Load::of_a_row(), "after", 3, settings);
        let told = late_calls(&finished.spans);
        let expected = match is_part {
            true => (requests(), 0),
            false => (0, requests()),
        };
        println!("links: Go, calls after the answer: {told:?} below, and pointing at it");
        assert_eq!(told, expected);
    }
}

/// Who works for whoever comes is nobody's.
#[test]
fn workers_that_outlive_the_request_that_made_them_abstain() {
    let abstains = Target {
        right: 0.0,
        wrong: TARGET.wrong,
    };
    for program in ["links-go-oldest", "links-go-newest"] {
        for shape in ["pool", "lazy"] {
            let pair = Pair::start(program, &[], None);
            let (row, _) = pair.under(&Load::of_a_row(), shape);
            row.assert(&format!("{program} {shape}"), None, abstains);
        }
    }
}
