//! Python: rows for each version from the oldest that is followed to the newest that Debian has.
//! Set-up unpacks those that a release of Debian has, each with a root of its own; the others are
//! run where the machine has them, and else the table says that they were not.

use wirespan_tests::links::not_run;
use wirespan_tests::links::python::{AWAITING, Interpreter, ON_THREADS, Served};

/// As `xtask/src/setup/pythons.rs` names them; 3.11 is the machine's own.
const VERSIONS: [&str; 6] = ["3.9", "3.10", "3.12", "3.13", "3.14", "3.15"];

/// Each of these, or the table says that it was not run.
fn each(versions: &[&str], row: &str, work: impl Fn(&Interpreter, &str)) {
    for version in versions {
        let name = format!("Python {version}: {row}");
        match Interpreter::of_version(version) {
            Some(python) => work(&python, &name),
            None => not_run(&name),
        }
    }
}

#[test]
fn aiohttp_in_each_version() {
    let shapes = [&AWAITING[..], &ON_THREADS, &[("cancelled", 1)]].concat();
    each(&VERSIONS, "aiohttp, asyncio", |python, name| {
        Served::start(python, |port| python.script("aiohttp_app.py", port, &[]))
            .reaches(name, &shapes);
    });
}

#[test]
fn aiohttp_on_uvloop_in_the_oldest_and_the_newest() {
    on_uvloop(&["3.9", "3.15"]);
}

#[test]
#[ignore = "a soak"]
fn aiohttp_on_uvloop_between() {
    on_uvloop(&VERSIONS[1..5]);
}

fn on_uvloop(versions: &[&str]) {
    each(versions, "aiohttp, uvloop", |python, name| {
        Served::start(python, |port| {
            python.script("aiohttp_app.py", port, &["uvloop"])
        })
        .reaches(name, &AWAITING);
    });
}

#[test]
fn flask_on_threads_in_each_version() {
    let shapes = [
        ("sync_direct", 2),
        ("sync_executor", 2),
        ("sync_threads", 2),
    ];
    let arguments = [
        "--worker-class",
        "gthread",
        "--threads",
        "8",
        "wsgi_app:app",
    ];
    each(&VERSIONS, "flask, gunicorn, gthread", |python, name| {
        Served::start(python, |port| python.gunicorn(port, &arguments)).reaches(name, &shapes);
    });
}
