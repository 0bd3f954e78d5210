//! gRPC programs of four runtimes, the calls that they tell, and the calls that spans tell. What
//! the programs speak is in `workloads/grpc/shapes.proto`. What they need beyond Debian's packages
//! is installed by set-up, below `target/tools/grpc`; nothing is installed here.

pub mod pair;

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::profile;
use crate::spans::{Kind, Seen};
use crate::tls::Certificates;
use crate::workload::{binary, file, python};

/// Whose gRPC library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// grpcio: Python over the C core.
    Python,
    /// @grpc/grpc-js.
    Node,
    /// grpc-go.
    Go,
    /// tonic.
    Tonic,
}

impl Runtime {
    fn server(self) -> Command {
        match self {
            Self::Python => python_with_grpc("grpc/server.py"),
            Self::Node => node_with_grpc("grpc/server.js"),
            Self::Go => tied(built_by_setup("grpc/go-server")),
            Self::Tonic => tied(binary("tonic-server")),
        }
    }

    fn client(self) -> Command {
        match self {
            Self::Python => python_with_grpc("grpc/client.py"),
            Self::Node => node_with_grpc("grpc/client.js"),
            Self::Go => tied(built_by_setup("grpc/go-client")),
            Self::Tonic => tied(binary("tonic-client")),
        }
    }
}

/// A server of the service `wirespan.test.Shapes`.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The process.
    pub process: Process,
}

impl Server {
    /// In the clear: HTTP/2 with prior knowledge.
    #[must_use]
    pub fn plain(runtime: Runtime) -> Self {
        Self::start(&mut runtime.server(), &[])
    }

    /// Over TLS.
    #[must_use]
    pub fn over_tls(runtime: Runtime, certificates: &Certificates) -> Self {
        let files = [certificates.certificate(), certificates.key()];
        Self::start(&mut runtime.server(), &files)
    }

    fn start(command: &mut Command, files: &[PathBuf]) -> Self {
        let port = ports::free();
        command.arg(port.to_string()).args(files);
        let process = Process::start("gRPC server", command);
        process.expect_line("listening");
        Self { port, process }
    }

    /// What it answered, once that is `count` calls.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Call> {
        truth(&self.process, count)
    }
}

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    /// The process.
    pub process: Process,
}

impl Client {
    /// In the clear. It connects when it makes its first call.
    #[must_use]
    pub fn plain(runtime: Runtime, port: u16) -> Self {
        Self::start(&mut runtime.client(), port, None)
    }

    /// Over TLS.
    #[must_use]
    pub fn over_tls(runtime: Runtime, port: u16, certificates: &Certificates) -> Self {
        Self::start(&mut runtime.client(), port, Some(certificates.authority()))
    }

    fn start(command: &mut Command, port: u16, authority: Option<PathBuf>) -> Self {
        command.arg(port.to_string()).args(authority);
        let process = Process::start("gRPC client", command);
        process.expect_line("ready");
        Self { process }
    }

    /// Makes calls, after those told before have ended.
    pub fn call(&mut self, line: &str) {
        self.process.tell(line);
    }

    /// What it called, once that is `count` calls.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Call> {
        truth(&self.process, count)
    }
}

/// A call as one side saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `package.Service/Method`
    pub rpc: String,
    /// The name of its status code; empty if that is not known.
    pub status: String,
    /// Messages of the client; `None` if they are not counted.
    pub requests: Option<u64>,
    /// Messages of the server; `None` if they are not counted.
    pub responses: Option<u64>,
}

impl Call {
    /// A unary call that went well.
    #[must_use]
    pub fn unary(rpc: &str) -> Self {
        Self {
            rpc: rpc.into(),
            status: "OK".into(),
            requests: Some(1),
            responses: Some(1),
        }
    }

