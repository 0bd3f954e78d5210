//! Java: Netty over OpenSSL, which is read, and over Java's own TLS, which can't be.

use wirespan_tests::tls::{self, Certificates, called, served};

#[test]
fn netty_over_openssl_is_told_as_it_served() {
    let _ = served(&mut tls::java_server(&Certificates::create(), "OPENSSL"));
}

#[test]
fn netty_over_openssl_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let client = tls::java_client(&certificates, "OPENSSL", server.port);
    let _ = called(client, &server);
}

#[test]
fn javas_own_tls_is_left_alone_and_named() {
    let mut server = tls::java_server(&Certificates::create(), "JDK");
    let _ = tls::opaque_server(&mut server, &["java", "JSSE"]);
}

#[test]
fn a_caller_on_javas_own_tls_is_left_alone_and_named() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let client = tls::java_client(&certificates, "JDK", server.port);
    let _ = tls::opaque_caller(client, &server, &["java", "JSSE"]);
}
