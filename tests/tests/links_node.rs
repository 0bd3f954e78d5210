//! How well calls of Node are linked to the requests that they are made for, with the script that a
//! user may load and without; in each row several shapes of calls by turns.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use wirespan_tests::daemon::{Daemon, binary};
use wirespan_tests::grpc::built_by_setup;
use wirespan_tests::links::{Load, Row, Target, not_run};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::tls::{Certificates, built};
use wirespan_tests::workload::{await_listening, file};

const TARGET: Target = Target {
    right: 99.0,
    wrong: 0.02,
};
/// Nothing is known, and that is what is told.
const NOBODY: Target = Target {
    right: 0.0,
    wrong: 0.0,
};

/// What handlers do, with the number of calls that each makes.
const SHAPES: [(&str, usize); 7] = [
    ("direct", 2),
    ("callbacks", 2),
    ("fetched", 2),
    ("fan_out", 3),
    ("pooled", 2),
    ("posted", 1),
    // The first may be given up before it is sent.
    ("cancelled", 1),
];

/// The program that is made into one file.
const BUNDLED: &str = "a bundle";

/// A server, and the backend that it calls.
struct Served {
    port: u16,
    server: Process,
    _backend: Process,
    _script: tempfile::TempDir,
}

impl Served {
    /// Starts a program among the workloads, with the script as `wirespan` hands it out.
    fn with_script(node: &Path, program: &str) -> Self {
        Self::start(node, program, with_script)
    }

    fn start(node: &Path, program: &str, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        Self::start_on(node, program, None, prepare)
    }

    /// The same, both over TLS if there are certificates.
    fn start_on(
        node: &Path,
        program: &str,
        certificates: Option<&Certificates>,
        prepare: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        let (port, backend_port) = (ports::free(), ports::free());
        let run = |program: &str, port: u16| {
            let mut command = tied(node);
            let path = match program {
                BUNDLED => built_by_setup("bundled/app.cjs"),
                name => file(&format!("links/node/{name}")),
            };
            command.arg(path).arg(port.to_string());
            if let Some(certificates) = certificates {
                certificates.trusted_by(&mut command);
                command.env("CERTIFICATE", certificates.certificate());
                command.env("KEY", certificates.key());
            }
            command
        };
        let backend = Process::start("backend", &mut run("backend.js", backend_port));
        backend.expect_line("listening");
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("wirespan-node.cjs");
        let mut wirespan = tied(binary());
        Process::start("wirespan", wirespan.arg("node-script").arg(&script)).succeed();
        let mut command = run(program, port);
        command.env("BACKEND", backend_port.to_string());
        prepare(&mut command, &script);
        let mut server = Process::start("server", &mut command);
        await_listening(&mut server, port);
        Self {
            port,
            server,
            _backend: backend,
            _script: directory,
        }
    }

    /// Asks for shapes by turns, and looks at what became of their calls.
    fn row(&self, shapes: &[(&str, usize)], settings: &[(&str, &str)]) -> (Row, usize) {
        self.row_over("http", &Load::of_a_row(), shapes, settings)
    }

    fn row_over(
        &self,
        scheme: &str,
        load: &Load,
        shapes: &[(&str, usize)],
        settings: &[(&str, &str)],
    ) -> (Row, usize) {
        let port = self.port.to_string();
        let settings = [&[("BEYLA_OPEN_PORT", port.as_str())], settings].concat();
        let daemon = Daemon::start(&settings);
        let base = format!("{scheme}://127.0.0.1:{}", self.port);
        let answered = load.send(&base, |id| {
            let number: usize = id[1..].parse().expect("a number");
            format!("/{id}/{}", shapes[number % shapes.len()].0)
        });
        assert_eq!(answered, load.requests);
        let calls = (0..load.requests).map(|number| shapes[number % shapes.len()].1);
        let finished = daemon.stop();
        (Row::of(&finished.spans), calls.sum())
    }

    fn reaches(&self, name: &str) {
        self.reaches_by(name, &SHAPES);
    }

    fn reaches_by(&self, name: &str, shapes: &[(&str, usize)]) {
        let (row, calls) = self.row(shapes, &[]);
        row.assert(name, Some(calls), TARGET);
    }
}

fn with_script(command: &mut Command, script: &Path) {
    command.env("NODE_OPTIONS", format!("--require={}", script.display()));
}

impl Drop for Served {
    fn drop(&mut self) {
        // The first process ends the others.
        self.server.signal(Signal::TERM);
        let _ = self.server.wait_within(LIMIT);
    }
}

/// Whether it has channels on which it tells of streams of HTTP/2.
fn tells_of_streams(node: &Path) -> bool {
    const ASK: &str = "process.stdout.write(process.versions.node)";
    let told = tied(node).args(["-e", ASK]).output().expect("node runs");
    let version = String::from_utf8_lossy(&told.stdout);
    let major = version.split('.').next().and_then(|it| it.parse().ok());
    major.is_some_and(|major: u32| major >= 24)
}

/// Debian's, or another one by its path.
fn debians() -> std::path::PathBuf {
    std::env::var_os("WIRESPAN_NODE").map_or_else(|| "/usr/bin/node".into(), Into::into)
}

