//! OpenSSL as programs have it: shared in versions 1.1 and 3, and linked into the executable. What
//! the programs say that they served and asked is compared with their spans, request by request.

use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::tls::{
    self, Apache, Certificates, Postgres, assert_served, called, served, wait_for_probes,
};
use wirespan_tests::truth::assert_same;
use wirespan_tests::visits::assert_told;
use wirespan_tests::workload::{Nginx, Server, curl, file};

/// A server of its own on OpenSSL, in one of its modes.
fn in_c(
    mode: &str,
    program: impl FnOnce(&std::path::Path) -> std::path::PathBuf,
) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(directory.path());
    let server = tls::tls_server(&Certificates::create(), tied(program), &[mode]);
    (directory, server)
}

#[test]
fn nginx_over_tls_is_told_as_it_logged() {
    let certificates = Certificates::create();
    let nginx = Nginx::start_tls(&certificates, "", "");
    nginx.serve_file("small.txt", 300);
    nginx.serve_file("large.bin", 3_000_000);
    let daemon = Daemon::for_port(nginx.port);
    let requests: [&[&str]; 9] = [
        &[
            &nginx.url("/small.txt"),
            &nginx.url("/fixed/1"),
            "--output",
            "/dev/null",
        ],
        &["--head", &nginx.url("/small.txt")],
        &[&nginx.url("/large.bin")],
        &["--range", "10-29", &nginx.url("/small.txt")],
        &[&nginx.url("/fixed/?q=1")],
        &[&nginx.url("/missing/")],
        &["--data-binary", "body", &nginx.url("/small.txt")],
        &["--tls-max", "1.2", &nginx.url("/small.txt?tls=1.2")],
        &["--http1.0", &nginx.url("/small.txt")],
    ];
    for request in requests {
        let _ = curl(&[&tls::INSECURE[..], request].concat());
    }
    let truth = nginx.truth(10);
    daemon.wait_for_count(10);
    let finished = daemon.stop();
    assert_served(&finished, truth, nginx.port);
    let _ = curl(&[&tls::INSECURE[..], &[&nginx.url("/after")]].concat());
    let _ = nginx.truth(11);
}

#[test]
fn nginx_calls_over_tls_what_is_behind_it() {
    let certificates = Certificates::create();
    let python = tls::plain_python_server(&certificates);
    let upstream = format!(
        "upstream python {{ server 127.0.0.1:{}; keepalive 4; }}",
        python.port
    );
    let nginx = Nginx::start_tls(
        &certificates,
        &upstream,
        "location / { proxy_pass https://python; proxy_http_version 1.1; proxy_buffering off;
         proxy_set_header Connection ''; proxy_set_header Host $host:$server_port; }",
    );
    let ports = format!("{},{}", nginx.port, python.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let targets: Vec<_> = (0..12).map(|n| format!("/behind/{n}?size={n}00")).collect();
    for target in &targets {
        let _ = curl(&[&tls::INSECURE[..], &[&nginx.url(target)]].concat());
    }
    let (proxied, served) = (nginx.truth(12), python.truth(12));
    daemon.wait_for_count(3 * 12);
    let finished = daemon.stop();
    let of = |kind, service: &str| -> Vec<&Seen> {
        let spans = finished.of_kind(kind).into_iter();
        spans
            .filter(|span| span.resource["service.name"] == service)
            .collect()
    };
    assert_told(
        "nginx as a client",
        served.clone(),
        &of(Kind::Client, "nginx"),
    );
    assert_told("Python behind nginx", served, &of(Kind::Server, "server"));
    assert_told("nginx as a server", proxied, &of(Kind::Server, "nginx"));
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    for span in of(Kind::Client, "nginx") {
        let full = span.get("url.full").unwrap_or_default();
        assert!(full.starts_with("https://"), "{span}");
        assert_eq!(
            span.get("network.peer.port"),
            Some(&*python.port.to_string()),
            "{span}"
        );
    }
}

