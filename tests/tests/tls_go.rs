//! Go's crypto/tls, in the oldest and the newest Go that could be had, with symbols, stripped, and
//! as a static position-independent executable.

use wirespan_tests::tls::{self, Certificates, called, served};

fn as_a_server(name: &str) {
    let finished = served(&mut tls::go_server(&Certificates::create(), name));
    let language = &finished.spans[0].resource["telemetry.sdk.language"];
    assert_eq!(language, "go");
}

fn as_a_client(name: &str) {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let _ = called(tls::go_client(&certificates, name), &server);
}

#[test]
fn the_oldest_go_is_told_as_it_served() {
    as_a_server("go-oldest");
}

#[test]
fn the_oldest_go_is_told_as_it_asked() {
    as_a_client("go-oldest");
}

#[test]
fn the_oldest_go_without_symbols_is_told_as_it_served() {
    as_a_server("go-oldest-stripped");
}

#[test]
fn the_oldest_go_without_symbols_is_told_as_it_asked() {
    as_a_client("go-oldest-stripped");
}

#[test]
fn the_oldest_go_in_a_static_pie_is_told_as_it_served() {
    as_a_server("go-oldest-static-pie");
}

#[test]
fn the_oldest_go_in_a_static_pie_is_told_as_it_asked() {
    as_a_client("go-oldest-static-pie");
}

#[test]
fn the_newest_go_is_told_as_it_served() {
    as_a_server("go-newest");
}

#[test]
fn the_newest_go_is_told_as_it_asked() {
    as_a_client("go-newest");
}

#[test]
fn the_newest_go_without_symbols_is_told_as_it_served() {
    as_a_server("go-newest-stripped");
}

#[test]
fn the_newest_go_without_symbols_is_told_as_it_asked() {
    as_a_client("go-newest-stripped");
}

#[test]
fn the_newest_go_in_a_static_pie_is_told_as_it_served() {
    as_a_server("go-newest-static-pie");
}

#[test]
fn the_newest_go_in_a_static_pie_is_told_as_it_asked() {
    as_a_client("go-newest-static-pie");
}
