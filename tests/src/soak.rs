//! What soaks are made of: how long they go on, and load that checks every byte. The tests of the
//! same name, `tests/soak_*.rs`, run by `cargo xtask test --soak` only.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::nice;
use serde_json::Value;

use crate::grpc::python_with_grpc;
use crate::process::{LIMIT, Process};
use crate::tls::Certificates;
use crate::workload::python;

/// Seconds that a soak goes on.
const SECONDS: &str = "WIRESPAN_SOAK_SECONDS";

/// By how much a client is nicer than whoever starts it.
const YIELDING: i32 = 15;

/// Enough to see that it works.
const SECONDS_DEFAULT: u64 = 10;

/// The time of a soak. What has to hold does not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    started: Instant,
    /// As long as it goes on.
    pub duration: Duration,
}

impl Soak {
    /// Begins now, for as long as the environment says.
    ///
    /// # Panics
    /// It says no number.
    #[must_use]
    pub fn begin() -> Self {
        let told = std::env::var(SECONDS).ok();
        let seconds = told.map_or(SECONDS_DEFAULT, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{SECONDS}={text} is no number"))
        });
        Self {
            started: Instant::now(),
            duration: Duration::from_secs(seconds),
        }
    }

    /// Whether this part of its time, from 0 to 1, is not over yet.
    #[must_use]
    pub fn is_before(&self, part: f64) -> bool {
        self.started.elapsed() < self.duration.mul_f64(part)
    }

    /// Whether it goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.is_before(1.0)
    }
}

/// A client with several connections that asks and checks until it is told to stop.
#[derive(Debug)]
pub struct Load {
    name: String,
    process: Process,
}

/// What a [`Load`] found.
#[derive(Debug)]
pub struct Told {
    /// Requests that it sent.
    pub requests: u64,
    /// Those that failed, or whose bytes were not what they should be.
    pub bad: u64,
    /// The first of them.
    pub why: String,
    /// Those that came with one header field more than were sent, where that is looked for.
    pub inserted: u64,
}

impl Load {
    /// Begins. `certificates` are those of a server over TLS.
    #[must_use]
    pub fn on(name: &str, port: u16, certificates: Option<&Certificates>) -> Self {
        let scheme = if certificates.is_some() {
            "https"
        } else {
            "http"
        };
        let mut command = python("soak/load.py", &[scheme, &port.to_string()]);
        if let Some(certificates) = certificates {
            certificates.trusted_by(&mut command);
        }
        Self::by(name, &mut command)
    }

    /// The same over gRPC.
    #[must_use]
    pub fn over_grpc(name: &str, port: u16) -> Self {
        let mut command = python_with_grpc("soak/grpc_load.py");
        Self::by(name, command.args(["grpc", &port.to_string()]))
    }

    /// The same over HTTP/1.1 by a client that sends in every way there is, to a server that looks
    /// at every byte: `soak/wire.py`.
    #[must_use]
    pub fn by_hand(port: u16) -> Self {
        Self::by(
            "HTTP by hand",
            &mut python("soak/wire.py", &["ask", &port.to_string()]),
        )
    }

    /// The client's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// It asks whenever nobody else has anything to do: in an emulated machine a daemon that starts
    /// beside it, as any other process, would wait minutes for the verifier.
    fn by(name: &str, command: &mut Command) -> Self {
        let yields = || Ok(nice(YIELDING).map(drop)?);
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe { command.pre_exec(yields) };
        let process = Process::start(name, command);
        process.expect_line("ready");
        Self {
            name: name.to_owned(),
            process,
        }
    }

    /// Ends it, after the requests under way were answered.
    ///
    /// # Panics
    /// It has ended before.
    #[must_use]
    pub fn finish(mut self) -> Told {
        self.process.close_input();
        let story = |load: &Self| format!("{}\n{}", load.name, load.process.story());
        let Some(line) = self.process.stdout.wait_for_line(LIMIT, "requests") else {
            panic!("no result of {}", story(&self));
        };
        let told: Value = serde_json::from_str(&line).expect("a line of JSON");
        let number = |name: &str| told[name].as_u64().expect("a number");
        Told {
            requests: number("requests"),
            bad: number("bad"),
            why: format!("{}: {}", self.name, told["why"]),
            inserted: told["inserted"].as_u64().unwrap_or(0),
        }
    }
}
