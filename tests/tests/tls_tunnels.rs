//! Clients that speak to an HTTPS proxy over TLS, and through its tunnel to a server, in the clear
//! or over TLS again. Real programs all of them; each of their requests has a span, with the
//! addresses of the one socket there is.

use std::process::Command;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::tls::{Certificates, built, workload};
use wirespan_tests::tunnels::Tunnels;
use wirespan_tests::workload::{Client, Nginx, python};

/// What a client's spans must be: one for the tunnel, and those of what it said in it.
fn assert_told(finished: &Finished, proxy: u16, origin: u16, scheme: &str, count: usize) {
    let story = finished.story();
    let of_method = |method: &str| -> Vec<&Seen> {
        let spans = finished.of_kind(Kind::Client).into_iter();
        spans
            .filter(|span| span.get("http.request.method") == Some(method))
            .collect()
    };
    let (proxy, origin) = (proxy.to_string(), origin.to_string());
    let peer = [
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &*proxy),
        ("http.response.status_code", "200"),
        ("server.port", &*origin),
    ];
    let connects = of_method("CONNECT");
    assert!(!connects.is_empty(), "{story}");
    let asked = of_method("GET");
    assert_eq!(asked.len(), count, "{story}");
    for span in connects.into_iter().chain(asked.iter().copied()) {
        for (name, value) in peer {
            assert_eq!(span.get(name), Some(value), "{name} of {span}\n{story}");
        }
    }
    for span in asked {
        let url = span.get("url.full").unwrap_or_default();
        let wanted = format!("{scheme}://localhost:{origin}/fixed/");
        assert!(url.starts_with(&wanted), "{url}\n{story}");
    }
    assert_eq!(finished.lost(), "nothing", "{story}");
}

/// A server, and a proxy over TLS that makes tunnels to it.
struct Route {
    certificates: Certificates,
    nginx: Nginx,
    apache: Tunnels,
}

impl Route {
    fn to(scheme: &'static str) -> Self {
        let certificates = Certificates::create();
        let nginx = match scheme {
            "https" => Nginx::start_tls(&certificates, "", ""),
            _ => Nginx::start(1, "", ""),
        };
        let apache = Tunnels::start(nginx.port, Some(&certificates));
        Self {
            certificates,
            nginx,
            apache,
        }
    }

    fn proxy(&self) -> String {
        format!("https://localhost:{}", self.apache.port)
    }

    fn url(&self, scheme: &str, n: usize) -> String {
        format!("{scheme}://localhost:{}/fixed/{n}", self.nginx.port)
    }

    /// Three requests of a client over TLS within TLS, and what must hold for them.
    fn is_told_of(&self, mut command: Command) {
        self.certificates.trusted_by(&mut command);
        for name in ["PROXY", "HTTPS_PROXY"] {
            command.env(name, self.proxy());
        }
        let mut client = Client::start(&mut command);
        let daemon = Daemon::for_pid(client.process.pid());
        for n in 1..=3 {
            client.send("GET", &self.url("https", n), 0);
        }
        let truth = client.truth(3);
        assert!(
            truth.iter().all(|exchange| exchange.status == Some(200)),
            "{truth:?}"
        );
        daemon.wait_for_count(4);
        let finished = daemon.stop();
        assert_told(&finished, self.apache.port, self.nginx.port, "https", 3);
    }
}

/// curl begins when its configuration is whole: by then it is watched.
fn curl_through_a_proxy_over_tls(scheme: &'static str) {
    let route = Route::to(scheme);
    let authority = route.certificates.authority().display().to_string();
    let mut command = tied("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--proxytunnel",
        "--http1.1",
    ]);
    command.args(["--cacert", &authority, "--proxy-cacert", &authority]);
    command.args(["--proxy", &route.proxy(), "--config", "-"]);
    let mut curl = Process::start("curl", &mut command);
    let daemon = Daemon::for_pid(curl.pid());
    for n in 1..=3 {
        curl.tell(&format!("url = {}", route.url(scheme, n)));
    }
    curl.close_input();
    curl.succeed();
    daemon.wait_for_count(4);
    let finished = daemon.stop();
    assert_told(&finished, route.apache.port, route.nginx.port, scheme, 3);
}

#[test]
fn curl_tells_what_it_says_in_the_clear_through_a_proxy_over_tls() {
    curl_through_a_proxy_over_tls("http");
}

#[test]
fn curl_tells_what_it_says_over_tls_through_a_proxy_over_tls() {
    curl_through_a_proxy_over_tls("https");
}

#[test]
fn python_requests_is_told_over_tls_within_tls() {
    Route::to("https").is_told_of(python("tls_programs/requests_client.py", &[]));
}

#[test]
fn aiohttp_is_told_over_tls_within_tls() {
    Route::to("https").is_told_of(python("tls_programs/aiohttp_client.py", &[]));
}

#[test]
fn node_is_told_over_tls_within_tls() {
    let mut command = tied(built("bin/node"));
    command.arg(workload("tunnel_client.mjs"));
    Route::to("https").is_told_of(command);
}

#[test]
fn go_is_told_over_tls_within_tls() {
    for name in ["go-oldest", "go-newest"] {
        let mut command = tied(built(&format!("bin/{name}")));
        command.arg("call");
        Route::to("https").is_told_of(command);
    }
}
