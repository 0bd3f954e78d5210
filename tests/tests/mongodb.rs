//! MongoDB under observation: FerretDB and pymongo. Every span of either side is compared with what
//! the driver says of itself.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use wirespan_tests::daemon::{Daemon, Finished};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::tls::built;
use wirespan_tests::truth::assert_same;
use wirespan_tests::workload::eventually;

/// FerretDB with an empty database.
struct Server {
    port: u16,
    process: Process,
    _files: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let files = tempfile::tempdir().expect("there is room");
        let port = ports::free();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
        let mut command = tied(tools.join("mongodb/server"));
        command.arg(format!("127.0.0.1:{port}")).arg(files.path());
        let process = Process::start("ferretdb", &mut command);
        let address = ("127.0.0.1", port);
        eventually("ferretdb", || TcpStream::connect(address).is_ok());
        Self {
            port,
            process,
            _files: files,
        }
    }
}

/// Runs steps of the driver with both sides watched, and compares both with what it did.
fn compare(steps: &[&str]) -> Finished {
    let server = Server::start();
    let program: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/mongodb/client.py");
    let mut command = tied("/usr/bin/python3");
    command
        .arg(program)
        .arg(built("wheels/pymongo-4.18.2"))
        .arg(server.port.to_string());
    let mut client = Process::start("pymongo", &mut command);
    client.expect_line("ready");
    let pids = format!("{},{}", server.process.pid(), client.pid());
    let daemon = Daemon::start(&[("BEYLA_TARGET_PID", &pids)]);
    for step in steps {
        client.tell(step);
    }
    client.close_input();
    let said = client.succeed();
    let did: Vec<String> = said
        .iter()
        .filter_map(|line| line.strip_prefix("did ").map(str::to_owned))
        .collect();
    let enough = |spans: &[Seen]| spans.iter().filter(|it| is_told(it)).count() >= 2 * did.len();
    daemon.wait_for("both sides of each command", enough);
    let finished = daemon.stop();
    for kind in [Kind::Client, Kind::Server] {
        let spans = finished.of_kind(kind).into_iter();
        let told = spans.filter(|span| is_told(span)).map(line);
        assert_same(&format!("{kind:?}"), did.clone(), told);
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    finished
}

/// Whether the driver counts it as a command: how it says hello is not one.
fn is_told(span: &Seen) -> bool {
    !matches!(
        span.get("db.operation.name"),
        Some("hello" | "ismaster" | "isMaster")
    )
}

/// A command in a line, as the driver writes it: name, database and collection, error.
fn line(span: &Seen) -> String {
    let name = span.get("db.operation.name").unwrap_or("noSuchCommand");
    let mut line = format!("{name} {}", span.get("db.namespace").unwrap_or("?"));
    if let Some(collection) = span.get("db.collection.name") {
        line += &format!(".{collection}");
    }
    if let Some(error) = span.get("error.type") {
        line += &format!(" {error}");
    }
    line
}

#[test]
fn commands_are_told_by_their_names() {
    let finished = compare(&["names"]);
    let find = |span: &&Seen| span.get("db.operation.name") == Some("find");
    for span in finished.spans.iter().filter(find) {
        assert_eq!(span.name, "find users");
        assert_eq!(span.get("db.system.name"), Some("mongodb"), "{span}");
        assert_eq!(span.get("server.address"), Some("127.0.0.1"), "{span}");
        assert_eq!(span.get("db.query.text"), None, "{span}");
    }
}

#[test]
fn what_fails_says_with_which_code() {
    compare(&["errors"]);
}

#[test]
fn many_connections_and_long_documents_lose_nothing() {
    compare(&["threads"]);
}