#[test]
fn calls_are_linked_where_the_script_was_loaded() {
    Served::with_script(&debians(), "app.js").reaches("Node as Debian has it, with the script");
    Served::with_script(&built("bin/node"), "app.js").reaches("Node 24, with the script");
}

#[test]
fn worker_threads_processes_of_a_cluster_and_modules_have_tables_of_their_own() {
    let node = built("bin/node");
    for program in ["worker.js", "cluster.js", "module.mjs"] {
        Served::with_script(&node, program).reaches(&format!("Node 24, {program}"));
    }
}

/// An undici of its own in it, and no names.
#[test]
fn a_program_that_was_made_into_one_file_is_followed_as_well() {
    let shapes = ["fetched", "fetched_by_own", "pooled", "requested"].map(|shape| (shape, 2));
    for node in [debians(), built("bin/node")] {
        let served = Served::with_script(&node, BUNDLED);
        let (row, calls) = served.row(&shapes, &[]);
        let name = format!("Node ({}), a bundle", node.display());
        row.assert(&name, Some(calls), TARGET);
    }
}

/// Node tells of streams since 24. What an older one does on them is nobody's: of three calls for a
/// request, one over HTTP/2 and one by who is asked over it have no parent in their process.
#[test]
fn streams_of_http2_are_nobodys_where_node_does_not_tell_of_them() {
    let node = debians();
    if tells_of_streams(&node) {
        return not_run("Node without word of streams, HTTP/2");
    }
    let target = Target {
        right: 33.0,
        wrong: 0.0,
    };
    let served = Served::with_script(&node, "streams.mjs");
    let (row, calls) = served.row(&[("direct", 3)], &[]);
    row.assert("Node without word of streams, HTTP/2", Some(calls), target);
}

/// Calls by events and by promises, of which many share a connection.
#[test]
fn streams_of_http2_are_told_of() {
    let node = built("bin/node");
    let shapes = [
        ("direct", 3),
        ("fan_out", 6),
        ("callbacks", 5),
        ("posted", 2),
    ];
    Served::with_script(&node, "streams.mjs").reaches_by("Node 24, HTTP/2 behind HTTP/1", &shapes);
    let served = Served::start(&node, "streams.mjs", |command, script| {
        with_script(command, script);
        command.env("FRONT", "http2");
    });
    let load = Load {
        http2: true,
        ..Load::of_a_row()
    };
    let (row, calls) = served.row_over("http", &load, &shapes, &[]);
    row.assert("Node 24, HTTP/2 on both sides", Some(calls), TARGET);
}

/// Its first calls are made when it has a connection, in the context of whoever was first.
#[test]
fn calls_of_grpc_js_are_told_of() {
    let served = Served::start(&built("bin/node"), "rpc.js", |command, script| {
        with_script(command, script);
        command.env("NODE_PATH", built_by_setup("grpc/node/node_modules"));
    });
    let shapes = [("direct", 3), ("fan_out", 5), ("callbacks", 3)];
    served.reaches_by("Node 24, grpc-js", &shapes);
}

#[test]
fn what_moves_over_tls_is_found_by_its_socket() {
    let certificates = Certificates::create();
    let load = Load {
        trusted: Some(std::fs::read(certificates.authority()).expect("a certificate")),
        ..Load::of_a_row()
    };
    for node in [debians(), built("bin/node")] {
        let served = Served::start_on(&node, "app.js", Some(&certificates), with_script);
        let (row, calls) = served.row_over("https", &load, &SHAPES, &[]);
        let name = format!("Node ({}) over TLS, with the script", node.display());
        row.assert(&name, Some(calls), TARGET);
    }
}

#[test]
fn who_only_watches_links_nothing() {
    let served = Served::start(&debians(), "app.js", |_, _| {});
    let (row, calls) = served.row(&SHAPES, &[]);
    assert_eq!((row.calls.right, row.calls.wrong), (0, 0), "{row}");
    row.assert("Node without the script", Some(calls), NOBODY);
}

#[test]
fn what_it_tells_is_passed_over_on_request() {
    let served = Served::with_script(&debians(), "app.js");
    let (row, _) = served.row(&SHAPES, &[("WIRESPAN_NODE_LINKS", "false")]);
    assert_eq!((row.calls.right, row.calls.wrong), (0, 0), "{row}");
}

#[test]
fn what_outlives_its_request_points_at_it() {
    let served = Served::with_script(&debians(), "app.js");
    let (row, calls) = served.row(&[("forgotten", 2), ("direct", 2)], &[]);
    let target = Target {
        right: 74.0,
        wrong: 0.02,
    };
    row.assert("Node, after the response", Some(calls), target);
    let pointing = row.pointing;
    assert_eq!((pointing.wrong, pointing.none), (0, 0), "{row}");
    assert!(pointing.right > 0, "{row}");
    // A worker that a request started serves all that come later. Once that is known, nobody is
    // believed whose number is used after its request's end.
    let (row, calls) = served.row(&[("lazy", 1), ("forgotten", 2), ("direct", 2)], &[]);
    let target = Target {
        right: 39.0,
        wrong: 0.02,
    };
    row.assert("Node, workers of all", Some(calls), target);
}
