//! tokio: calls of tasks are linked to the requests that they were made for, however the program
//! was optimised and whatever shape a request's work has.

use wirespan_tests::links::go::Pair;
use wirespan_tests::links::tokio::{TARGET, grpc_under_daemon};
use wirespan_tests::links::{Load, Row, Target, requests};
use wirespan_tests::tls::Certificates;

/// How the programs were compiled.
const BUILDS: [&str; 3] = ["plain", "thin", "fat"];

/// Each request of `shape` makes so many calls.
fn linked(build: &str, settings: &[(&str, &str)], http2: bool, shape: &str, calls: usize) -> Row {
    let pair = Pair::start(&format!("links-tokio-{build}"), settings, None).followed();
    let load = Load {
        http2,
        ..Load::of_a_row()
    };
    let (row, _) = pair.under(&load, shape);
    row.assert(
        &format!("tokio {build} {shape} {settings:?}, HTTP/2 in front: {http2}"),
        Some(calls * requests()),
        TARGET,
    );
    row
}

#[test]
fn over_http1() {
    for build in BUILDS {
        linked(build, &[], false, "direct", 2);
        linked(build, &[], false, "fan", 3);
        linked(build, &[], false, "join", 3);
    }
    linked("fat", &[], false, "nested", 1);
    linked("plain", &[("CURRENT_THREAD", "1")], false, "fan", 3);
    linked("plain", &[("MAX_IDLE", "2")], false, "fan", 3);
}

#[test]
fn over_http2() {
    for build in BUILDS {
        linked(build, &[("HTTP2", "1")], false, "fan", 3);
        linked(build, &[("HTTP2", "1")], true, "join", 3);
        linked(build, &[], true, "fan", 3);
    }
}

/// Both over TLS (rustls), which chooses HTTP/2 where both ends have it.
#[test]
fn over_tls() {
    let certificates = Certificates::create();
    for build in BUILDS {
        for (client, http2) in [("0", false), ("1", true)] {
            let program = format!("links-tokio-{build}");
            let pair = Pair::start(&program, &[("HTTP2", client)], Some(&certificates));
            let load = Load {
                http2,
                ..Load::of_a_row()
            };
            let (row, _) = pair.under(&load, "fan");
            let name = format!("tokio {build} fan over TLS, HTTP/2: {http2}");
            row.assert(&name, Some(3 * requests()), TARGET);
        }
    }
}

/// What is given up may not have been asked at all, so that the number of calls is not known.
#[test]
fn calls_that_are_given_up() {
    for http2 in ["0", "1"] {
        let settings = [("GIVE_UP", "5"), ("HTTP2", http2)];
        let pair = Pair::start("links-tokio-plain", &settings, None);
        let (row, _) = pair.under(&Load::of_a_row(), "fan");
        row.assert(&format!("tokio given up, HTTP2={http2}"), None, TARGET);
    }
}

#[test]
fn over_grpc() {
    let certificates = Certificates::create();
    for build in BUILDS {
        for certificates in [None, Some(&certificates)] {
            let (row, _) = grpc_under_daemon(build, &[], certificates, "fan");
            let over = certificates.map_or("", |_| " over TLS");
            let name = format!("tonic {build} fan{over}");
            row.assert(&name, Some(3 * requests()), TARGET);
        }
    }
    let (row, _) = grpc_under_daemon("plain", &[], None, "direct");
    row.assert("tonic direct", Some(2 * requests()), TARGET);
    let (row, _) = grpc_under_daemon("plain", &[("GIVE_UP", "5")], None, "join");
    row.assert("tonic join, given up", None, TARGET);
}

/// tokio 1.41 and what was on it then: hyper 1.5, h2 0.4.7, hyper-util 0.1.10, reqwest 0.12,
/// tonic 0.12, tower 0.4 and rustls 0.23.18.
#[test]
fn with_the_versions_of_two_years_ago() {
    let certificates = Certificates::create();
    linked("oldest", &[], false, "fan", 3);
    linked("oldest", &[("HTTP2", "1")], true, "fan", 3);
    for certificates in [None, Some(&certificates)] {
        let (row, _) = grpc_under_daemon("oldest", &[], certificates, "fan");
        let over = certificates.map_or("", |_| " over TLS");
        let name = format!("tonic oldest fan{over}");
        row.assert(&name, Some(3 * requests()), TARGET);
    }
}

/// Who works for whoever comes is nobody's.
#[test]
fn workers_that_outlive_the_request_that_made_them_abstain() {
    let abstains = Target {
        right: 0.0,
        wrong: TARGET.wrong,
    };
    for http2 in ["0", "1"] {
        for shape in ["pool", "lazy"] {
            let pair = Pair::start("links-tokio-plain", &[("HTTP2", http2)], None);
            let (row, _) = pair.under(&Load::of_a_row(), shape);
            row.assert(&format!("tokio {shape}, HTTP2={http2}"), None, abstains);
        }
    }
}
