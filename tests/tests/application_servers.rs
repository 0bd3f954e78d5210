//! Servers that run other people's applications in several processes, as Debian has them: each
//! request has its span, under the process that served it and the application's name. The daemon is
//! there first, and later. Other servers of the kind are tried by hand.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::workload::{Nginx, Server, await_listening, children_of, eventually, file};

/// Requests before whatever happens in a test, and after it, each on a connection of its own.
const REQUESTS: usize = 12;

/// Target of a request, name of the service and number of the process that served it.
type Served = (String, String, String);

/// What listens on a port; its parts end with it.
struct Pool {
    port: u16,
    process: Process,
    service: &'static str,
}

impl Pool {
    fn start(port: u16, service: &'static str, command: &mut Command) -> Self {
        let mut process = Process::start(service, command);
        await_listening(&mut process, port);
        Self {
            port,
            process,
            service,
        }
    }

    /// Asks under `/part/…`; what is to be told of that.
    fn ask(&self, part: &str) -> BTreeSet<Served> {
        let served = (0..REQUESTS).map(|number| {
            let target = format!("/{part}/{number}");
            let pid = answer(&format!("http://127.0.0.1:{}{target}", self.port));
            (target, self.service.to_owned(), pid)
        });
        served.collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The first process ends the others, or nobody does.
        self.process.signal(Signal::TERM);
        let _ = self.process.wait_within(wirespan_tests::process::LIMIT);
    }
}

/// The body of an answer, which has one line.
fn answer(url: &str) -> String {
    let mut command = tied("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "60",
        url,
    ]);
    Process::start("curl", &mut command).succeed().join("\n")
}

fn seen(finished: &Finished) -> BTreeSet<Served> {
    let spans = finished.of_kind(Kind::Server).into_iter();
    spans.map(told).collect()
}

/// What a span tells of that.
fn told(span: &Seen) -> Served {
    let name = span.resource["service.name"].clone();
    (span.target(), name, span.resource["process.pid"].clone())
}

/// Asks what `start` starts, with the daemon there before it, and again with the daemon coming
/// after; each time once more after `then`.
fn all_is_seen(start: impl Fn(u16) -> Pool, then: impl Fn(&mut Pool)) {
    for is_first in [true, false] {
        let port = ports::free();
        let first = is_first.then(|| Daemon::for_port(port));
        let mut pool = start(port);
        let daemon = first.unwrap_or_else(|| Daemon::for_port(port));
        let mut served = pool.ask("before");
        then(&mut pool);
        served.extend(pool.ask("after"));
        daemon.wait_for_count(2 * REQUESTS);
        let finished = daemon.stop();
        assert_eq!(seen(&finished), served, "daemon first: {is_first}");
        assert_eq!(finished.spans.len(), 2 * REQUESTS, "{}", finished.story());
    }
}

fn application(command: &mut Command) -> &mut Command {
    command.current_dir(file("served"))
}

#[test]
fn workers_that_uvicorn_spawns_are_seen() {
    let start = |port: u16| {
        let mut command = tied("/usr/bin/python3");
        command.args(["-m", "uvicorn", "--workers", "3", "--port"]);
        command.arg(port.to_string()).arg("shop:app");
        Pool::start(port, "shop", application(&mut command))
    };
    all_is_seen(start, |_| {});
}

/// Its workers give themselves a title, and one that ended has a successor.
#[test]
fn workers_that_gunicorn_forks_are_seen_under_one_name() {
    let start = |port: u16| {
        let mut command = tied("/usr/bin/gunicorn");
        command.args(["--workers", "2", "--threads", "2", "--bind"]);
        command.arg(format!("127.0.0.1:{port}")).arg("shop:wsgi");
        Pool::start(port, "shop", application(&mut command))
    };
    all_is_seen(start, |pool| {
        // One worker more.
        let before = children_of(pool.process.pid()).len();
        pool.process.signal(Signal::TTIN);
        eventually("a worker more", || {
            children_of(pool.process.pid()).len() > before
        });
    });
}

/// At a reload the first process executes itself anew and passes the listener on.
#[test]
fn what_haproxy_runs_after_a_reload_is_seen() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = |port: u16| -> PathBuf {
        let text = format!(
            "defaults\n mode http\n timeout client 60s\n timeout connect 60s\n timeout server 60s\n\
             frontend shop\n bind 127.0.0.1:{port}\n \
             http-request return status 200 content-type text/plain lf-string %pid\n"
        );
        let path = directory.path().join(format!("{port}.cfg"));
        std::fs::write(&path, text).expect("a configuration");
        path
    };
    let start = |port: u16| {
        let mut command = tied("haproxy");
        command.arg("-W").arg("-f").arg(configuration(port));
        Pool::start(port, "haproxy", &mut command)
    };
    all_is_seen(start, |pool| {
        let before = children_of(pool.process.pid());
        pool.process.signal(Signal::USR2);
        eventually("another worker", || {
            let now = children_of(pool.process.pid());
            !now.is_empty() && now.iter().all(|worker| !before.contains(worker))
        });
    });
}

/// php-fpm's processes speak FastCGI. Each has the name of its pool in a title that it gives itself
/// after it was forked.
#[test]
fn pools_of_php_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path().display();
    let pool = |name: &str, how: &str| {
        format!("[{name}]\nuser=root\nlisten={here}/{name}.sock\npm.max_children=1\npm={how}\n")
    };
    let configuration = directory.path().join("fpm.conf");
    let text = format!(
        "[global]\nerror_log={here}/log\ndaemonize=no\n{}{}",
        pool("shop", "static"),
        pool("till", "ondemand")
    );
    std::fs::write(&configuration, text).expect("a configuration");
    let asked = Server::python();
    let location = |name: &str| {
        let script = file("served/ask.php");
        let script = script.display();
        format!(
            "location /{name} {{ fastcgi_pass unix:{here}/{name}.sock; \
             fastcgi_param REQUEST_METHOD GET; fastcgi_param QUERY_STRING $query_string; \
             fastcgi_param DOCUMENT_URI /{name}; \
             fastcgi_param SCRIPT_FILENAME {script}; }}\n"
        )
    };
    let nginx = Nginx::start(1, "", &(location("shop") + &location("till")));
    for is_first in [true, false] {
        let start = || Daemon::start(&[("BEYLA_AUTO_TARGET_EXE", "*/php-fpm*")]);
        let first = is_first.then(start);
        let mut command = tied("php-fpm8.2");
        command.arg("-F").arg("-R").arg("-y").arg(&configuration);
        let mut fpm = Process::start("php-fpm", &mut command);
        let socket = directory.path().join("till.sock");
        eventually("it to listen", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        let daemon = first.unwrap_or_else(start);
        let mut served = BTreeSet::new();
        for name in ["shop", "till"] {
            let target = format!("/{name}?size=2");
            let url = nginx.url(&format!("/{name}?{}", asked.url(&target)));
            let said = answer(&url);
            let (_, pid) = said.rsplit_once(' ').expect("a pid");
            served.insert((target.clone(), name.to_owned(), pid.to_owned()));
            let asked = format!("/{name}?{}", asked.url(&target));
            served.insert((asked, name.to_owned(), pid.to_owned()));
        }
        daemon.wait_for_count(4);
        let finished = daemon.stop();
        let seen: BTreeSet<Served> = finished.spans.iter().map(told).collect();
        assert_eq!(seen, served, "daemon first: {is_first}");
        fpm.stop();
    }
}
