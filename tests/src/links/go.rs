//! Services in Go that call one another, as `workloads/links/go` has them, under one daemon.

use crate::daemon::{Daemon, Finished};
use crate::grpc::built_by_setup;
use crate::links::{Load, Row, Target, requests};
use crate::ports;
use crate::process::{Process, tied};
use crate::tls::{Certificates, built};
use crate::workload::Server;

/// What the issue of linking asks of Go.
pub const TARGET: Target = Target {
    right: 99.9,
    wrong: 0.02,
};

/// What is asked where nothing can be known: nothing wrong.
pub const ABSTAINS: Target = Target {
    right: 0.0,
    wrong: TARGET.wrong,
};

/// A service that calls another one for each request.
#[derive(Debug)]
pub struct Pair<'a> {
    front: Server,
    back: Server,
    certificates: Option<&'a Certificates>,
    is_followed: bool,
}

impl<'a> Pair<'a> {
    /// Both are the program of that name among the builds; the front has these settings.
    #[must_use]
    pub fn start(
        program: &str,
        settings: &[(&str, &str)],
        certificates: Option<&'a Certificates>,
    ) -> Self {
        let command = |role: &str, port: &str, rest: &[&str]| {
            let mut command = tied(built(&format!("bin/{program}")));
            command.arg(role).arg(port).args(rest);
            if let Some(certificates) = certificates {
                command.args([certificates.certificate(), certificates.key()]);
                certificates.trusted_by(&mut command);
            }
            command
        };
        let back = Server::on(ports::free(), |port| command("back", port, &[]));
        let scheme = certificates.map_or("http", |_| "https");
        let base = format!("{scheme}://127.0.0.1:{}", back.port);
        let front = Server::on(ports::free(), |port| {
            let mut command = command("front", port, &[&base]);
            command.envs(settings.iter().copied());
            command
        });
        Self {
            front,
            back,
            certificates,
            is_followed: false,
        }
    }

    /// The same where nothing is sent before the front's tasks are followed: while it still loads
    /// programs for that, a daemon is ready after some seconds all the same.
    #[must_use]
    pub fn followed(self) -> Self {
        Self {
            is_followed: true,
            ..self
        }
    }

    /// Sends requests of a shape, and returns what a daemon made of them.
    #[must_use]
    pub fn under(&self, load: &Load, shape: &str) -> (Row, Finished) {
        self.under_with(load, shape, 2, &[])
    }

    /// The same of a daemon with these settings, which tells so many spans at least for each
    /// request.
    ///
    /// # Panics
    /// A certificate can't be read.
    #[must_use]
    pub fn under_with(
        &self,
        load: &Load,
        shape: &str,
        spans: usize,
        settings: &[(&str, &str)],
    ) -> (Row, Finished) {
        let ports = format!("{},{}", self.front.port, self.back.port);
        // They run by now, so that it is ready once their goroutines are followed.
        let settings = [&[("BEYLA_OPEN_PORT", ports.as_str())], settings].concat();
        let daemon = Daemon::start(&settings);
        if self.is_followed {
            daemon.wait_until_probed();
        }
        let scheme = self.certificates.map_or("http", |_| "https");
        let base = format!("{scheme}://127.0.0.1:{}", self.front.port);
        let mut load = load.clone();
        load.trusted = self
            .certificates
            .map(|it| std::fs::read(it.authority()).expect("a certificate"));
        let answered = load.send(&base, |id| format!("/{id}/{shape}"));
        daemon.wait_for_count(spans * answered);
        let finished = daemon.stop();
        (Row::of(&finished.spans), finished)
    }
}

/// Each request of `shape` makes so many calls, by the program of that name with these settings.
pub fn linked(program: &str, settings: &[(&str, &str)], shape: &str, calls: usize) {
    let pair = Pair::start(program, settings, None);
    let (row, _) = pair.under(&Load::of_a_row(), shape);
    let name = named(program, shape, settings);
    row.assert(&name, Some(calls * requests()), TARGET);
}

/// The same over TLS, over either HTTP on both sides.
pub fn linked_over_tls(program: &str, certificates: &Certificates, http2: bool) {
    let settings: &[(&str, &str)] = if http2 { &[("HTTP2", "1")] } else { &[] };
    let pair = Pair::start(program, settings, Some(certificates));
    let load = Load {
        http2,
        ..Load::of_a_row()
    };
    let (row, _) = pair.under(&load, "fan");
    let name = format!("{program} over TLS, HTTP/2: {http2}");
    row.assert(&name, Some(3 * requests()), TARGET);
}

/// Calls, or requests, that are given up. What is given up may not have been asked at all, so that
/// the number of calls is not known.
pub fn given_up(program: &str) {
    let pair = Pair::start(program, &[("GIVE_UP", "5")], None);
    let (row, _) = pair.under(&Load::of_a_row(), "fan");
    row.assert(&format!("{program}, calls given up"), None, TARGET);
    let load = Load {
        given_up: 5,
        ..Load::of_a_row()
    };
    let pair = Pair::start(program, &[], None);
    let (row, _) = pair.under(&load, "context");
    row.assert(&format!("{program}, requests given up"), None, TARGET);
}

/// Who works for whoever comes is nobody's, whether it is given the request's context or not.
pub fn workers_abstain(program: &str) {
    for shape in ["pool", "lazy"] {
        let pair = Pair::start(program, &[], None);
        let (row, _) = pair.under(&Load::of_a_row(), shape);
        row.assert(&named(program, shape, &[]), None, ABSTAINS);
    }
}

fn named(program: &str, shape: &str, settings: &[(&str, &str)]) -> String {
    let settings = settings.iter();
    let settings = settings.map(|(name, value)| format!(", {name}={value}"));
    format!("{program} {shape}{}", settings.collect::<String>())
}

/// The same over grpc-go: a front that serves over gRPC, and calls over gRPC. Returns what a daemon
/// made of it.
#[must_use]
pub fn grpc_under_daemon(program: &str, settings: &[(&str, &str)], shape: &str) -> Row {
    let program = built_by_setup(&format!("grpc/{program}"));
    let command = |arguments: &[&str]| {
        let mut command = tied(&program);
        command.args(arguments);
        command
    };
    let back = Server::on(ports::free(), |port| command(&["back", port]));
    let to = back.port.to_string();
    let front = Server::on(ports::free(), |port| {
        let mut command = command(&["front", port, &to]);
        command.envs(settings.iter().copied());
        command
    });
    let ports = format!("{},{to}", front.port);
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &ports)]);
    let (port, count) = (front.port.to_string(), requests().to_string());
    let mut driver = command(&["drive", &port, shape, &count, "50"]);
    Process::start("driver", &mut driver).succeed();
    daemon.wait_for_count(requests());
    Row::of(&daemon.stop().spans)
}
