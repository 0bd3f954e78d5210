//! rustls in Rust executables: with symbols in either mangling, and without any.

use wirespan_tests::tls::{self, Certificates, called, served};
use wirespan_tests::workload::binary;

#[test]
fn hyper_over_rustls_is_told_as_it_served() {
    let program = binary("hyper-server");
    let _ = served(&mut tls::hyper_server(&Certificates::create(), &program));
}

#[test]
fn reqwest_over_rustls_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let _ = called(tls::reqwest_client(&certificates, None), &server);
}

#[test]
fn hyper_in_a_release_with_v0_names_is_told_as_it_served() {
    let program = tls::built("bin/hyper-server-v0");
    let _ = served(&mut tls::hyper_server(&Certificates::create(), &program));
}

#[test]
fn reqwest_in_a_release_with_v0_names_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let program = tls::built("bin/reqwest-client-v0");
    let _ = called(tls::reqwest_client(&certificates, Some(&program)), &server);
}

#[test]
fn rustls_without_symbols_is_left_alone_and_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = tls::stripped(directory.path(), &tls::built("bin/hyper-server-v0"));
    let mut server = tls::hyper_server(&Certificates::create(), &program);
    let _ = tls::opaque_server(
        &mut server,
        &["hyper-server-v0-stripped", "rustls is linked"],
    );
}

#[test]
fn a_caller_on_rustls_without_symbols_is_left_alone_and_named() {
    let certificates = Certificates::create();
    let directory = tempfile::tempdir().expect("a directory");
    let program = tls::stripped(directory.path(), &tls::built("bin/reqwest-client-v0"));
    let server = tls::plain_python_server(&certificates);
    let client = tls::reqwest_client(&certificates, Some(&program));
    let _ = tls::opaque_caller(
        client,
        &server,
        &["reqwest-client-v0-stripped", "rustls is linked"],
    );
}
