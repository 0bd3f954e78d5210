//! Where probes on TLS libraries stand, and where they must not: in processes that nobody watches,
//! in code that is not the one that was analysed, and after a death that may be theirs.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use wirespan_tests::daemon::{self, Daemon};
use wirespan_tests::ports;
use wirespan_tests::process::tied;
use wirespan_tests::tls::{
    self, Certificates, OwnLibrary, assert_goes_on, breakpoints, wait_for_probes,
};
use wirespan_tests::workload::{Nginx, Server, curl, eventually};

/// No breakpoints.
const NONE: Option<Vec<u64>> = Some(Vec::new());

/// One request, answered.
fn ask(server: &Server, target: &str) {
    let said = curl(&[&tls::INSECURE[..], &[&server.url(target)]].concat());
    assert_eq!(said, ["200"], "{}", server.process.story());
}

/// A server with these arguments after its program's, on that port.
fn serve_on(port: u16, certificates: &Certificates, program: &Path, rest: &[&str]) -> Server {
    let mut server = Server::on(port, |port| {
        let mut command = tied(program);
        if rest == ["serve"] {
            command.arg("serve");
        }
        command.arg(port);
        command
            .arg(certificates.certificate())
            .arg(certificates.key());
        if rest != ["serve"] {
            command.args(rest);
        }
        command
    });
    server.scheme = "https";
    server
}

/// Writes over a file, which stays the same file.
fn overwrite(file: &Path, with: &Path) {
    let inode = |path: &Path| std::fs::metadata(path).expect("a file").ino();
    let before = inode(file);
    std::fs::copy(with, file).expect("written");
    assert_eq!(inode(file), before);
}

/// Builds of one program take turns in one file, and each is started under the daemon.
fn takes_turns(certificates: &Certificates, builds: [&Path; 2], rest: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("deployed");
    std::fs::copy(builds[0], &program).expect("a copy");
    let port = ports::free();
    let daemon = Daemon::for_port(port);
    let mut places = Vec::new();
    for turn in 0..4 {
        if turn > 0 {
            overwrite(&program, builds[turn % 2]);
        }
        let mut server = serve_on(port, certificates, &program, rest);
        places.push(wait_for_probes(server.process.pid(), "deployed"));
        for number in 0..3 {
            ask(&server, &format!("/{turn}/{number}"));
        }
        daemon.wait_for_count(3 * (turn + 1));
        let _ = server.process.stop();
    }
    assert_ne!(
        places[0], places[1],
        "the builds differ in nothing that matters here"
    );
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), 12, "{}", finished.story());
}

#[test]
fn a_process_that_nobody_watches_has_no_probe() {
    let certificates = Certificates::create();
    let watched = tls::plain_python_server(&certificates);
    let mut other = tls::plain_python_server(&certificates);
    let daemon = Daemon::for_port(watched.port);
    let name = "libssl.so.3";
    let _ = wait_for_probes(watched.process.pid(), name);
    assert_eq!(breakpoints(other.process.pid(), name), NONE);
    // One that begins while they are there.
    let late = tls::plain_python_server(&certificates);
    ask(&late, "/late");
    ask(&watched, "/watched");
    daemon.wait_for_count(1);
    assert_eq!(breakpoints(late.process.pid(), name), NONE);
    assert_goes_on(&mut other);
    let pid = watched.process.pid();
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), 1, "{}", finished.story());
    assert_eq!(breakpoints(pid, name), NONE);
}

#[test]
fn builds_of_a_go_program_take_turns_in_one_file() {
    let certificates = Certificates::create();
    let builds = ["go-oldest", "go-newest"].map(|name| tls::built(&format!("bin/{name}")));
    takes_turns(&certificates, [&builds[0], &builds[1]], &["serve"]);
}

#[test]
fn builds_of_a_program_with_openssl_take_turns_in_one_file() {
    let certificates = Certificates::create();
    let directory = tempfile::tempdir().expect("a directory");
    let first = tls::static_openssl(directory.path());
    let elsewhere = directory.path().join("other");
    std::fs::create_dir(&elsewhere).expect("a directory");
    let libraries = [
        "-static-pie",
        "-l:libssl.a",
        "-l:libcrypto.a",
        "-Wl,-z,noseparate-code",
    ];
    let second = tls::c_program(&elsewhere, "openssl.c", &libraries);
    takes_turns(&certificates, [&first, &second], &["plain"]);
}

#[test]
fn a_library_that_is_overwritten_is_read_as_each_process_maps_it() {
    let certificates = Certificates::create();
    let own = OwnLibrary::create();
    let port = ports::free();
    // It goes on living with whatever becomes of its code, and does nothing any longer.
    let old_port = ports::free();
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &format!("{port},{old_port}"))]);
    let old = serve_on(old_port, &certificates, &own.program, &["plain"]);
    let first = wait_for_probes(old.process.pid(), "libssl.so.3");
    for turn in 1..4 {
        overwrite(&own.library, &own.builds[turn % 2]);
        let mut server = serve_on(port, &certificates, &own.program, &["plain"]);
        let places = wait_for_probes(server.process.pid(), "libssl.so.3");
        assert_eq!(places == first, turn % 2 == 0, "{places:x?}");
        for number in 0..3 {
            ask(&server, &format!("/{turn}/{number}"));
        }
        daemon.wait_for_count(3 * turn);
        let _ = server.process.stop();
    }
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), 9, "{}", finished.story());
}

