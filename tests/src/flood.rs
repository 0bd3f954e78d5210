//! More requests than a daemon's buffers hold, sent while it does not get to run: what it missed
//! must be counted, and nothing be made up in its place.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;

use crate::daemon::{Daemon, Finished};
use crate::ports;
use crate::process::{Process, tied};
use crate::spans::Seen;
use crate::wire::Wire;

/// Requests that come while the daemon is stopped, of nearly 4 KiB each: more bytes than all
/// buffers hold.
pub const REQUESTS: usize = 6_000;

/// A server that answers with as many bytes as a request's target ends with.
#[derive(Debug)]
pub struct Flooded {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The process.
    pub process: Process,
    /// Targets of all requests so far; each is asked for once.
    sent: BTreeSet<String>,
}

impl Flooded {
    /// Starts the server.
    #[must_use]
    pub fn start() -> Self {
        let port = ports::free();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/capture/server.py");
        let mut command = tied("python3");
        command.arg(program).args(["sized", &port.to_string()]);
        let process = Process::start("sized", &mut command);
        process.expect_line("ready");
        Self {
            port,
            process,
            sent: BTreeSet::new(),
        }
    }

    fn ask(&mut self, wire: &mut Wire, path: &str, size: usize) {
        let filler = "c".repeat(3_800);
        wire.send(format!(
            "GET {path}/{size} HTTP/1.1\r\nHost: h\r\nCookie: {filler}\r\n\r\n"
        ));
        assert_eq!(wire.answer(false).body, size as u64);
        assert!(self.sent.insert(format!("{path}/{size}")));
    }

    /// Sends one request that the daemon, which watches, sees; [`REQUESTS`] while it is stopped;
    /// then `/after` and `/later` on the same connection, where one exchange shows that both
    /// streams are level again, and `/afresh` on a new one.
    pub fn flood(&mut self, daemon: &mut Daemon) {
        let mut wire = Wire::connect(self.port);
        self.ask(&mut wire, "/before", 1);
        daemon.wait_for_count(1);
        daemon.process().signal(Signal::STOP);
        for number in 0..REQUESTS {
            self.ask(&mut wire, &format!("/during/{number}"), number % 89);
        }
        daemon.process().signal(Signal::CONT);
        // It takes all that is in its buffers before any of it becomes a span that is printed.
        daemon.wait_for("what it did see", |spans| {
            spans
                .iter()
                .any(|span| span.target().starts_with("/during"))
        });
        self.ask(&mut wire, "/after", 2);
        self.ask(&mut wire, "/later", 2);
        drop(wire);
        self.ask(&mut Wire::connect(self.port), "/afresh", 3);
        daemon.wait_for("a later exchange", |spans| {
            spans.iter().any(|span| span.target() == "/afresh/3")
        });
    }

    /// Holds each span against what was asked for and answered.
    ///
    /// # Panics
    /// A span of a request that nobody made, a second one of the same, an answer that is another
    /// request's, one without its end that does not say so; what came afterwards was not seen; all
    /// or next to nothing was seen of what came while the daemon was stopped.
    pub fn assert_nothing_made_up(&self, finished: &Finished) {
        let mut told = BTreeSet::new();
        for span in &finished.spans {
            let target = span.target();
            assert!(self.sent.contains(&target), "made up: {span}");
            assert_told_truly(span, &target);
            assert!(told.insert(target), "told twice: {span}");
        }
        let seen = told.len();
        assert!(
            (REQUESTS / 10..REQUESTS).contains(&seen),
            "{seen} of {REQUESTS}"
        );
        for target in ["/before/1", "/later/2", "/afresh/3"] {
            let mut spans = finished.spans.iter();
            let whole =
                spans.any(|span| span.target() == target && span.exchange().status == Some(200));
            assert!(whole, "{target}\n{}", finished.story());
        }
    }
}

fn assert_told_truly(span: &Seen, target: &str) {
    let size = target.rsplit('/').next().and_then(|size| size.parse().ok());
    let seen = span.exchange();
    if seen.status.is_none() {
        assert!(span.get("error.type").is_some(), "{span}");
        return;
    }
    assert_eq!(seen.status, Some(200), "{span}");
    // Unknown where the capture lost the end.
    let is_same = seen.response_body.is_none_or(|body| Some(body) == size);
    assert!(is_same, "another one's answer: {span}");
}
