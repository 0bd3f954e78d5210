//! Libraries that come late, that are replaced, that lie in another mount namespace; and programs
//! under probes that go on whatever becomes of the daemon.

use std::path::{Path, PathBuf};
use std::time::Instant;

use wirespan_tests::daemon::{Daemon, command_with_least_capabilities, replayed_spans};
use wirespan_tests::process::{LIMIT, tied};
use wirespan_tests::running_kernel;
use wirespan_tests::spans::Seen;
use wirespan_tests::tls::{self, Certificates, assert_goes_on, served};
use wirespan_tests::truth::assert_same;
use wirespan_tests::workload::{Server, curl};

/// Directory of Debian's shared libraries on this machine.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

#[test]
fn a_library_that_is_loaded_late_is_read_from_then_on() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let mut client = tls::python_client(&certificates, "requests_client.py", &["late"]);
    let daemon = Daemon::for_pid(client.process.pid());
    // From here on one request after the other, until one was seen. Importing is within the first.
    let deadline = Instant::now() + LIMIT;
    let mut answered = 0;
    while daemon.spans().is_empty() {
        assert!(Instant::now() < deadline, "{}", client.process.story());
        client.send("GET", &server.url(&format!("/late/{answered}")), 0);
        answered += 1;
        let _ = client.truth(answered);
    }
    for number in 0..5 {
        client.send("GET", &server.url(&format!("/later/{number}")), 0);
    }
    let truth = client.truth(answered + 5);
    daemon.wait_for("the last", |spans| {
        spans.iter().any(|span| span.target() == "/later/4")
    });
    let finished = daemon.stop();
    // From the first that was seen on, none is missing.
    let skipped = truth.len() - finished.spans.len();
    assert_same(
        "spans since the library was found",
        truth.into_iter().skip(skipped),
        finished.spans.iter().map(|span| span.exchange()),
    );
}

/// A program with a copy of OpenSSL in `directory`, where it looks for it.
fn with_its_own_openssl(directory: &Path) -> PathBuf {
    let copies = ["libssl.so.3", "libcrypto.so.3"].map(|name| {
        let copy = directory.join(name);
        std::fs::copy(Path::new(LIBRARIES).join(name), &copy).expect("OpenSSL is installed");
        copy.to_str().expect("a path in UTF-8").to_owned()
    });
    let runtime = format!("-Wl,-rpath,{}", directory.display());
    tls::c_program(directory, "openssl.c", &[&copies[0], &copies[1], &runtime])
}

#[test]
fn a_library_that_was_replaced_on_disk_is_read_as_it_is_mapped() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = with_its_own_openssl(directory.path());
    let certificates = Certificates::create();
    let mut server = tls::tls_server(&certificates, tied(program), &["plain"]);
    // What package managers do: another file takes the name. Nothing in it is where it was.
    let other = directory.path().join("other");
    std::fs::copy(Path::new(LIBRARIES).join("libz.so.1"), &other).expect("a library");
    std::fs::rename(&other, directory.path().join("libssl.so.3")).expect("replaced");
    let _ = served(&mut server);
}

#[test]
fn a_library_that_was_deleted_is_read_as_it_is_mapped() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = with_its_own_openssl(directory.path());
    let mut server = tls::tls_server(&Certificates::create(), tied(program), &["plain"]);
    std::fs::remove_file(directory.path().join("libssl.so.3")).expect("deleted");
    let _ = served(&mut server);
}

/// A root directory with a program on OpenSSL, all that it needs, and no more.
fn container(root: &Path, certificates: &Certificates) {
    let libraries = root.join(&LIBRARIES[1..]);
    std::fs::create_dir_all(&libraries).expect("directories");
    std::fs::create_dir_all(root.join("lib64")).expect("a directory");
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("a link");
    for name in ["libssl.so.3", "libcrypto.so.3", "libc.so.6"] {
        let from = Path::new(LIBRARIES).join(name);
        std::fs::copy(from, libraries.join(name)).expect("a library");
    }
    let loader = "lib64/ld-linux-x86-64.so.2";
    std::fs::copy(Path::new("/").join(loader), root.join(loader)).expect("the loader");
    let _ = tls::openssl_3(root);
    std::fs::copy(certificates.certificate(), root.join("certificate.pem")).expect("a copy");
    std::fs::copy(certificates.key(), root.join("key.pem")).expect("a copy");
}

