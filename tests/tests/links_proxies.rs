//! Requests that proxies pass on, linked to the requests they are for: nginx by its own structures,
//! HAProxy by its own, Apache by its threads. Servers behind them take their time, some longer than
//! others, so that requests overtake each other.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::links::{Load, Row, Target, requests};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tls::Certificates;
use wirespan_tests::tunnels::listening;
use wirespan_tests::workload::{Nginx, Server, binary, children_of, eventually, file};

/// Nearly all, and none wrong.
const TARGET: Target = Target {
    right: 99.9,
    wrong: 0.0,
};

/// Over fewer connections than there are requests at a time.
const PASS: &str =
    r#"proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";"#;

/// nginx's, mostly.
const WORKERS: usize = 2;

/// The first children of a server, which listens before it has made them.
fn workers(pid: u32, count: usize) -> Vec<u32> {
    eventually("workers", || children_of(pid).len() >= count);
    let mut workers = children_of(pid);
    workers.truncate(count);
    workers
}

fn upstream(port: u16) -> String {
    format!("upstream up {{ server 127.0.0.1:{port}; keepalive 8; }}")
}

/// A path, with how long the server is to take.
fn slow(id: &str) -> String {
    let number: usize = id.trim_start_matches('r').parse().expect("a number");
    format!("/{id}/x?delay={}", number * 7 % 13)
}

/// Watches these processes while requests are sent.
fn watch(pids: &[u32], load: impl FnOnce()) -> Row {
    let told: Vec<_> = pids.iter().map(u32::to_string).collect();
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &told.join(","))]);
    for pid in pids {
        daemon.wait_until_watching(*pid);
    }
    load();
    let finished = daemon.stop();
    Row::of(&finished.spans)
}

fn send(load: &Load, base: &str, target: impl Fn(&str) -> String + Sync) {
    assert_eq!(load.send(base, target), load.requests);
}

#[test]
fn nginx_passes_requests_on() {
    let back = Server::hyper();
    let locations = format!("location / {{ {PASS} }}");
    let nginx = Nginx::start(WORKERS, &upstream(back.port), &locations);
    let row = watch(&workers(nginx.process.pid(), WORKERS), || {
        send(&Load::of_a_row(), &nginx.url(""), slow);
    });
    row.assert("nginx, proxy_pass", Some(requests()), TARGET);
}

#[test]
fn nginx_asks_whether_it_may_and_streams_what_comes() {
    let back = Server::hyper();
    let locations = format!(
        "location = /auth {{ internal; proxy_pass http://up$told; proxy_pass_request_body off;
             proxy_set_header Content-Length \"\"; proxy_http_version 1.1;
             proxy_set_header Connection \"\"; }}
         location / {{ set $told $request_uri; auth_request /auth; proxy_buffering off; {PASS} }}"
    );
    let nginx = Nginx::start(WORKERS, &upstream(back.port), &locations);
    let row = watch(&workers(nginx.process.pid(), WORKERS), || {
        send(&Load::of_a_row(), &nginx.url(""), slow);
    });
    row.assert("nginx, auth_request", Some(2 * requests()), TARGET);
}

#[test]
fn nginx_waits_for_bodies_that_come_slowly() {
    let back = Server::hyper();
    let locations = format!("location / {{ {PASS} }}");
    let nginx = Nginx::start(WORKERS, &upstream(back.port), &locations);
    let row = watch(&workers(nginx.process.pid(), WORKERS), || {
        send_slowly(nginx.port)
    });
    row.assert("nginx, slow bodies", Some(requests()), TARGET);
}

/// Requests whose bodies come in two pieces, 50 at a time.
fn send_slowly(port: u16) {
    const AT_ONCE: usize = 50;
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
                for number in (first..requests()).step_by(AT_ONCE) {
                    post_slowly(&mut stream, &slow(&format!("r{number}")));
                }
            });
        }
    });
}

