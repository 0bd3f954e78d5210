//! From a TLS object to its socket, in all the ways that programs leave to find it: whatever way it
//! is, the spans are those of the conversation, with the socket's addresses.

use std::path::{Path, PathBuf};
use std::process::Command;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};

fn speak(arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/tls/speak.py");
    let mut command = tied("python3");
    command.arg("-u").arg(script).args(arguments);
    command
}

/// A certificate and its key, in a directory.
fn certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}

struct Case {
    daemon: Daemon,
    server: Process,
    client: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Case {
    /// A server and a client, traced both, before the client has said anything but what its way
    /// says first.
    fn start(server_way: &str, client_way: &str, count: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (certificate, key) = certificate(directory.path());
        let port = ports::free();
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        let server = Process::start(
            "server",
            &mut speak(&[
                "serve",
                &port.to_string(),
                &text(&certificate),
                &text(&key),
                server_way,
            ]),
        );
        server.expect_line("listening");
        let client = Process::start(
            "client",
            &mut speak(&["fetch", &port.to_string(), client_way, &count.to_string()]),
        );
        client.expect_line(if client_way == "late" {
            "connected"
        } else {
            "ready"
        });
        let pids = format!("{},{}", server.pid(), client.pid());
        let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
        daemon.wait_until_watching(server.pid());
        daemon.wait_until_watching(client.pid());
        Self {
            daemon,
            server,
            client,
            port,
            _directory: directory,
        }
    }

    /// Lets the client speak, and waits for that many spans.
    fn finish(mut self, spans: usize) -> (Finished, u16) {
        self.client.tell("go");
        self.client.expect_line("done");
        self.daemon.wait_for_count(spans);
        self.client.stop();
        self.server.stop();
        (self.daemon.stop(), self.port)
    }
}

fn of(finished: &Finished, kind: Kind) -> Vec<&Seen> {
    finished
        .spans
        .iter()
        .filter(|span| span.kind == kind)
        .collect()
}

/// `count` spans for either side, all answered, encrypted and with addresses.
fn assert_told(server_way: &str, client_way: &str, count: usize, spans: usize) -> Finished {
    let (finished, port) = Case::start(server_way, client_way, count).finish(2 * spans);
    let story = finished.story();
    for kind in [Kind::Server, Kind::Client] {
        let told = of(&finished, kind);
        assert_eq!(told.len(), spans, "{kind:?}\n{story}");
        for span in told {
            let get = |name| span.get(name);
            assert_eq!(get("http.response.status_code"), Some("200"), "{story}");
            assert_eq!(get("error.type"), None, "{story}");
            let is_https = get("url.scheme").is_some_and(|scheme| scheme == "https")
                || get("url.full").is_some_and(|url| url.starts_with("https://"));
            assert!(is_https, "{story}");
            assert_eq!(get("network.peer.address"), Some("127.0.0.1"), "{story}");
            let port = port.to_string();
            assert_eq!(get("server.port"), Some(&*port), "{story}");
        }
    }
    assert_eq!(finished.lost(), "nothing", "{story}");
    finished
}

#[test]
fn an_object_that_owns_its_socket() {
    assert_told("socket", "socket", 5, 5);
}

#[test]
fn objects_that_never_see_their_socket() {
    assert_told("memory", "memory", 5, 5);
}

#[test]
fn two_objects_on_one_thread_keep_their_sockets() {
    let finished = assert_told("memory", "two", 5, 10);
    // What the server saw of each path came from one port.
    let port_of = |number: &str| {
        let mut ports: Vec<_> = of(&finished, Kind::Server)
            .into_iter()
            .filter(|span| {
                span.get("url.path")
                    .is_some_and(|path| path.ends_with(number))
            })
            .map(|span| span.get("network.peer.port").expect("a port").to_owned())
            .collect();
        ports.dedup();
        assert_eq!(ports.len(), 1, "{}", finished.story());
        ports.remove(0)
    };
    assert_ne!(port_of("/0"), port_of("/1"));
}

#[test]
fn an_object_that_moves_across_threads_stays_one_connection() {
    assert_told("socket", "threads", 5, 5);
}

#[test]
fn an_object_in_the_place_of_a_freed_one_is_another_connection() {
    let finished = assert_told("socket", "again", 20, 20);
    let mut ports: Vec<_> = of(&finished, Kind::Server)
        .into_iter()
        .filter_map(|span| span.get("network.peer.port").map(str::to_owned))
        .collect();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 20, "{}", finished.story());
}

#[test]
fn a_request_that_names_nobody_was_for_whom_the_handshake_named() {
    let finished = assert_told("socket", "nameless", 3, 6);
    let addresses = |kind| {
        let mut addresses: Vec<_> = of(&finished, kind)
            .into_iter()
            .map(|span| span.get("server.address").unwrap_or_default())
            .collect();
        addresses.sort_unstable();
        addresses
    };
    // Servers know their own address better than what they were called.
    assert_eq!(addresses(Kind::Server), ["127.0.0.1"; 6]);
    let [by_number, by_name] = [["127.0.0.1"; 3], ["shop.example"; 3]];
    let expected = [by_number, by_name].concat();
    assert_eq!(addresses(Kind::Client), expected, "{}", finished.story());
    let named = |span: &&&Seen| span.get("server.address") == Some("shop.example");
    for span in of(&finished, Kind::Client).iter().filter(named) {
        let url = span.get("url.full").unwrap_or_default();
        assert!(url.starts_with("https://shop.example:"), "{span}");
    }
}

#[test]
fn a_connection_that_was_there_before_is_joined() {
    // The server was within SSL_read_ex when the daemon came, so that what this call read, the
    // first request, was not seen.
    let (finished, _) = Case::start("socket", "late", 5).finish(9);
    let story = finished.story();
    assert_eq!(of(&finished, Kind::Client).len(), 5, "{story}");
    assert_eq!(of(&finished, Kind::Server).len(), 4, "{story}");
    for span in &finished.spans {
        let status = span.get("http.response.status_code");
        assert_eq!(status, Some("200"), "{story}");
        let peer = span.get("network.peer.address");
        assert_eq!(peer, Some("127.0.0.1"), "{story}");
    }
    assert_eq!(finished.lost(), "unmatched_response 1", "{story}");
}
