//! Go: calls of goroutines are linked to the requests that they were made for, in the oldest and
//! the newest Go that could be had, whatever shape a request's work has. Versions between are in
//! `links_go_versions.rs`.

use std::time::Duration;

use wirespan_tests::links::go::{
    ABSTAINS, Pair, TARGET, given_up, grpc_under_daemon, linked, linked_over_tls, workers_abstain,
};
use wirespan_tests::links::{Load, late_calls, requests};
use wirespan_tests::tls::Certificates;

/// The oldest and the newest.
const BOTH: [&str; 2] = ["links-go-oldest", "links-go-newest"];

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

/// Goroutines of one request wait for those of others.
#[test]
fn fewer_goroutines_at_a_time_than_call() {
    linked("links-go-newest", &[], "limited", 3);
}

/// Connections that the pool's own goroutine opens, for whoever comes, and contexts that others
/// watch.
#[test]
fn queries_of_database_sql() {
    for program in BOTH {
        linked(program, &[], "sql", 2);
    }
}

/// A hundred thousand goroutines that are alive at a time are remembered; of twice as many some are
/// not, and then their calls have no parent rather than another one's.
#[test]
fn very_many_goroutines_at_a_time() {
    const CALLS: usize = 4;
    let pair = Pair::start("links-go-newest", &[], None);
    for at_once in [1, 2] {
        let load = Load {
            requests: 10,
            at_once,
            ..Load::of_a_row()
        };
        // They do nothing but begin and end, which would cost such a process its probes.
        let follows = [("WIRESPAN_FOLLOW_CPU_MAX", "100")];
        let (row, finished) = pair.under_with(&load, "many", 2, &follows);
        println!("links: many goroutines, {at_once} requests at a time: {row}");
        let summary = finished.summary();
        assert_eq!(row.calls.wrong + row.joins.wrong, 0, "{row}\n{summary}");
        let all = CALLS * load.requests;
        assert!(at_once > 1 || row.calls.right == all, "{row}\n{summary}");
        assert!(row.calls.right + row.calls.none == all, "{row}\n{summary}");
    }
}

#[test]
fn calls_and_requests_that_are_given_up() {
    for program in BOTH {
        given_up(program);
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
    for program in BOTH {
        for http2 in [false, true] {
            linked_over_tls(program, &certificates, http2);
        }
    }
}

/// The oldest grpc-go and the newest, and that without symbols.
#[test]
fn over_grpc() {
    for program in ["go-grpc", "go-grpc-newest", "go-grpc-newest-stripped"] {
        for (shape, calls) in [("direct", 2), ("fan", 3), ("nested", 1)] {
            let row = grpc_under_daemon(program, &[], shape);
            let calls = Some(calls * requests());
            row.assert(&format!("{program} {shape}"), calls, TARGET);
        }
    }
}

#[test]
fn calls_of_grpc_that_are_given_up() {
    for program in ["go-grpc", "go-grpc-newest"] {
        let row = grpc_under_daemon(program, &[("GIVE_UP", "5")], "fan");
        row.assert(&format!("{program}, calls given up"), None, TARGET);
    }
}

#[test]
fn workers_that_outlive_the_request_that_made_them_abstain() {
    for program in BOTH {
        workers_abstain(program);
    }
    for program in ["go-grpc", "go-grpc-newest"] {
        let row = grpc_under_daemon(program, &[], "pool");
        row.assert(&format!("{program} pool"), None, ABSTAINS);
    }
}

/// The call is made a fifth of a second after the handler is done. On a machine that is busy with
/// other things the answer may leave so much later that it is no late call.
#[test]
fn calls_that_come_late_point_at_their_request() {
    let most = requests() * 99 / 100..=requests();
    for (settings, kept, expected) in [
        (&[][..], Duration::from_millis(100), most),
        (
            &[("WIRESPAN_LATE_CALLS", "9s")],
            Duration::from_secs(9),
            0..=0,
        ),
    ] {
        let pair = Pair::start("links-go-newest", &[], None);
        let (_, finished) = pair.under_with(&Load::of_a_row(), "after", 3, settings);
        let (below, pointing) = late_calls(&finished.spans, kept);
        println!("links: Go, calls after the answer: {below} below, {pointing} pointing at it");
        assert_eq!(below + pointing, requests());
        assert!(expected.contains(&pointing), "{expected:?}");
    }
}
