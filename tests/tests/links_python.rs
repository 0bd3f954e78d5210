//! How well calls of Python programs are linked to the requests that they serve: real servers and
//! clients as set-up installs them, many requests at a time, several shapes of calls in each row.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::built_by_setup;
use wirespan_tests::links::{Load, Row, Target};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::workload::{eventually, file};

/// What each row must reach whose calls all have a request.
const TARGET: Target = Target {
    right: 99.0,
    wrong: 0.02,
};

/// What handlers do that await, with the number of calls that each makes.
const AWAITING: [(&str, usize); 3] = [("direct", 2), ("fan_out", 3), ("nested", 2)];
/// The same on threads.
const ON_THREADS: [(&str, usize); 2] = [("threads", 2), ("executor", 2)];

/// A server, and the backend that it calls.
struct Served {
    port: u16,
    server: Process,
    _backend: Process,
}

impl Served {
    /// Starts what `command` makes of a port, and waits until it listens.
    fn start(command: impl FnOnce(&str) -> Command) -> Self {
        let (port, backend_port) = (ports::free(), ports::free());
        let mut backend = python();
        backend.arg("backend.py").arg(backend_port.to_string());
        let backend = Process::start("backend", &mut backend);
        backend.expect_line("listening");
        let mut command = command(&port.to_string());
        command.env("BACKEND", backend_port.to_string());
        let mut server = Process::start("server", &mut command);
        eventually("it to listen", || {
            assert!(server.status().is_none(), "{}", server.story());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            port,
            server,
            _backend: backend,
        }
    }

    /// Asks for shapes by turns, and looks at what became of their calls. The server has served
    /// those of `first` already when the daemon comes.
    fn row(&self, shapes: &[(&str, usize)], first: &[(&str, usize)]) -> (Row, usize) {
        let base = format!("http://127.0.0.1:{}", self.port);
        let target = |shapes: &[(&str, usize)], id: &str| {
            let number: usize = id[1..].parse().expect("a number");
            format!("/{id}/{}", shapes[number % shapes.len()].0)
        };
        // What is imported late, and threads of pools, are there when it counts.
        let warm_up = Load {
            requests: 100,
            ..Load::of_a_row()
        };
        let answered = warm_up.send(&base, |id| target(first, id));
        assert_eq!(answered, warm_up.requests);
        let daemon = Daemon::for_port(self.port);
        daemon.wait_until_following();
        let load = Load::of_a_row();
        assert_eq!(load.send(&base, |id| target(shapes, id)), load.requests);
        let calls = (0..load.requests).map(|number| shapes[number % shapes.len()].1);
        let finished = daemon.stop();
        println!("{}", finished.log.join("\n"));
        (Row::of(&finished.spans), calls.sum())
    }

    fn reaches(&self, name: &str, shapes: &[(&str, usize)]) {
        let (row, calls) = self.row(shapes, shapes);
        row.assert(name, Some(calls), TARGET);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The first process ends the others.
        self.server.signal(Signal::TERM);
        let _ = self.server.wait_within(LIMIT);
    }
}

/// Python as Debian has it, with what set-up installed for it.
fn python() -> Command {
    let interpreter = std::env::var_os("WIRESPAN_PYTHON");
    let mut command = tied(interpreter.unwrap_or_else(|| "/usr/bin/python3".into()));
    let libraries = std::env::var_os("WIRESPAN_PYTHON_LIBRARIES");
    let libraries = libraries.map_or_else(|| built_by_setup("links/python"), PathBuf::from);
    command
        .current_dir(file("links/python"))
        .env("PYTHONPATH", libraries)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn gunicorn(port: &str, arguments: &[&str]) -> Command {
    let mut command = python();
    command
        .args(["-m", "gunicorn", "--bind", &format!("127.0.0.1:{port}")])
        .args(arguments);
    command
}

fn script(name: &str, port: &str, arguments: &[&str]) -> Command {
    let mut command = python();
    command.args(["-u", name, port]).args(arguments);
    command
}

#[test]
fn fastapi_and_httpx() {
    let served = Served::start(|port| script("fastapi_app.py", port, &["asyncio", "h11"]));
    let shapes = [&AWAITING[..], &ON_THREADS, &[("cancelled", 1)]].concat();
    served.reaches("fastapi, httpx, asyncio, h11", &shapes);
}

/// What comes after a response may come too late to be known as its request's, and is then
/// nobody's.
#[test]
fn calls_that_outlive_their_requests_are_theirs_or_nobodys() {
    let served = Served::start(|port| script("fastapi_app.py", port, &["asyncio", "h11"]));
    let shapes = [("background", 2), ("forgotten", 2)];
    let (row, calls) = served.row(&shapes, &shapes);
    let target = Target {
        right: 49.0,
        wrong: 0.0,
    };
    row.assert("fastapi, after the response", Some(calls), target);
}

#[test]
fn fastapi_with_middleware_and_a_small_pool() {
    let served = Served::start(|port| {
        let mut command = script("fastapi_app.py", port, &["uvloop", "httptools"]);
        command.env("MIDDLEWARE", "1").env("POOL", "10");
        command
    });
    let more = [("streamed", 2), ("on_thread", 2)];
    let shapes = [&AWAITING[..], &more].concat();
    served.reaches("fastapi, httpx, uvloop, httptools, middleware", &shapes);
}

#[test]
fn aiohttp_on_both_sides() {
    let shapes = [&AWAITING[..], &ON_THREADS, &[("cancelled", 1)]].concat();
    for event_loop in ["asyncio", "uvloop"] {
        let served = Served::start(|port| script("aiohttp_app.py", port, &[event_loop]));
        served.reaches(&format!("aiohttp, {event_loop}"), &shapes);
    }
}

/// A worker serves anybody, also before the request that started it is over: none of its calls are
/// told to belong to that one.
#[test]
fn a_worker_that_a_request_started_belongs_to_none() {
    let served = Served::start(|port| script("aiohttp_app.py", port, &[]));
    let (row, calls) = served.row(&[("lazy", 1), ("direct", 2)], &[("direct", 2)]);
    let target = Target {
        right: 60.0,
        wrong: 0.0,
    };
    row.assert("aiohttp, workers of all", Some(calls), target);
}

#[test]
fn django_with_and_without_await() {
    let served = Served::start(|port| {
        let mut command = python();
        command
            .args(["-m", "uvicorn", "--log-level", "warning", "--port", port])
            .arg("django_app:asgi");
        command
    });
    let shapes = [
        ("direct", 2),
        ("fan_out", 3),
        ("mixed", 2),
        ("sync/sync_direct", 2),
    ];
    served.reaches("django, asgi", &shapes);
    drop(served);
    let served = Served::start(|port| {
        gunicorn(
            port,
            &[
                "--worker-class",
                "gthread",
                "--threads",
                "8",
                "django_app:wsgi",
            ],
        )
    });
    let shapes = [
        ("sync/sync_direct", 2),
        ("sync/sync_executor", 2),
        ("threads", 2),
    ];
    served.reaches("django, wsgi", &shapes);
}

#[test]
fn flask_under_gunicorn() {
    let on_threads = [
        ("sync_direct", 2),
        ("sync_executor", 2),
        ("sync_threads", 2),
    ];
    let served = Served::start(|port| gunicorn(port, &["--workers", "2", "wsgi_app:app"]));
    served.reaches("flask, gunicorn, sync", &on_threads);
    drop(served);
    let served = Served::start(|port| {
        gunicorn(
            port,
            &[
                "--worker-class",
                "gthread",
                "--threads",
                "8",
                "wsgi_app:app",
            ],
        )
    });
    served.reaches("flask, gunicorn, gthread", &on_threads);
}

/// What greenlets call that a handler spawns belongs to nobody, as they share nothing with it.
#[test]
fn flask_under_gunicorn_with_greenlets() {
    let served =
        Served::start(|port| gunicorn(port, &["--worker-class", "gevent", "wsgi_app:app"]));
    served.reaches("flask, gunicorn, gevent", &[("sync_direct", 2)]);
    let shapes = [("spawned", 2), ("sync_direct", 2)];
    let (row, calls) = served.row(&shapes, &shapes);
    let target = Target {
        right: 45.0,
        wrong: 0.0,
    };
    row.assert("flask, gunicorn, gevent, spawned", Some(calls), target);
}