fn post_slowly(stream: &mut TcpStream, target: &str) {
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    for piece in [head.as_str(), "ab", "cd"] {
        stream.write_all(piece.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // The server's bodies are five x.
    while !answer.ends_with(b"\r\n\r\nxxxxx") {
        let len = stream.read(&mut piece).expect("an answer");
        assert!(len > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..len]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn nginx_has_many_requests_on_a_connection_in_front() {
    let back = Server::hyper();
    let locations = format!("location / {{ {PASS} }}");
    let nginx = Nginx::http2(WORKERS, &upstream(back.port), &locations);
    let load = Load {
        http2: true,
        ..Load::of_a_row()
    };
    let row = watch(&workers(nginx.process.pid(), WORKERS), || {
        send(&load, &nginx.url(""), slow)
    });
    row.assert("nginx, HTTP/2 in front", Some(requests()), TARGET);
}

#[test]
fn nginx_speaks_tls_on_both_sides() {
    let certificates = Certificates::create();
    let back = Server::on(ports::free(), |port| {
        let mut command = tied(binary("hyper-server"));
        command.arg(port);
        command.arg(certificates.certificate());
        command.arg(certificates.key());
        command
    });
    let locations = format!("location / {{ {} }}", PASS.replace("http:", "https:"));
    let upstreams = upstream(back.port);
    let load = |http2| Load {
        http2,
        trusted: Some(std::fs::read(certificates.authority()).expect("a certificate")),
        ..Load::of_a_row()
    };
    for (name, http2) in [("HTTP/1", false), ("HTTP/2", true)] {
        let nginx = Nginx::start_tls_with(&certificates, http2, &upstreams, &locations);
        let base = nginx.url("").replace("127.0.0.1", "localhost");
        let row = watch(&workers(nginx.process.pid(), 1), || {
            send(&load(http2), &base, slow)
        });
        let name = format!("nginx, TLS on both sides, {name} in front");
        row.assert(&name, Some(requests()), TARGET);
    }
}

#[test]
fn nginx_passes_streams_on_one_connection_each() {
    let back = Nginx::http2(1, "", "location / { return 200 \"ok\\n\"; }");
    let upstreams = upstream(back.port);
    let locations = "location / { grpc_pass grpc://up; }";
    let nginx = Nginx::http2(WORKERS, &upstreams, locations);
    let load = Load {
        http2: true,
        ..Load::of_a_row()
    };
    let row = watch(&workers(nginx.process.pid(), WORKERS), || {
        send(&load, &nginx.url(""), |id| format!("/{id}/x"));
    });
    row.assert("nginx, grpc_pass", Some(requests()), TARGET);
}

#[test]
fn nginx_answers_half_of_the_requests_from_its_cache() {
    let back = Server::hyper();
    let upstreams = format!(
        "proxy_cache_path cached keys_zone=all:1m; {}",
        upstream(back.port)
    );
    let locations = format!(
        "location / {{ proxy_cache all; proxy_cache_valid 200 1h; proxy_cache_key $uri; {PASS} }}"
    );
    let nginx = Nginx::start(1, &upstreams, &locations);
    let row = watch(&workers(nginx.process.pid(), 1), || {
        let half = Load {
            requests: requests() / 2,
            ..Load::of_a_row()
        };
        send(&half, &nginx.url(""), slow);
        send(&half, &nginx.url(""), slow);
    });
    row.assert("nginx, cache", Some(requests() / 2), TARGET);
}

/// HAProxy with these lines in its front and its servers' ones.
fn haproxy(directory: &Path, to: u16, front: &str, server: &str) -> (Process, u16) {
    let port = ports::free();
    let path = directory.join("haproxy.cfg");
    let configuration = format!(
        "global\n nbthread 4\ndefaults\n mode http\n timeout connect 9s\n timeout client 60s\n \
         timeout server 60s\n http-reuse always\nlisten all\n bind 127.0.0.1:{port} {front}\n \
         server behind 127.0.0.1:{to} {server}\n"
    );
    std::fs::write(&path, configuration).expect("a file");
    let mut command = tied("haproxy");
    command.arg("-db").arg("-f").arg(&path);
    (listening("haproxy", command, port), port)
}

#[test]
fn haproxy_passes_requests_on() {
    let back = Server::hyper();
    let directory = tempfile::tempdir().expect("a directory");
    let (haproxy, port) = haproxy(directory.path(), back.port, "", "");
    let row = watch(&[haproxy.pid()], || {
        send(&Load::of_a_row(), &format!("http://127.0.0.1:{port}"), slow);
    });
    row.assert("HAProxy", Some(requests()), TARGET);
}

#[test]
fn apache_passes_requests_on() {
    let back = Server::hyper();
    for mpm in ["event", "worker"] {
        let directory = tempfile::tempdir().expect("a directory");
        let (apache, port) = apache(directory.path(), mpm, back.port);
        let row = watch(&workers(apache.pid(), 1), || {
            send(&Load::of_a_row(), &format!("http://127.0.0.1:{port}"), slow);
        });
        row.assert(&format!("Apache, {mpm}"), Some(requests()), TARGET);
    }
}

/// Apache with one process of 64 threads.
fn apache(directory: &Path, mpm: &str, to: u16) -> (Process, u16) {
    let port = ports::free();
    let modules: String = [&format!("mpm_{mpm}"), "authz_core", "proxy", "proxy_http"]
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let here = directory.display();
    let configuration = format!(
        "ServerName localhost\nServerRoot {here}\n{modules}Listen 127.0.0.1:{port}\n\
         PidFile {here}/pid\nDefaultRuntimeDir {here}\nMutex file:{here}\nUser www-data\n\
         Group www-data\nErrorLog {here}/error.log\nStartServers 1\nServerLimit 1\n\
         ThreadLimit 64\nThreadsPerChild 64\nMaxRequestWorkers 64\nMinSpareThreads 1\n\
         MaxSpareThreads 64\nMaxKeepAliveRequests 0\n\
         ProxyPass / http://127.0.0.1:{to}/ keepalive=On max=32\n"
    );
    let path = directory.join("apache.conf");
    std::fs::write(&path, configuration).expect("a file");
    let mut command: Command = tied("apache2");
    command.arg("-f").arg(&path).arg("-DFOREGROUND");
    (listening("apache2", command, port), port)
}

/// php-fpm's processes do one thing at a time, and are told what HTTP asked.
#[test]
fn what_php_asks_for_behind_nginx_is_its_requests() {
    for kept in ["", "fastcgi_keep_conn on;"] {
        let back = Server::hyper();
        let (fpm, directory) = php_fpm();
        let here = directory.path().display();
        let script = file("served/ask.php");
        // Who keeps a connection keeps one of php-fpm's processes from all others.
        let upstream = format!("upstream up {{ server unix:{here}/shop.sock; keepalive 2; }}");
        let locations = format!(
            "location / {{ fastcgi_pass up; {kept} include /etc/nginx/fastcgi_params; \
             fastcgi_param SCRIPT_FILENAME {}; }}",
            script.display()
        );
        let nginx = Nginx::start(WORKERS, &upstream, &locations);
        let pids = [
            workers(nginx.process.pid(), WORKERS),
            workers(fpm.pid(), PHP_WORKERS),
        ];
        let told: Vec<_> = pids.concat().iter().map(u32::to_string).collect();
        // Those that are there are watched once it is ready; it does not name all of a kind.
        let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &told.join(","))]);
        send(&Load::of_a_row(), &nginx.url(""), |id| {
            format!("/{id}/php?{}", back.url(&slow(id)))
        });
        let row = Row::of(&daemon.stop().spans);
        assert_eq!(row.joins.wrong, 0, "{row}");
        let name = format!("nginx, fastcgi_pass to php-fpm {kept}");
        row.assert(name.trim(), Some(2 * requests()), TARGET);
    }
}

/// uWSGI's processes do one thing at a time, too, and ask twice for each request.
#[test]
fn what_python_asks_for_behind_nginx_is_its_requests() {
    let back = Server::hyper();
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("shop.sock");
    let mut command = tied("uwsgi");
    command.args([
        "--plugin",
        "python3",
        "--master",
        "--die-on-term",
        "--need-app",
    ]);
    command.args([
        "--processes",
        &UWSGI_WORKERS.to_string(),
        "--disable-logging",
    ]);
    command.arg("--chdir").arg(file("links"));
    command
        .args(["--module", "wsgi:application", "--socket"])
        .arg(&socket);
    command.env("BACKEND", back.port.to_string());
    let uwsgi = Process::start("uwsgi", &mut command);
    eventually("it to listen", || UnixStream::connect(&socket).is_ok());
    let locations = format!(
        "location / {{ uwsgi_pass unix:{}; include /etc/nginx/uwsgi_params; }}",
        socket.display()
    );
    let nginx = Nginx::start(WORKERS, "", &locations);
    let pids = [
        workers(nginx.process.pid(), WORKERS),
        workers(uwsgi.pid(), UWSGI_WORKERS),
    ];
    let row = watch(&pids.concat(), || {
        send(&Load::of_a_row(), &nginx.url(""), slow);
    });
    assert_eq!(row.joins.wrong, 0, "{row}");
    row.assert("nginx, uwsgi_pass to uWSGI", Some(3 * requests()), TARGET);
}

/// uWSGI's.
const UWSGI_WORKERS: usize = 4;

/// php-fpm's.
const PHP_WORKERS: usize = 8;

fn php_fpm() -> (Process, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path().display();
    let configuration = directory.path().join("fpm.conf");
    let text = format!(
        "[global]\nerror_log={here}/log\ndaemonize=no\n\
         [shop]\nuser=root\nlisten={here}/shop.sock\npm=static\npm.max_children={PHP_WORKERS}\n"
    );
    std::fs::write(&configuration, text).expect("a configuration");
    let mut command = tied("php-fpm8.2");
    command.arg("-F").arg("-R").arg("-y").arg(&configuration);
    (Process::start("php-fpm", &mut command), directory)
}