    /// Reads a line that a program wrote; `None` if it is about something else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let told: Value = serde_json::from_str(line).ok()?;
        Some(Self {
            rpc: told["rpc"].as_str()?.into(),
            status: told["status"].as_str()?.into(),
            requests: told["requests"].as_u64(),
            responses: told["responses"].as_u64(),
        })
    }

    /// What a span says.
    #[must_use]
    pub fn of(span: &Seen) -> Self {
        let original = span.get("rpc.method_original");
        let rpc = original.or_else(|| span.get("rpc.method"));
        let count = |name: &str| span.get(name).and_then(|count| count.parse().ok());
        Self {
            rpc: rpc.unwrap_or_default().to_owned(),
            status: span.get("rpc.status_code").unwrap_or_default().to_owned(),
            requests: count(REQUESTS),
            responses: count(RESPONSES),
        }
    }

    /// The same without counts.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        (self.requests, self.responses) = (None, None);
        self
    }

    /// Whether a span of it is an error, by the semantic conventions.
    #[must_use]
    pub fn fails(&self, kind: Kind) -> bool {
        match kind {
            Kind::Client => self.status != "OK",
            Kind::Server => [
                "UNKNOWN",
                "DEADLINE_EXCEEDED",
                "UNIMPLEMENTED",
                "INTERNAL",
                "UNAVAILABLE",
                "DATA_LOSS",
            ]
            .contains(&&*self.status),
        }
    }
}

/// Where spans say how many messages the client sent.
pub const REQUESTS: &str = "wirespan.rpc.request.messages";

/// Where spans say how many messages the server sent.
pub const RESPONSES: &str = "wirespan.rpc.response.messages";

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |count: Option<u64>| count.map_or_else(|| "?".into(), |count| count.to_string());
        let (requests, responses) = (count(self.requests), count(self.responses));
        let Self { rpc, status, .. } = self;
        write!(
            f,
            "{rpc} {status}, {requests} messages, answered by {responses}"
        )
    }
}

/// What holds for every span of a call, whatever became of it.
///
/// # Panics
/// Something does not.
pub fn assert_conventional(span: &Seen, server_port: u16) {
    let call = Call::of(span);
    assert_eq!(Some(&*span.name), span.get("rpc.method"), "{span}");
    assert_eq!(span.get("rpc.system.name"), Some("grpc"), "{span}");
    assert_eq!(span.get("network.protocol.version"), Some("2"), "{span}");
    let fails = call.fails(span.kind);
    assert_eq!(span.failed, fails, "{span}");
    let error = fails.then_some(&*call.status);
    assert_eq!(span.get("error.type"), error, "{span}");
    assert!(span.get("server.address").is_some(), "{span}");
    let port = server_port.to_string();
    assert_eq!(span.get("server.port"), Some(&*port), "{span}");
    assert!(span.start_ns <= span.end_ns, "{span}");
    let http = span
        .attributes
        .keys()
        .find(|name| name.starts_with("http."));
    assert_eq!(http, None, "{span}");
    let unwanted = ["wirespan.http2.headers_incomplete", "wirespan.end_inferred"];
    for name in unwanted {
        assert_eq!(span.get(name), None, "{span}");
    }
    for (name, at_ns) in &span.events {
        assert!(
            (span.start_ns..=span.end_ns).contains(at_ns),
            "{name}: {span}"
        );
    }
}

/// What set-up builds or installs below `target/tools`.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn built_by_setup(name: &str) -> PathBuf {
    let path = profile::target().join("tools").join(name);
    assert!(
        path.exists(),
        "{} is not there: `cargo xtask setup test` makes it",
        path.display()
    );
    path
}

/// A Python program that finds grpcio.
#[must_use]
pub fn python_with_grpc(script: &str) -> Command {
    let mut command = python(script, &[]);
    command.env("PYTHONPATH", built_by_setup("grpc/python"));
    command
}

fn node_with_grpc(script: &str) -> Command {
    let mut command = tied("node");
    command
        .arg(file(script))
        .env("NODE_PATH", built_by_setup("grpc/node/node_modules"));
    command
}

/// The calls that a program told, once that are so many.
///
/// # Panics
/// There are fewer.
#[must_use]
pub fn truth(process: &Process, count: usize) -> Vec<Call> {
    let told = process.stdout.wait_for(LIMIT, |lines| {
        let told: Vec<_> = lines.iter().filter_map(|line| Call::parse(line)).collect();
        (told.len() >= count).then_some(told)
    });
    told.unwrap_or_else(|| panic!("fewer than {count} calls\n{}", process.story()))
}
