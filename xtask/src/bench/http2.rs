//! What watching HTTP/2 and gRPC costs: h2load on nginx, and unary calls from tonic to tonic, each
//! on ten connections with many streams; and the pipeline alone on a recording of the first.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::daemon::{self, Daemon, Sink};
use super::load::Load;
use super::table::{Row, Target};
use super::{Args, median};
use crate::demo::{Nginx, free_port, wait_until_open};
use crate::process::{self, Running};
use crate::workspace;

/// Programs of `wirespan-tests` that this needs, besides the receiver.
pub const PROGRAMS: [&str; 2] = ["tonic-server", "tonic-client"];

/// Servers under load, with all that the measuring needs.
pub struct Servers {
    nginx: Nginx,
    tonic: Running,
    tonic_port: u16,
}

impl Servers {
    pub fn start() -> Result<Self> {
        let tonic_port = free_port()?;
        let mut tonic = Running::start(
            "tonic-server",
            process::tied(program("tonic-server"))
                .arg(tonic_port.to_string())
                .stdout(Stdio::null()),
        )?;
        wait_until_open(tonic_port, &mut tonic)?;
        Ok(Self {
            nginx: Nginx::start_http2(free_port()?)?,
            tonic,
            tonic_port,
        })
    }

    /// The rows of one way into socket calls.
    pub fn measure(&mut self, args: &Args, strategy: &str) -> Result<Vec<Row>> {
        if let Some(status) = self.tonic.status()? {
            anyhow::bail!("tonic-server ended: {status}");
        }
        let (port, seconds) = (self.nginx.port, args.seconds);
        let h2load = kept(args, strategy, port, || h2load(port, seconds))?;
        let port = self.tonic_port;
        let grpc = kept(args, strategy, port, || tonic(port, seconds))?;
        let mut rows = Vec::new();
        for (what, kept, least) in [
            ("HTTP/2, h2load on nginx", h2load, 80.0),
            ("gRPC unary, tonic to tonic", grpc, 85.0),
        ] {
            let row = |figure: &str, value, unit, target| {
                Row::new(format!("{strategy}: {what}: {figure}"), value, unit, target)
            };
            let target = match strategy {
                "socket_tracepoints" => Target::AtLeast(least),
                _ => Target::None,
            };
            let lost = kept.lost as f64;
            rows.push(row("requests/s kept", kept.per_cent, "%", target));
            rows.push(row("spans lost", lost, "", Target::AtMost(0.0)));
        }
        Ok(rows)
    }

    /// The pipeline alone.
    pub fn replay(&self, args: &Args) -> Result<Row> {
        let port = self.nginx.port;
        let (spans, took) =
            daemon::record_and_replay(port, || h2load(port, args.seconds).map(|_| ()))?;
        Ok(Row::new(
            format!("replay: HTTP/2 exchanges/s ({spans} spans)"),
            spans as f64 / took.as_secs_f64(),
            "/s",
            Target::AtLeast(700_000.0),
        ))
    }
}

/// Of requests per second, with the daemon beside without; and what had no span.
struct Kept {
    per_cent: f64,
    lost: u64,
}

fn kept(args: &Args, strategy: &str, port: u16, load: impl Fn() -> Result<Load>) -> Result<Kept> {
    let mut kept = Vec::new();
    let (mut requests, mut spans) = (0, 0);
    load()?;
    for _ in 0..args.pairs {
        let without = load()?;
        let sink = Sink::start()?;
        let mut daemon = Daemon::start(strategy, port, &sink)?;
        let with = load()?;
        sink.wait_for(with.requests)?;
        daemon.stop()?;
        kept.push(100.0 * with.per_second / without.per_second);
        requests += with.requests;
        spans += sink.spans()?;
    }
    Ok(Kept {
        per_cent: median(kept),
        // What was under way at the end has a span, and is not counted by who asked.
        lost: requests.saturating_sub(spans),
    })
}

/// Ten connections with 32 streams each.
pub fn h2load(port: u16, seconds: u64) -> Result<Load> {
    let said = process::capture(
        workspace::system("h2load")
            .args(["-c10", "-m32", "-t2", &format!("-D{seconds}")])
            .arg(format!("http://127.0.0.1:{port}/hello")),
    )?;
    parse(&said).with_context(|| format!("h2load says something new:\n{said}"))
}

/// Ten connections with eight calls at a time on each.
pub fn tonic(port: u16, seconds: u64) -> Result<Load> {
    let said = process::capture(Command::new(program("tonic-client")).args([
        &port.to_string(),
        "load",
        &seconds.to_string(),
    ]))?;
    let told: serde_json::Value = serde_json::from_str(said.trim())?;
    let load = || {
        Some(Load {
            requests: told["calls"].as_u64()?,
            per_second: told["per_second"].as_f64()?,
        })
    };
    load().with_context(|| format!("tonic-client says {said:?}"))
}

pub fn parse(said: &str) -> Option<Load> {
    let before = |text: &str| said.split_once(text)?.0.split_whitespace().next_back();
    Some(Load {
        requests: before(" succeeded,")?.parse().ok()?,
        per_second: before(" req/s")?.parse().ok()?,
    })
}

pub fn program(name: &str) -> std::path::PathBuf {
    workspace::target().join("release").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2load_is_understood() {
        let said = "finished in 5.00s, 123456.70 req/s, 9.1MB/s\nrequests: 617284 total, \
                    617300 started, 617283 done, 617283 succeeded, 0 failed, 0 errored\n";
        let (requests, per_second) = (617_283, 123_456.7);
        assert_eq!(
            parse(said),
            Some(Load {
                requests,
                per_second
            })
        );
        assert_eq!(parse("no connection"), None);
    }
}
