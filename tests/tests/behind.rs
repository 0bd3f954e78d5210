//! Behind intermediaries that do not speak HTTP themselves: HAProxy, which writes a PROXY header in
//! front of what it relays, and tunnels through Apache. Real programs all of them.

use std::path::Path;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::tls::Certificates;
use wirespan_tests::tunnels::{Tunnels, listening};
use wirespan_tests::workload::{Nginx, curl};

/// Where the client is, which no other end is.
const CLIENT: &str = "127.0.0.9";

/// HAProxy, passing on what it gets on one port to another, with these options of its `server`.
fn haproxy(directory: &Path, to: u16, options: &str) -> (Process, u16) {
    let port = ports::free();
    let path = directory.join("haproxy.cfg");
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 9s\n timeout client 9s\n timeout server 9s\n\
         listen relay\n bind 127.0.0.1:{port}\n server behind 127.0.0.1:{to} {options}\n"
    );
    std::fs::write(&path, configuration).expect("a file");
    let mut command = tied("haproxy");
    command.arg("-db").arg("-f").arg(&path);
    (listening("haproxy", command, port), port)
}

/// Three requests from [`CLIENT`] through HAProxy to a server that expects its header.
fn relay(nginx: &Nginx, to: u16, options: &str, arguments: &[&str]) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut haproxy, port) = haproxy(directory.path(), to, options);
    let worker = nginx.workers()[0];
    let pids = format!("{worker},{}", haproxy.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    daemon.wait_until_watching(worker);
    daemon.wait_until_watching(haproxy.pid());
    let scheme = if arguments.contains(&"--insecure") {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://localhost:{port}/fixed/1");
    for _ in 0..3 {
        let mut all = vec!["--interface", CLIENT, "--ipv4", &url];
        all.extend_from_slice(arguments);
        assert_eq!(curl(&all), ["200"]);
    }
    daemon.wait_for("spans of nginx", |spans| {
        of_process(spans, worker).len() >= 3
    });
    haproxy.stop();
    let finished = daemon.stop();
    for span in of_process(&finished.spans, worker) {
        assert_eq!(span.kind, Kind::Server, "{span}");
        assert_eq!(span.get("http.response.status_code"), Some("200"), "{span}");
        assert_eq!(span.get("client.address"), Some(CLIENT), "{span}");
        assert!(span.get("client.port").is_some(), "{span}");
        assert_eq!(
            span.get("network.peer.address"),
            Some("127.0.0.1"),
            "{span}"
        );
        assert_eq!(span.get("url.scheme"), Some(scheme), "{span}");
    }
    assert_eq!(
        of_process(&finished.spans, worker).len(),
        3,
        "{}",
        finished.story()
    );
    finished
}

fn of_process(spans: &[Seen], pid: u32) -> Vec<&Seen> {
    let pid = pid.to_string();
    let is_its = |span: &&Seen| span.resource.get("process.pid") == Some(&pid);
    spans.iter().filter(is_its).collect()
}

#[test]
fn http_behind_a_header_of_either_version_is_told_with_the_client_in_it() {
    let port = ports::free();
    let listen = format!("listen 127.0.0.1:{port} proxy_protocol;");
    let nginx = Nginx::start(1, "", &listen);
    for options in ["send-proxy", "send-proxy-v2 proxy-v2-options crc32c"] {
        let finished = relay(&nginx, port, options, &[]);
        // HAProxy is a server to curl and a client of nginx.
        assert_eq!(finished.spans.len(), 9, "{}", finished.story());
        assert_eq!(
            finished.of_kind(Kind::Client).len(),
            3,
            "{}",
            finished.story()
        );
        assert_eq!(finished.lost(), "nothing");
    }
}

#[test]
fn http2_behind_a_header_is_told_with_the_client_in_it() {
    let port = ports::free();
    let listen = format!("listen 127.0.0.1:{port} http2 proxy_protocol;");
    let nginx = Nginx::start(1, "", &listen);
    let finished = relay(&nginx, port, "send-proxy-v2", &["--http2-prior-knowledge"]);
    assert_eq!(finished.spans.len(), 9, "{}", finished.story());
    for span in &finished.spans {
        assert_eq!(span.get("network.protocol.version"), Some("2"), "{span}");
    }
}

#[test]
fn tls_behind_a_header_is_read_with_the_client_in_it() {
    let port = ports::free();
    let certificates = Certificates::create();
    let listen = format!("listen 127.0.0.1:{port} ssl proxy_protocol;");
    let nginx = Nginx::start_tls(&certificates, "", &listen);
    for options in ["send-proxy", "send-proxy-v2"] {
        relay(&nginx, port, options, &["--insecure", "--http1.1"]);
    }
}

#[test]
fn plain_http_in_a_tunnel_is_told_by_all_three() {
    let directory = tempfile::tempdir().expect("a directory");
    let nginx = Nginx::start(1, "", "");
    let mut apache = Tunnels::start(nginx.port, None);
    let port = apache.port;
    // A name of its own: other tests use curl too.
    let program = directory.path().join("curl-in-a-tunnel");
    std::fs::copy("/usr/bin/curl", &program).expect("curl is installed");
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &format!("{port},{}", nginx.port)),
        ("BEYLA_AUTO_TARGET_EXE", &program.display().to_string()),
    ]);
    daemon.wait_until_watching(nginx.workers()[0]);
    let proxy = format!("http://127.0.0.1:{port}");
    let url = nginx.url("/fixed/1");
    let mut command = tied(&program);
    command.args([
        "--silent",
        "--output",
        "/dev/null",
        "--proxytunnel",
        "--proxy",
        &proxy,
        &url,
    ]);
    Process::start("curl", &mut command).succeed();
    // curl, Apache (as the server of both requests, and as the client of nginx), nginx.
    daemon.wait_for_count(6);
    apache.process.stop();
    let finished = daemon.stop();
    let within: Vec<_> = finished
        .spans
        .iter()
        .filter(|span| span.get("http.request.method") == Some("GET"))
        .collect();
    assert_eq!(within.len(), 4, "{}", finished.story());
    for span in within {
        assert_eq!(span.get("http.response.status_code"), Some("200"), "{span}");
        assert_eq!(
            span.get("server.port"),
            Some(&*nginx.port.to_string()),
            "{span}"
        );
    }
    assert_eq!(finished.lost(), "nothing");
}
