//! redis-server as the tests trace it, and what its commands look like as spans. It is Debian's,
//! on a port of its own, and keeps nothing.

use std::net::TcpStream;
use std::process::Command;

use crate::ports;
use crate::process::{Process, tied};
use crate::spans::Seen;
use crate::workload::eventually;

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The process.
    pub process: Process,
}

impl RedisServer {
    /// Starts one; `options` come on top.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(options: &[&str]) -> Self {
        let port = ports::free();
        let mut command = tied("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir", "/tmp"])
            .args(options);
        let process = Process::start("redis-server", &mut command);
        let address = ("127.0.0.1", port);
        eventually("redis-server", || TcpStream::connect(address).is_ok());
        Self { port, process }
    }

    /// A command line of `redis-cli` for it.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = tied("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        command
    }
}

/// A command in a line: the text of the query, and what went wrong.
#[must_use]
pub fn line(span: &Seen) -> String {
    let text = span.get("db.query.text").unwrap_or("?");
    match span.get("error.type") {
        Some(error) => format!("{text} {error}"),
        None => text.to_owned(),
    }
}

/// Whether it is how clients introduce themselves, which differs between their versions.
#[must_use]
pub fn introduces(span: &Seen) -> bool {
    let name = span.get("db.operation.name").unwrap_or_default();
    name.starts_with("CLIENT ") || name == "HELLO"
}