/// A program in a mount namespace of its own; from the host, its root is an empty path.
fn contained(root: &Path) -> Server {
    container(root, &Certificates::create());
    let mut server = Server::on(wirespan_tests::ports::free(), |port| {
        // Mounted only where the program is.
        let script = "mount -t tmpfs none /mnt && cp -a \"$1\"/. /mnt && \
                      exec chroot /mnt /openssl \"$2\" /certificate.pem /key.pem plain";
        let mut command = tied("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ]);
        command.arg(root).arg(port);
        command
    });
    server.scheme = "https";
    server
}

#[test]
fn a_program_in_another_mount_namespace_is_read_from_its_own_files() {
    let root = tempfile::tempdir().expect("a directory");
    let _ = served(&mut contained(root.path()));
}

/// Whether this kernel wants more for probes than the documented capabilities: Debian's and
/// Ubuntu's know a level of `kernel.perf_event_paranoid` above 2, and probes are put on by
/// `perf_event_open` before Linux 6.6.
fn wants_more_for_probes() -> bool {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level = level.ok().and_then(|text| text.trim().parse::<i32>().ok());
    level.is_some_and(|level| level > 2) && !running_kernel::is_at_least(6, 6)
}

/// With the documented capabilities: it is read, or what this kernel wants is named.
fn is_read_or_the_setting_is_named(server: &mut Server) {
    if !wants_more_for_probes() {
        let _ = tls::served_by(command_with_least_capabilities(), server);
        return;
    }
    let port = ("BEYLA_OPEN_PORT", &*server.port.to_string());
    let mut daemon = Daemon::start_by(command_with_least_capabilities(), &[], &[port]);
    let said = &daemon.process().stderr;
    let line = said.wait_for_line(LIMIT, "kernel.perf_event_paranoid is above 2");
    let line = line.unwrap_or_else(|| panic!("{:?}", said.all()));
    assert!(
        line.contains("can't read TLS in") && line.contains("CAP_SYS_ADMIN"),
        "{line}"
    );
    let _ = daemon.stop();
}

#[test]
fn so_it_is_by_who_may_only_look_for_files_by_their_names() {
    let root = tempfile::tempdir().expect("a directory");
    is_read_or_the_setting_is_named(&mut contained(root.path()));
}

#[test]
fn the_documented_capabilities_are_enough_to_read_a_library_and_an_executable() {
    let certificates = Certificates::create();
    let mut servers = [
        tls::plain_python_server(&certificates),
        tls::go_server(&certificates, "go-newest"),
    ];
    for server in &mut servers {
        is_read_or_the_setting_is_named(server);
    }
}

#[test]
fn without_the_right_to_follow_mappings_a_deleted_library_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = with_its_own_openssl(directory.path());
    let server = tls::tls_server(&Certificates::create(), tied(program), &["plain"]);
    std::fs::remove_file(directory.path().join("libssl.so.3")).expect("deleted");
    let port = ("BEYLA_OPEN_PORT", &*server.port.to_string());
    let daemon = Daemon::start_by(command_with_least_capabilities(), &[], &[port]);
    let _ = curl(&[&tls::INSECURE[..], &[&server.url("/unseen")]].concat());
    let finished = daemon.stop();
    let names = |line: &&String| line.contains("libssl.so.3: it can't be opened");
    let said = finished.log.iter().filter(names);
    assert_eq!(said.count(), 1, "{}", finished.story());
}

#[test]
fn a_daemon_that_is_killed_leaves_no_probe_and_no_harm() {
    let certificates = Certificates::create();
    let mut servers = [
        tls::plain_python_server(&certificates),
        tls::node_server(&certificates),
        tls::go_server(&certificates, "go-newest"),
    ];
    for _ in 0..2 {
        let ports: Vec<_> = servers
            .iter()
            .map(|server| server.port.to_string())
            .collect();
        let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports.join(","))]);
        for server in &servers {
            let _ = curl(&[&tls::INSECURE[..], &[&server.url("/before")]].concat());
        }
        daemon.wait_for_count(servers.len());
        daemon.kill();
        for server in &mut servers {
            assert_goes_on(server);
        }
    }
}

#[test]
fn two_programs_that_share_a_library_are_read_until_the_last_has_ended() {
    let certificates = Certificates::create();
    let first = tls::plain_python_server(&certificates);
    let second = tls::plain_python_server(&certificates);
    let ports = format!("{},{}", first.port, second.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    for server in [&first, &second] {
        let _ = curl(&[&tls::INSECURE[..], &[&server.url("/both")]].concat());
    }
    daemon.wait_for_count(2);
    drop(first);
    for number in 0..3 {
        let url = second.url(&format!("/alone/{number}"));
        let _ = curl(&[&tls::INSECURE[..], &[&url]].concat());
    }
    daemon.wait_for_count(5);
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), 5, "{}", finished.story());
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

#[test]
fn a_recording_of_tls_replays_to_the_spans_of_the_live_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("calls.wirespan");
    let file = file.to_str().expect("a path in UTF-8");
    let certificates = Certificates::create();
    // One moves encrypted bytes itself, the other leaves that to OpenSSL.
    let server = tls::python_server(&certificates, "uvicorn_server.py");
    let mut client = tls::python_client(&certificates, "requests_client.py", &[]);
    let pids = format!("{},{}", server.process.pid(), client.process.pid());
    let daemon = Daemon::start_with(&["record", file], &[("BEYLA_TARGET_PID", &pids)]);
    for number in 0..10 {
        let target = format!("/recorded/{number}?size={number}000");
        client.send("GET", &server.url(&target), 0);
    }
    client.send("POST", &server.url("/posted"), 3000);
    daemon.wait_for_count(2 * 11);
    let live = daemon.stop();
    assert_eq!(live.spans.len(), 2 * 11, "{}", live.story());
    assert_eq!(live.lost(), "nothing", "{}", live.story());
    let again = replayed_spans(file);
    assert_same(
        "spans of the replay",
        live.spans.iter().map(Seen::without_ids),
        again.iter().map(Seen::without_ids),
    );
}
