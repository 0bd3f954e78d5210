//! gRPC over TLS: the same calls as in the clear, where the library's own calls can be read, and
//! a word about it where they can't.

use wirespan_tests::grpc::Runtime;
use wirespan_tests::grpc::pair::Pair;
use wirespan_tests::tls::Certificates;

fn told_over_tls(server: Runtime, client: Runtime) {
    let certificates = Certificates::create();
    Pair::over_tls(server, client, &certificates).tell_shapes_and_errors();
}

#[test]
fn grpc_js_over_openssl_is_told_as_it_saw_it() {
    told_over_tls(Runtime::Node, Runtime::Node);
}

#[test]
fn grpc_go_over_its_own_tls_is_told_as_it_saw_it() {
    told_over_tls(Runtime::Go, Runtime::Go);
}

#[test]
fn tonic_over_rustls_is_told_as_it_saw_it() {
    told_over_tls(Runtime::Tonic, Runtime::Tonic);
}

#[test]
fn grpc_js_and_tonic_over_tls_are_told_as_they_saw_it() {
    told_over_tls(Runtime::Node, Runtime::Tonic);
}

/// grpcio has BoringSSL within, without symbols: nothing can be said, and that is said.
#[test]
fn grpcio_over_tls_is_said_to_be_unreadable_and_nothing_is_invented() {
    let certificates = Certificates::create();
    let mut pair = Pair::over_tls(Runtime::Python, Runtime::Python, &certificates);
    let called = pair.call(&[("Unary repeat=10", 10), ("Bidi send=3", 1)]);
    assert!(called.iter().all(|call| call.status == "OK"));
    let finished = pair.daemon.stop();
    assert_eq!(finished.spans.len(), 0, "{}", finished.story());
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    // Once, for both processes: it is one file.
    let words = ["can't read TLS in", "cygrpc", "BoringSSL", "stripped"];
    let says = |line: &&String| words.iter().all(|word| line.contains(word));
    let said = finished.log.iter().filter(says).count();
    assert_eq!(said, 1, "{}", finished.story());
}
