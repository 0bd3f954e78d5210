//! GnuTLS: wget, and a server of the tests' own in the forms that the library has for sending and
//! receiving.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tls::{self, Certificates, served};
use wirespan_tests::workload::Server;

fn in_c(mode: &str) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = tls::c_program(directory.path(), "gnutls.c", &["-lgnutls"]);
    let server = tls::tls_server(&Certificates::create(), tied(program), &[mode]);
    (directory, server)
}

#[test]
fn a_server_on_gnutls_is_told_as_it_served() {
    let (_directory, mut server) = in_c("plain");
    let _ = served(&mut server);
}

#[test]
fn answers_that_were_corked_are_told_as_they_were_sent() {
    let (_directory, mut server) = in_c("cork");
    let _ = served(&mut server);
}

#[test]
fn wget_is_told_as_the_server_saw_it() {
    // Watched as well: it maps the library that wget does, which so is read before wget is there.
    let (directory, server) = in_c("plain");
    let program = directory.path().join("one-download");
    // A name of its own: other programs may use wget too.
    std::fs::copy("/usr/bin/wget", &program).expect("wget is installed");
    let glob = program.display().to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", &glob),
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
    ]);
    for number in 0..4 {
        let mut command = tied(&program);
        command.args(["--quiet", "--output-document=/dev/null"]);
        command.arg("--no-check-certificate");
        command.arg(server.url(&format!("/one/{number}?size={number}0000")));
        command.arg(server.url(&format!("/two/{number}")));
        Process::start("one-download", &mut command).succeed();
    }
    tls::assert_both(daemon, &server, 8);
}
