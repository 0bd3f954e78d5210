//! GnuTLS: wget, and a server of the tests' own in the forms that the library has for sending and
//! receiving.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tls::{self, Certificates, served, wait_for_probes};
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

/// What a client sends with its first flight, before the server has said anything.
#[test]
fn early_data_is_told_as_it_was_served() {
    const REQUESTS: usize = 3;
    let (directory, mut server) = in_c("early");
    let session = directory.path().join("session.pem");
    let early = directory.path().join("request");
    let daemon = Daemon::for_port(server.port);
    let ask = |target: &str, resumes: bool| {
        let address = format!("127.0.0.1:{}", server.port);
        let fields = format!("Host: {address}\r\nConnection: close");
        let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n\r\n");
        let mut command = tied("openssl");
        command.args(["s_client", "-quiet", "-ign_eof", "-tls1_3", "-connect"]);
        command.arg(address);
        if resumes {
            std::fs::write(&early, &request).expect("a file");
            command.arg("-sess_in").arg(&session);
            command.arg("-early_data").arg(&early);
        } else {
            command.arg("-sess_out").arg(&session);
        }
        let mut client = Process::start("s_client", &mut command);
        if !resumes {
            for line in request.lines() {
                client.tell(&format!("{line}\r"));
            }
        }
        let said = client.succeed();
        assert!(said[0].starts_with("HTTP/1.1 200"), "{said:?}");
    };
    ask("/first", false);
    for number in 0..REQUESTS {
        ask(&format!("/early/{number}?size={number}000"), true);
    }
    let truth = server.truth(1 + REQUESTS);
    daemon.wait_for_count(1 + REQUESTS);
    let finished = daemon.stop();
    tls::assert_served(&finished, truth, server.port);
    let said = server.process.stdout.all();
    let came = said.iter().filter(|line| *line == "early data").count();
    assert_eq!(came, REQUESTS, "{}", server.process.story());
    tls::assert_goes_on(&mut server);
}

#[test]
fn wget_is_told_as_the_server_saw_it() {
    // Watched as well: it maps the library that wget does, which so is read before wget is there.
    let (directory, server) = in_c("plain");
    let program = directory.path().join("one-download");
    // A name of its own: other programs may use wget too.
    std::fs::copy("/usr/bin/wget", &program).expect("wget is installed");
    // Mapped by the name that the link leads to.
    let library = std::fs::canonicalize("/usr/lib/x86_64-linux-gnu/libgnutls.so.30");
    let library = library.expect("wget uses it").display().to_string();
    let glob = program.display().to_string();
    let daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", &glob),
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
    ]);
    for number in 0..4 {
        // What a process says before it has probes is not promised, so it is kept from beginning
        // until it has them: it reads first, and to the end, what it is to fetch.
        let mut client = Process::start(
            "one-download",
            tied(&program)
                .args(["--quiet", "--output-document=/dev/null"])
                .args(["--no-check-certificate", "--input-file=-"]),
        );
        let _ = wait_for_probes(client.pid(), &library);
        client.tell(&server.url(&format!("/one/{number}?size={number}0000")));
        client.tell(&server.url(&format!("/two/{number}")));
        client.close_input();
        client.succeed();
    }
    tls::assert_both(daemon, &server, 8);
}
