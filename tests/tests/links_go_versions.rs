//! Go: the same as in `links_go.rs` in every version between, which `cargo xtask setup soak` builds
//! programs with. Soaks of links run these; a test for each shape, so that one that fails hides no
//! other.

use wirespan_tests::links::go::{given_up, linked, linked_over_tls, workers_abstain};
use wirespan_tests::tls::Certificates;

/// As `xtask/src/setup/go.rs` names them.
const BETWEEN: [&str; 6] = ["1.21", "1.22", "1.23", "1.24", "1.25", "1.26"];

fn each(work: impl Fn(&str)) {
    for version in BETWEEN {
        work(&format!("links-go-{version}"));
    }
}

#[test]
#[ignore = "a soak"]
fn over_http1() {
    each(|program| {
        linked(program, &[], "direct", 2);
        linked(program, &[], "nested", 1);
        linked(&format!("{program}-stripped"), &[], "fan", 3);
    });
}

#[test]
#[ignore = "a soak"]
fn over_tls() {
    let certificates = Certificates::create();
    each(|program| {
        for http2 in [false, true] {
            linked_over_tls(program, &certificates, http2);
        }
    });
}

#[test]
#[ignore = "a soak"]
fn fewer_than_would_call() {
    each(|program| {
        linked(program, &[("MAX_CONNS", "20")], "fan", 3);
        linked(program, &[], "limited", 3);
        linked(program, &[], "sql", 2);
    });
}

#[test]
#[ignore = "a soak"]
fn calls_and_requests_that_are_given_up() {
    each(given_up);
}

#[test]
#[ignore = "a soak"]
fn workers_abstain_in_each_version() {
    each(workers_abstain);
}