#[test]
fn apache_over_tls_is_told_as_it_logged() {
    let apache = Apache::start(&Certificates::create(), "");
    apache.serve_file("small.txt", 300);
    apache.serve_file("large.bin", 3_000_000);
    let daemon = Daemon::for_port(apache.port);
    let requests: [&[&str]; 8] = [
        &[
            &apache.url("/small.txt"),
            &apache.url("/small.txt?2"),
            "--output",
            "/dev/null",
        ],
        &["--head", &apache.url("/small.txt")],
        &[&apache.url("/large.bin")],
        &["--range", "10-29", &apache.url("/small.txt")],
        &[&apache.url("/missing")],
        &["--data-binary", "body", &apache.url("/small.txt?posted")],
        &["--tls-max", "1.2", &apache.url("/small.txt?tls=1.2")],
        &["--http1.0", &apache.url("/small.txt?old")],
    ];
    for request in requests {
        let _ = curl(&[&tls::INSECURE[..], request].concat());
    }
    // Apache logs the size of what it would have sent to HEAD.
    let truth = apache.truth(9).into_iter().map(|mut exchange| {
        if exchange.method == "HEAD" {
            exchange.response_body = Some(0);
        }
        exchange
    });
    let truth = truth.collect();
    daemon.wait_for_count(9);
    let finished = daemon.stop();
    assert_served(&finished, truth, apache.port);
    let after = curl(&[&tls::INSECURE[..], &[&apache.url("/small.txt")]].concat());
    assert_eq!(after, ["200"]);
}

#[test]
fn pythons_ssl_module_is_told_as_it_served() {
    let _ = served(&mut tls::plain_python_server(&Certificates::create()));
}

#[test]
fn aiohttp_is_told_as_it_served() {
    let _ = served(&mut tls::python_server(
        &Certificates::create(),
        "aiohttp_server.py",
    ));
}

#[test]
fn uvicorn_is_told_as_it_served() {
    let _ = served(&mut tls::python_server(
        &Certificates::create(),
        "uvicorn_server.py",
    ));
}

#[test]
fn ruby_is_told_as_it_served() {
    let _ = served(&mut tls::ruby_server(&Certificates::create()));
}

#[test]
fn node_is_told_as_it_served() {
    let _ = served(&mut tls::node_server(&Certificates::create()));
}

#[test]
fn a_program_on_openssl_3_is_told_as_it_served_and_peeks_do_not_count() {
    let (_directory, mut server) = in_c("plain", tls::openssl_3);
    let _ = served(&mut server);
}

#[test]
fn a_program_on_openssl_1_1_is_told_as_it_served() {
    let modes = ["plain", "ex", "memory"].map(|mode| in_c(mode, tls::openssl_1_1));
    let (_directories, mut servers): (Vec<_>, Vec<_>) = modes.into_iter().unzip();
    tls::served_side_by_side(&mut servers);
}

#[test]
fn the_forms_with_ex_are_told_as_they_served() {
    let (_directory, mut server) = in_c("ex", tls::openssl_3);
    let _ = served(&mut server);
}

#[test]
fn memory_bios_are_told_with_the_socket_that_they_were_filled_from() {
    let (_directory, mut server) = in_c("memory", tls::openssl_3);
    let _ = served(&mut server);
}

#[test]
fn a_thread_that_reads_ahead_of_openssl_hides_nothing() {
    let (_directory, mut server) = in_c("ahead", tls::openssl_3);
    let _ = served(&mut server);
}

#[test]
fn connections_that_move_across_threads_that_have_several_are_told_apart() {
    let (_directory, mut server) = in_c("moving", tls::openssl_3);
    let _ = served(&mut server);
}

#[test]
fn openssl_in_a_static_position_independent_executable_is_told_as_it_served() {
    let (_directory, mut server) = in_c("plain", tls::static_openssl);
    let _ = served(&mut server);
}

#[test]
fn a_static_executable_without_symbols_is_left_alone_and_named() {
    let (_directory, mut server) = in_c("plain", |directory| {
        let program = tls::static_openssl(directory);
        tls::stripped(directory, &program)
    });
    let _ = tls::opaque_server(&mut server, &["openssl-stripped", "symbol"]);
}