#[test]
fn workers_that_are_forked_under_the_daemon_are_read() {
    let certificates = Certificates::create();
    let daemon = Daemon::start(&[("BEYLA_EXECUTABLE_NAME", "nginx")]);
    let nginx = Nginx::start_tls(&certificates, "", "location / { return 200; }");
    let mut asked = 0;
    let mut ask = || {
        let url = nginx.url(&format!("/forked/{asked}"));
        let said = curl(&[&tls::INSECURE[..], &[&url]].concat());
        assert_eq!(said, ["200"]);
        asked += 1;
    };
    // The worker inherits breakpoints, which do nothing in it before it has probes of its own.
    eventually("the first is seen", || {
        ask();
        !daemon.spans().is_empty()
    });
    (0..5).for_each(|_| ask());
    let last = format!("/forked/{}", asked - 1);
    let spans = daemon.wait_for("the last", |spans| {
        spans.iter().any(|span| span.target() == last)
    });
    // From the first that was seen on, none is missing.
    let first = spans
        .iter()
        .filter_map(|span| span.target().rsplit('/').next()?.parse().ok());
    assert_eq!(
        spans.len(),
        asked - first.min().unwrap_or(asked),
        "of {asked}"
    );
    let _ = daemon.stop();
}

#[test]
fn a_library_whose_process_dies_by_a_fault_is_left_alone() {
    let certificates = Certificates::create();
    let mut victim = tls::plain_python_server(&certificates);
    let mut other = tls::plain_python_server(&certificates);
    let ports = format!("{},{}", victim.port, other.port);
    let mut daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let name = "libssl.so.3";
    let pid = victim.process.pid();
    let _ = (
        wait_for_probes(pid, name),
        wait_for_probes(other.process.pid(), name),
    );
    victim.process.signal(Signal::SEGV);
    let told = daemon.process().stderr.wait_for_line(
        Duration::from_secs(30),
        &format!("process {pid} died by signal 11"),
    );
    assert!(told.is_some(), "{}", daemon.process().story());
    eventually("they are gone", || {
        breakpoints(other.process.pid(), name) == NONE
    });
    assert_goes_on(&mut other);
    let finished = daemon.stop_uncounted();
    assert!(
        finished.lost().contains("tls_withdrawn 1"),
        "{}",
        finished.story()
    );
}

#[test]
fn two_daemons_read_the_same_process_and_leave_it_as_it_was() {
    let certificates = Certificates::create();
    let mut server = tls::plain_python_server(&certificates);
    let pid = server.process.pid();
    let port = server.port.to_string();
    let daemons = [(); 2].map(|()| {
        let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &port)]);
        let _ = wait_for_probes(pid, "libssl.so.3");
        daemon
    });
    ask(&server, "/both");
    for daemon in &daemons {
        daemon.wait_for_count(1);
    }
    let [first, second] = daemons;
    let finished = first.stop();
    assert!(finished.lost().contains("nothing"), "{}", finished.story());
    ask(&server, "/second");
    second.wait_for_count(2);
    let finished = second.stop();
    assert!(finished.lost().contains("nothing"), "{}", finished.story());
    assert_eq!(breakpoints(pid, "libssl.so.3"), NONE);
    assert_goes_on(&mut server);
}

#[test]
fn many_libraries_take_few_descriptors_and_no_time_to_leave() {
    const COPIES: usize = 24;
    let certificates = Certificates::create();
    let own = OwnLibrary::create();
    let copies: Vec<_> = (0..COPIES)
        .map(|_| tempfile::tempdir().expect("a directory"))
        .collect();
    let servers: Vec<_> = copies
        .iter()
        .map(|copy| {
            std::fs::copy(&own.library, copy.path().join("libssl.so.3")).expect("a copy");
            let mut command = tied(&own.program);
            command.env("LD_LIBRARY_PATH", copy.path());
            tls::tls_server(&certificates, command, &["plain"])
        })
        .collect();
    let ports: Vec<_> = servers
        .iter()
        .map(|server| server.port.to_string())
        .collect();
    // As little as leaves room to start with.
    let mut command = tied("prlimit");
    command
        .args(["--nofile=80:4096", "--"])
        .arg(daemon::binary());
    command.env("BEYLA_TRACE_PRINTER", "json");
    command.env("BEYLA_SHUTDOWN_TIMEOUT", "10s");
    command.env("BEYLA_OPEN_PORT", ports.join(","));
    let daemon = Daemon::started(&mut command);
    for server in &servers {
        ask(server, "/copied");
    }
    daemon.wait_for_count(COPIES);
    let pids: Vec<_> = servers.iter().map(|server| server.process.pid()).collect();
    let finished = daemon.stop_by(Signal::INT);
    assert_eq!(finished.spans.len(), COPIES, "{}", finished.story());
    for pid in pids {
        assert_eq!(breakpoints(pid, "libssl.so.3"), NONE);
    }
}
