//! Both ends of an exchange on one node are one call, without a byte in between that says so: nginx
//! asks nginx, over what can lie between them.

use std::path::Path;
use std::sync::Arc;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::go::Pair;
use wirespan_tests::links::{KeptRow, Load, Row, Target, requests};
use wirespan_tests::network::Host;
use wirespan_tests::tls::Certificates;
use wirespan_tests::workload::{Nginx, curl, eventually};

const ANSWER: &str = "location / { return 200 \"answered\\n\"; }";

/// All of them.
const TARGET: Target = Target {
    right: 100.0,
    wrong: 0.0,
};

/// nginx that asks another one over connections that it keeps.
fn front(upstream: &str, scheme: &str) -> Nginx {
    let upstreams = format!("upstream behind {{ server {upstream}; keepalive 16; }}");
    let location = format!(
        "location / {{ proxy_pass {scheme}://behind; proxy_http_version 1.1; \
         proxy_set_header Connection ''; }}"
    );
    Nginx::start(2, &upstreams, &location)
}

/// Requests through both, of which each pair of spans must have been joined.
fn all_are_joined(name: &str, front: &Nginx, back: &Nginx) {
    let base = front.url("");
    joined(name, [front, back], 100, &|load| send(load, &base));
}

/// The same, where `ask` sends the requests to the first of the two, and so many per cent of the
/// pairs must have been joined.
fn joined(name: &str, both: [&Nginx; 2], least: usize, ask: &dyn Fn(Load) -> usize) {
    let daemon = watched(both, &[]);
    let load = Load::of_a_row();
    let requests = load.requests;
    assert_eq!(ask(load), requests);
    daemon.wait_for_count(3 * requests);
    let finished = daemon.stop();
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let row = Row::of(&finished.spans);
    println!("joins: {name}: {}", row.joins);
    let joins = row.joins;
    KeptRow::new(requests, joins.right, joins.wrong, TARGET).keep(&format!("joins, {name}"));
    // Of the one server the client is watched, of the other it is this process.
    assert_eq!(row.joins.wrong, 0, "{name}: {row}");
    assert!(100 * row.joins.right >= least * requests, "{name}: {row}");
    let apart = requests - row.joins.right;
    assert_eq!(row.joins.none, requests + apart, "{name}: {row}");
}

/// A daemon with these settings that watches the workers of both.
fn watched([front, back]: [&Nginx; 2], settings: &[(&str, &str)]) -> Daemon {
    eventually("all workers", || {
        front.workers().len() == 2 && !back.workers().is_empty()
    });
    let workers = [front.workers(), back.workers()].concat();
    let pids: Vec<String> = workers.iter().map(u32::to_string).collect();
    let pids = pids.join(",");
    let daemon = Daemon::start(&[settings, &[("BEYLA_TARGET_PID", &*pids)]].concat());
    for worker in workers {
        daemon.wait_until_watching(worker);
    }
    daemon
}

fn send(load: Load, base: &str) -> usize {
    load.send(base, |id| format!("/{id}/a"))
}

/// Opens the connections that both will use.
fn warm_up(base: &str) {
    let load = Load {
        requests: 100,
        ..Load::of_a_row()
    };
    assert_eq!(send(load.clone(), base), load.requests);
}

fn at(nginx: &Nginx) -> String {
    format!("127.0.0.1:{}", nginx.port)
}

#[test]
fn over_tcp() {
    let back = Nginx::start(1, "", ANSWER);
    all_are_joined("tcp", &front(&at(&back), "http"), &back);
}

#[test]
fn over_tls() {
    let back = Nginx::start_tls(&Certificates::create(), "", ANSWER);
    all_are_joined("tls", &front(&at(&back), "https"), &back);
}

#[test]
fn over_a_unix_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let listen = |path: &Path| format!("listen unix:{};\n{ANSWER}", path.display());
    let back = Nginx::start(1, "", &listen(&path));
    let upstream = format!("unix:{}", path.display());
    all_are_joined("unix", &front(&upstream, "http"), &back);
}

#[test]
fn connections_that_were_open_before() {
    let certificates = Certificates::create();
    let plain = Nginx::start(1, "", ANSWER);
    let tls = Nginx::start_tls(&certificates, "", ANSWER);
    for (scheme, back) in [("http", &plain), ("https", &tls)] {
        let front = front(&at(back), scheme);
        warm_up(&front.url(""));
        all_are_joined(&format!("{scheme}, open before"), &front, back);
    }
}

/// A client, a router, and a server behind it that is known by the router's address. What comes
/// from the router has its address, too.
struct Translated {
    client: Host,
    _router: Host,
    server: Host,
    /// Where the client finds the server, and where that listens.
    at: [String; 2],
}

