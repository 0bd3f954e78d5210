//! Calls of programs in Java: on threads that Java has from the kernel, linked by threads, and on
//! virtual ones, which share those.

use std::path::Path;

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::links::java::{Classes, java, reticent};
use wirespan_tests::links::{Load, Row, Target, requests};
use wirespan_tests::ports;
use wirespan_tests::process::Process;
use wirespan_tests::tunnels::listening;
use wirespan_tests::workload::Server;

const TARGET: Target = Target {
    right: 99.0,
    wrong: 0.0,
};
/// Nothing is known, and that is what is told.
const NOBODY: Target = Target {
    right: 0.0,
    wrong: 0.0,
};

/// A shape of what a request leads to, and how many calls it makes.
type Shape = (&'static str, usize);

/// Two calls one after the other by `HttpURLConnection`, two on sockets of their own, one of those
/// of which there are eight at a time.
const SHAPES: [Shape; 3] = [("direct", 2), ("socket", 2), ("few", 1)];
/// A call that is given up, and one after it.
const GIVEN_UP: [Shape; 1] = [("given-up", 2)];
/// What others do for a request: a pool, virtual threads that it makes, `java.net.http.HttpClient`.
const BY_OTHERS: [Shape; 3] = [("pool", 2), ("spawn", 3), ("client", 1)];

/// Asks such a server for shapes by turns. Returns what became of its calls, and how many it made.
fn row(
    classes: &Classes,
    java: &Path,
    kinds: [&str; 2],
    shapes: &[Shape],
) -> (Row, usize, Finished) {
    let back = Server::hyper();
    let port = ports::free();
    let command = classes.served(java, kinds, port, back.port);
    let front: Process = listening("java", command, port);
    let daemon = Daemon::for_pid(front.pid());
    let shape = |id: &str| shapes[id[1..].parse::<usize>().expect("a number") % shapes.len()];
    let load = Load::of_a_row();
    let base = format!("http://127.0.0.1:{port}");
    let answered = load.send(&base, |id| format!("/{id}/{}", shape(id).0));
    assert_eq!(answered, load.requests, "{}", front.story());
    let finished = daemon.stop();
    let ids = (0..requests()).map(|number| format!("r{number}"));
    let calls = ids.map(|id| shape(&id).1).sum();
    (Row::of(&finished.spans), calls, finished)
}

fn reaches(version: &str, kinds: [&str; 2], shapes: &[Shape], target: Target) {
    let classes = Classes::compile();
    let (row, calls, _) = row(&classes, &java(version), kinds, shapes);
    let shapes: Vec<&str> = shapes.iter().map(|(name, _)| *name).collect();
    let name = format!("Java {version}, {} {}, {shapes:?}", kinds[0], kinds[1]);
    row.assert(&name, Some(calls), target);
}

#[test]
fn virtual_threads_of_the_newest_java() {
    reaches("25", ["jdk", "virtual"], &SHAPES, TARGET);
    reaches("25", ["tomcat", "virtual"], &SHAPES, TARGET);
}

#[test]
fn virtual_threads_of_java_21() {
    reaches("21", ["jdk", "virtual"], &SHAPES, TARGET);
    reaches("21", ["tomcat", "virtual"], &SHAPES, TARGET);
}

#[test]
fn threads_of_a_java_that_has_virtual_ones() {
    reaches("25", ["jdk", "pool"], &SHAPES, TARGET);
    reaches("21", ["tomcat", "pool"], &SHAPES, TARGET);
}

#[test]
fn threads_of_a_java_that_has_no_others() {
    reaches("17", ["jdk", "pool"], &SHAPES, TARGET);
    reaches("17", ["tomcat", "pool"], &SHAPES, TARGET);
}

#[test]
fn calls_that_are_given_up() {
    reaches("25", ["jdk", "virtual"], &GIVEN_UP, TARGET);
}

#[test]
fn what_others_do_for_a_request_is_left_alone() {
    reaches("25", ["tomcat", "virtual"], &BY_OTHERS, NOBODY);
    reaches("21", ["jdk", "virtual"], &BY_OTHERS, NOBODY);
    reaches("25", ["jdk", "pool"], &BY_OTHERS, NOBODY);
}

/// Threads of the kernel run whichever virtual thread is next.
#[test]
fn virtual_threads_that_cannot_be_told_apart_are_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let java = reticent(&java("25"), directory.path());
    let classes = Classes::compile();
    let (row, _, finished) = row(&classes, &java, ["jdk", "virtual"], &SHAPES);
    row.assert("Java that tells nothing", None, NOBODY);
    assert_eq!(row.calls.right, 0, "{row}");
    let said = "can't tell apart the tasks of";
    assert!(
        finished.log.iter().any(|line| line.contains(said)),
        "{finished:?}"
    );
}
