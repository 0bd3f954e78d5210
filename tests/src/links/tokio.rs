//! Services on tokio that call one another, as `workloads/links/tokio` has them, under one daemon.
//! Over HTTP they are started as those in Go are.

use std::path::PathBuf;
use std::process::Command;

use crate::daemon::{Daemon, Finished};
use crate::links::{Row, Target, requests};
use crate::ports;
use crate::process::{Process, tied};
use crate::tls::{Certificates, built};
use crate::workload::Server;

/// What is asked of tokio.
pub const TARGET: Target = Target {
    right: 99.0,
    wrong: 0.02,
};

/// A front that serves over gRPC, and calls over gRPC, in the build of that name; over TLS if there
/// are certificates.
#[must_use]
pub fn grpc_under_daemon(
    build: &str,
    settings: &[(&str, &str)],
    certificates: Option<&Certificates>,
    shape: &str,
) -> (Row, Finished) {
    let program: PathBuf = built(&format!("bin/links-tokio-{build}"));
    let command = |arguments: &[&str]| -> Command {
        let mut command = tied(&program);
        command.args(arguments);
        if let Some(certificates) = certificates {
            certificates.trusted_by(&mut command);
        }
        command
    };
    let serving = |arguments: &[&str]| {
        let mut command = command(arguments);
        if let Some(certificates) = certificates {
            command.args([certificates.certificate(), certificates.key()]);
        }
        command
    };
    let scheme = certificates.map_or("http", |_| "https");
    let back = Server::on(ports::free(), |port| serving(&["grpc-back", port]));
    let to = format!("{scheme}://127.0.0.1:{}", back.port);
    let front = Server::on(ports::free(), |port| {
        let mut command = serving(&["grpc-front", port, &to]);
        command.env("GRPC", "1").envs(settings.iter().copied());
        command
    });
    let ports = format!("{},{}", front.port, back.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let base = format!("{scheme}://127.0.0.1:{}", front.port);
    let count = requests().to_string();
    let mut driver = command(&["grpc-drive", &base, shape, &count, "50"]);
    Process::start("driver", &mut driver).succeed();
    daemon.wait_for_count(2 * requests());
    let finished = daemon.stop();
    (Row::of(&finished.spans), finished)
}