impl Translated {
    /// The networks begin so; `family` is what nftables calls theirs.
    fn new(family: &str, [near, far]: [&str; 2]) -> Self {
        let [client, router, server] = [Host::new(), Host::new(), Host::new()];
        let len = if family == "ip6" { 64 } else { 24 };
        let ends = |network: &str| [1, 2].map(|host| format!("{network}{host}/{len}"));
        let connect = |host: &Host, network: &str, device: &str| {
            let [first, second] = ends(network);
            router.connect(host, [&first, &second], device);
        };
        connect(&client, near, "near");
        connect(&server, far, "far");
        let bracketed = |address: String| match family {
            "ip6" => format!("[{address}]"),
            _ => address,
        };
        let at = [format!("{near}1"), format!("{far}2")].map(bracketed);
        let forwarding = match family {
            "ip6" => "/proc/sys/net/ipv6/conf/all/forwarding",
            _ => "/proc/sys/net/ipv4/ip_forward",
        };
        router.run(move || std::fs::write(forwarding, "1").expect("a router"));
        router.nft(&format!(
            "table {family} nat {{
                chain before {{ type nat hook prerouting priority -100;
                    iifname near tcp dport 80 dnat to {}:8080; }}
                chain after {{ type nat hook postrouting priority 100; oifname far masquerade; }}
            }}",
            at[1]
        ));
        let at = [format!("{}:80", at[0]), format!("{}:8080", at[1])];
        Self {
            client,
            _router: router,
            server,
            at,
        }
    }

    /// A front at the client asks a back at the server.
    fn all_are_joined(&self, name: &str, certificates: Option<&Arc<Certificates>>) {
        let [upstream, listen] = self.at.clone();
        let scheme = certificates.map_or("http", |_| "https");
        let certificates = certificates.cloned();
        let back = self.server.run(move || match certificates {
            None => Nginx::start(1, "", &format!("listen {listen};\n{ANSWER}")),
            Some(it) => Nginx::start_tls(&it, "", &format!("listen {listen} ssl;\n{ANSWER}")),
        });
        let front = self.client.run(move || front(&upstream, scheme));
        let base = front.url("");
        // Now and then one connection over TLS is not known at both ends, with all its requests.
        let least = if scheme == "https" { 80 } else { 100 };
        joined(name, [&front, &back], least, &|load| {
            let base = base.clone();
            self.client.run(move || send(load, &base))
        });
    }
}

#[test]
fn addresses_that_are_translated_on_the_way() {
    let certificates = Arc::new(Certificates::create());
    for (family, networks) in [
        ("ip", ["10.1.0.", "10.2.0."]),
        ("ip6", ["fd01::", "fd02::"]),
    ] {
        let translated = Translated::new(family, networks);
        translated.all_are_joined(&format!("{family}, translated"), None);
        let name = format!("{family}, translated, TLS");
        translated.all_are_joined(&name, Some(&certificates));
    }
}

/// Objects of rustls change their place, so that it is not certain on which socket they are.
#[test]
fn over_rustls_nobody_is_joined_with_somebody_else() {
    let certificates = Certificates::create();
    let pair = Pair::start("links-tokio-plain", &[], Some(&certificates));
    let (row, finished) = pair.under(&Load::of_a_row(), "fan");
    println!("joins: rustls: {row}");
    assert!(row.joins.sum() >= requests(), "{}", finished.story());
    assert_eq!(row.joins.wrong, 0, "{row}");
}

/// What is never answered over TLS has no number by which both ends know it.
#[test]
fn over_tls_what_is_never_answered_is_apart() {
    const ASKED: usize = 10;
    let back = Nginx::start_tls(&Certificates::create(), "", "location / { return 444; }");
    let front = front(&at(&back), "https");
    let daemon = watched([&front, &back], &[]);
    for number in 0..ASKED {
        let said = curl(&[&front.url(&format!("/r{number}/a"))]);
        assert_eq!(said, ["502"]);
    }
    daemon.wait_for_count(3 * ASKED);
    let finished = daemon.stop();
    let row = Row::of(&finished.spans);
    let (joins, calls) = (row.joins, row.calls);
    assert_eq!((joins.right, joins.wrong), (0, 0), "{}", finished.story());
    assert_eq!(
        (calls.right, calls.wrong),
        (ASKED, 0),
        "{}",
        finished.story()
    );
}

/// Each worker is in one of them, and what its calls lead to may be in the other.
#[test]
fn with_two_shards_both_ends_are_joined_within_one_of_them_or_are_apart() {
    let back = Nginx::start(1, "", ANSWER);
    let front = front(&at(&back), "http");
    let daemon = watched([&front, &back], &[("WIRESPAN_SHARDS", "2")]);
    let load = Load::of_a_row();
    let requests = load.requests;
    assert_eq!(send(load, &front.url("")), requests);
    daemon.wait_for_count(3 * requests);
    let finished = daemon.stop();
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let Row { joins, calls, .. } = Row::of(&finished.spans);
    println!("joins: two shards: {joins}");
    assert_eq!((joins.wrong, calls.wrong), (0, 0), "{}", finished.story());
    assert_eq!(joins.right + joins.none, 2 * requests);
}
