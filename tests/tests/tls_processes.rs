//! `wirespan processes`: what it says of programs over TLS of every kind, and how it reads them.

use serde_json::Value;
use wirespan_tests::process::tied;
use wirespan_tests::tls::{self, Certificates, Postgres};

/// Rows for whatever listens on these ports.
fn rows(ports: &[u16]) -> Vec<Value> {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    tls::surveyed("BEYLA_OPEN_PORT", &ports.join(","))
}

/// What is said of the TLS of the process that listens on `port`: a library that is read, or why
/// not.
fn said_of(rows: &[Value], port: u16) -> Vec<(Option<String>, Option<String>)> {
    let listens = |row: &&Value| {
        let ports = row["ports"].as_array();
        ports.is_some_and(|ports| ports.contains(&port.into()))
    };
    let row = rows.iter().find(listens);
    let row = row.unwrap_or_else(|| panic!("nobody listens on {port}: {rows:#?}"));
    let found = row["tls"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    found
        .iter()
        .map(|tls| (text(&tls["library"]), text(&tls["reason"])))
        .collect()
}

#[test]
fn the_table_names_the_library_or_the_reason() {
    let certificates = Certificates::create();
    let directory = tempfile::tempdir().expect("a directory");
    let gnutls = tls::c_program(directory.path(), "gnutls.c", &["-lgnutls"]);
    let stripped = tls::stripped(directory.path(), &tls::built("bin/hyper-server-v0"));
    let servers = [
        (tls::plain_python_server(&certificates), "OpenSSL"),
        (tls::node_server(&certificates), "OpenSSL"),
        (
            tls::tls_server(&certificates, tied(gnutls), &["plain"]),
            "GnuTLS",
        ),
        (
            tls::go_server(&certificates, "go-oldest-stripped"),
            "Go crypto/tls",
        ),
        (tls::go_server(&certificates, "go-newest"), "Go crypto/tls"),
        (
            tls::hyper_server(&certificates, &tls::built("bin/hyper-server-v0")),
            "rustls",
        ),
    ];
    let unreadable = [
        (tls::hyper_server(&certificates, &stripped), "symbols"),
        (tls::java_server(&certificates, "JDK"), "JSSE"),
    ];
    let postgres = Postgres::start(&certificates);
    let mut ports: Vec<_> = servers.iter().map(|(server, _)| server.port).collect();
    ports.extend(unreadable.iter().map(|(server, _)| server.port));
    ports.push(postgres.port);
    let rows = rows(&ports);
    for (server, library) in &servers {
        let said = said_of(&rows, server.port);
        let named = |(found, _): &(Option<String>, _)| found.as_deref() == Some(library);
        assert!(said.iter().any(named), "{library} expected: {said:?}");
    }
    for (server, word) in &unreadable {
        let said = said_of(&rows, server.port);
        let told = |(library, reason): &(Option<String>, Option<String>)| {
            library.is_none() && reason.as_ref().is_some_and(|reason| reason.contains(word))
        };
        assert!(said.iter().any(told), "{word} expected: {said:?}");
    }
    let said = said_of(&rows, postgres.port);
    assert!(said.contains(&(Some("OpenSSL".into()), None)), "{said:?}");
}
