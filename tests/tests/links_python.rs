//! How well calls of Python programs are linked to the requests that they serve: real servers and
//! clients as set-up installs them, many requests at a time, several shapes of calls in each row.

use wirespan_tests::links::Target;
use wirespan_tests::links::python::{AWAITING, Interpreter, ON_THREADS, Served};

#[test]
fn fastapi_and_httpx() {
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| {
        python.script("fastapi_app.py", port, &["asyncio", "h11"])
    });
    let shapes = [&AWAITING[..], &ON_THREADS, &[("cancelled", 1)]].concat();
    served.reaches("fastapi, httpx, asyncio, h11", &shapes);
}

/// What comes after a response may come too late to be part of its request, and then points at it.
#[test]
fn calls_that_outlive_their_requests_are_theirs_or_point_at_them() {
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| {
        python.script("fastapi_app.py", port, &["asyncio", "h11"])
    });
    let shapes = [("background", 2), ("forgotten", 2)];
    let (row, calls) = served.row(&shapes, &shapes);
    let target = Target {
        right: 49.0,
        wrong: 0.0,
    };
    row.assert("fastapi, after the response", Some(calls), target);
    let pointing = row.pointing;
    assert_eq!(pointing.wrong, 0, "{row}");
    assert!(pointing.right > pointing.none, "{row}");
}

#[test]
fn fastapi_with_middleware_and_a_small_pool() {
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| {
        let mut command = python.script("fastapi_app.py", port, &["uvloop", "httptools"]);
        command.env("MIDDLEWARE", "1").env("POOL", "10");
        command
    });
    let more = [("streamed", 2), ("on_thread", 2)];
    let shapes = [&AWAITING[..], &more].concat();
    served.reaches("fastapi, httpx, uvloop, httptools, middleware", &shapes);
}

#[test]
fn aiohttp_on_both_sides() {
    let python = Interpreter::debians();
    let shapes = [&AWAITING[..], &ON_THREADS, &[("cancelled", 1)]].concat();
    for event_loop in ["asyncio", "uvloop"] {
        let served = Served::start(&python, |port| {
            python.script("aiohttp_app.py", port, &[event_loop])
        });
        served.reaches(&format!("aiohttp, {event_loop}"), &shapes);
    }
}

/// A worker serves anybody, also before the request that started it is over: none of its calls are
/// told to belong to that one.
#[test]
fn a_worker_that_a_request_started_belongs_to_none() {
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| python.script("aiohttp_app.py", port, &[]));
    let (row, calls) = served.row(&[("lazy", 1), ("direct", 2)], &[("direct", 2)]);
    let target = Target {
        right: 60.0,
        wrong: 0.0,
    };
    row.assert("aiohttp, workers of all", Some(calls), target);
}

#[test]
fn django_with_and_without_await() {
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| {
        let mut command = python.command();
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
    let served = Served::start(&python, |port| {
        python.gunicorn(
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
    let python = Interpreter::debians();
    let on_threads = [
        ("sync_direct", 2),
        ("sync_executor", 2),
        ("sync_threads", 2),
    ];
    let served = Served::start(&python, |port| {
        python.gunicorn(port, &["--workers", "2", "wsgi_app:app"])
    });
    served.reaches("flask, gunicorn, sync", &on_threads);
    drop(served);
    let served = Served::start(&python, |port| {
        python.gunicorn(
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
    let python = Interpreter::debians();
    let served = Served::start(&python, |port| {
        python.gunicorn(port, &["--worker-class", "gevent", "wsgi_app:app"])
    });
    served.reaches("flask, gunicorn, gevent", &[("sync_direct", 2)]);
    let shapes = [("spawned", 2), ("sync_direct", 2)];
    let (row, calls) = served.row(&shapes, &shapes);
    let target = Target {
        right: 45.0,
        wrong: 0.0,
    };
    row.assert("flask, gunicorn, gevent, spawned", Some(calls), target);
}
