//! What goes wrong in programs while OpenSSL is called: functions that are left otherwise than by a
//! return, memory that is gone, and a way to send that the kernel has not. The program goes on, and
//! the spans tell no more than was seen.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::tied;
use wirespan_tests::tls::{self, Certificates, assert_goes_on, served, visited};
use wirespan_tests::truth::assert_same;
use wirespan_tests::workload::Server;

/// `mishaps.c` in one of its modes.
fn befallen_by(mode: &str) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = tls::c_program(directory.path(), "mishaps.c", &tls::OPENSSL_3);
    let server = tls::tls_server(&Certificates::create(), tied(program), &[mode]);
    (directory, server)
}

/// A hundred times in a row on one thread: the kernel follows 64 returns of a thread at most, so
/// that the hundredth is missed if those that never came are kept.
#[test]
fn longjmps_out_of_a_read_leave_nothing_behind() {
    let (_directory, mut server) = befallen_by("jump");
    let _ = served(&mut server);
}

#[test]
fn threads_that_end_within_a_read_leave_nothing_behind() {
    let (_directory, mut server) = befallen_by("left");
    let _ = served(&mut server);
}

#[test]
fn memory_that_was_unmapped_is_a_loss_that_is_counted() {
    let (_directory, mut server) = befallen_by("unmapped");
    let daemon = Daemon::for_port(server.port);
    let count = visited(|target| server.url(target));
    let mut truth = server.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    // Nothing of any answer could be read, and nothing is said of it.
    for exchange in &mut truth {
        (exchange.status, exchange.response_body) = (None, None);
    }
    let told = finished.spans.iter().map(|span| span.exchange());
    assert_same("spans without answers", truth, told);
    for span in &finished.spans {
        let error = span.get("error.type");
        assert_eq!(error, Some("response_not_observed"), "{span}");
    }
    let lost = finished.lost();
    assert!(lost.contains("unreadable_memory"), "{}", finished.story());
    assert_goes_on(&mut server);
}

/// `SSL_sendfile` sends only where the kernel encrypts (its module `tls`, which not every kernel
/// has). Elsewhere it refuses, which this proves to do no harm: the program then writes.
#[test]
fn bodies_by_sendfile_or_its_refusal_are_told_as_they_were_sent() {
    let (_directory, mut server) = befallen_by("sendfile");
    let _ = served(&mut server);
    let said = server.process.stdout.all();
    let says = |text: &str| said.iter().filter(|line| *line == text).count();
    let (sent, refused) = (says("SSL_sendfile sent"), says("SSL_sendfile refused"));
    assert!(sent + refused > 0, "{}", server.process.story());
    let modules = "/proc/sys/net/ipv4/tcp_available_ulp";
    let offered = std::fs::read_to_string(modules).unwrap_or_default();
    println!("SSL_sendfile sent {sent} times, refused {refused}; kernel offers: {offered}");
}