#[test]
fn curl_over_tls_is_told_as_the_server_saw_it() {
    // Watched as well: it maps the library that curl does, which so is read before curl is there.
    let server = tls::plain_python_server(&Certificates::create());
    // A name of its own: other tests use curl too.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("one-request");
    std::fs::copy("/usr/bin/curl", &program).expect("curl is installed");
    let glob = format!("{}/*", directory.path().display());
    let daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", &glob),
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
    ]);
    for number in 0..5 {
        // What a process says before it has probes is not promised, so it is kept from beginning
        // until it has them: it reads first, and to the end, what it is to do.
        let mut client = Process::start(
            "one-request",
            tied(&program)
                .args(tls::INSECURE)
                .args(["--silent", "--config", "-"]),
        );
        let _ = wait_for_probes(client.pid(), "libssl.so.3");
        for target in [format!("/one/{number}?size=30"), format!("/two/{number}")] {
            client.tell(&format!("url = \"{}\"", server.url(&target)));
            client.tell("output = \"/dev/null\"");
        }
        client.close_input();
        client.succeed();
    }
    tls::assert_both(daemon, &server, 10);
}

#[test]
fn pythons_requests_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let client = tls::python_client(&certificates, "requests_client.py", &[]);
    let _ = called(client, &server);
}

#[test]
fn pythons_urllib_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let _ = called(tls::urllib_client(&certificates), &server);
}

#[test]
fn aiohttps_client_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let client = tls::python_client(&certificates, "aiohttp_client.py", &[]);
    let _ = called(client, &server);
}

#[test]
fn connections_of_one_thread_at_once_are_told_apart() {
    const TIMES: usize = 12;
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let mut client = tls::python_client(&certificates, "aiohttp_client.py", &[]);
    let daemon = Daemon::for_pid(client.process.pid());
    for round in 0..3 {
        let url = server.url(&format!("/at-once/{round}?size={round}17"));
        client.process.tell(&format!("*{TIMES} GET {url} 0"));
    }
    let truth = client.truth(3 * TIMES);
    daemon.wait_for_count(3 * TIMES);
    let finished = daemon.stop();
    tls::assert_called(&finished, truth, &server);
    let ports: std::collections::BTreeSet<_> = finished
        .spans
        .iter()
        .map(|span| span.trace_id.clone())
        .collect();
    assert_eq!(ports.len(), 3 * TIMES);
}

#[test]
fn rubys_net_http_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let _ = called(tls::ruby_client(&certificates), &server);
}

#[test]
fn nodes_https_client_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let _ = called(tls::node_client(&certificates, &file("client.js")), &server);
}

#[test]
fn nodes_fetch_is_told_as_it_asked() {
    let certificates = Certificates::create();
    let server = tls::plain_python_server(&certificates);
    let script = tls::workload("fetch_client.mjs");
    let _ = called(tls::node_client(&certificates, &script), &server);
}

/// Both ends are watched; libpq is the client.
#[test]
fn a_database_over_tls_yields_no_span_on_either_side_and_works() {
    let postgres = Postgres::start(&Certificates::create());
    let witness = Server::python();
    let mut client = Process::start("psql", &mut postgres.client());
    let connected = "select ssl from pg_stat_ssl where pid = pg_backend_pid();";
    client.tell(connected);
    client.expect_line("t");
    let pids = format!("{},{}", client.pid(), witness.process.pid());
    let daemon = Daemon::start(&[
        ("BEYLA_OPEN_PORT", &postgres.port.to_string()),
        ("BEYLA_TARGET_PID", &pids),
    ]);
    daemon.wait_until_watching(client.pid());
    let rows = tls::surveyed("BEYLA_TARGET_PID", &client.pid().to_string());
    // It has GnuTLS as well, which LDAP brings.
    let found = rows[0]["tls"].as_array().expect("a list");
    let is_openssl = found.iter().any(|tls| tls["library"] == "OpenSSL");
    assert!(is_openssl, "{rows:#?}");
    // On the connection that was there, and on one that begins now.
    for reconnects in ["", "\\connect -"] {
        client.tell(reconnects);
        for number in 0..3 {
            client.tell(&format!(
                "select 'answer {number}{reconnects}' as \"GET / HTTP/1.1\";"
            ));
            client.expect_line(&format!("answer {number}{reconnects}"));
        }
    }
    client.tell("\\quit");
    assert!(client.wait().success(), "{}", client.story());
    let _ = curl(&[&witness.url("/witness")]);
    daemon.wait_for("the witness", |spans| !spans.is_empty());
    let finished = daemon.stop();
    assert_same(
        "spans",
        ["Server GET /witness 200, request 0 B, response 5 B".to_owned()],
        finished.lines(),
    );
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}
