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
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    // A name of its own: other programs may use wget too.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("one-download");
    std::fs::copy("/usr/bin/wget", &program).expect("wget is installed");
    let glob = format!("{}/*", directory.path().display());
    let daemon = Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", &glob)]);
    for number in 0..4 {
        let mut command = tied(&program);
        command.args(["--quiet", "--output-document=/dev/null", "--ca-certificate"]);
        command.arg(certificates.authority());
        command.arg(server.url(&format!("/one/{number}?size={number}0000")));
        command.arg(server.url(&format!("/two/{number}")));
        Process::start("one-download", &mut command).succeed();
    }
    let truth = server.truth(8);
    daemon.wait_for_count(8);
    let finished = daemon.stop();
    tls::assert_called(&finished, truth, &server);
}
