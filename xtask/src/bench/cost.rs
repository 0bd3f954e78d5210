//! What watching costs a program for each request, and the daemon: the kernel's count of processor
//! time (`schedstat`), with and without the daemon in turns. Beside it runs the same program
//! unwatched, which pays for hooks that run for everybody.

mod idle;
mod servers;

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cpu::{cpu_of, cpu_of_all, each, more};
use super::daemon::{Daemon, Sink};
use super::load::{Driver, Load};
use super::table::{Row, Target};
use super::{Args, median};
use servers::{CostServer, CostServers};

/// What is measured of a program.
struct CostSubject<'a> {
    /// What it is called in the table.
    name: &'static str,
    watched: &'a CostServer,
    /// The same program, which nobody watches.
    beside: Option<&'a CostServer>,
    driver: Driver,
    /// More CPU for a request, in per cent: of the watched one, of the other.
    targets: [Target; 2],
    /// Requests a second, where the load is that and no more.
    rate: Option<f64>,
}

/// What one run took.
struct CostRun {
    /// Of the watched program, for a request, in microseconds.
    request: f64,
    /// The same of the one beside.
    beside: Option<f64>,
    /// Of the daemon, for a request, in microseconds.
    daemon: f64,
    per_second: f64,
    lost: u64,
}

/// All rows about one way into socket calls.
pub fn measure(args: &Args, strategy: &str) -> Result<Vec<Row>> {
    let servers = CostServers::start()?;
    let mut rows = Vec::new();
    for subject in subjects(&servers, strategy) {
        if !subject.name.contains(&args.programs) {
            continue;
        }
        let pairs = subject
            .pairs(args, strategy)
            .with_context(|| subject.name.to_owned())?;
        rows.extend(subject.rows(strategy, &pairs));
    }
    if "processes".contains(&args.programs) {
        rows.extend(idle::measure(strategy)?);
    }
    Ok(rows)
}

/// What DESIGN promises of nginx with 16 connections: more CPU for a request, watched and beside.
fn targets(strategy: &str) -> [Target; 2] {
    match strategy {
        "socket_tracepoints" => [Target::AtMost(12.0), Target::AtMost(2.0)],
        "syscall_tracepoints" => [Target::AtMost(15.0), Target::AtMost(5.0)],
        _ => [Target::None; 2],
    }
}

fn subjects<'a>(servers: &'a CostServers, strategy: &str) -> Vec<CostSubject<'a>> {
    let [plain, beside] = &servers.plain;
    let [tls, tls_beside] = &servers.tls;
    let none = [Target::None; 2];
    let on = |name, watched, driver, targets| CostSubject {
        name,
        watched,
        beside: None,
        driver,
        targets,
        rate: None,
    };
    let over_tls = [Target::AtMost(25.0), targets(strategy)[1]];
    let rate = |name, rate: u32| CostSubject {
        rate: Some(rate.into()),
        ..on(name, plain, Driver::Rate(rate), none)
    };
    vec![
        CostSubject {
            beside: Some(beside),
            ..on(
                "16 connections",
                plain,
                Driver::kept(16, "/hello"),
                targets(strategy),
            )
        },
        on("1 connection", plain, Driver::kept(1, "/hello"), none),
        on("100 connections", plain, Driver::kept(100, "/hello"), none),
        on(
            "10,000 connections",
            plain,
            Driver::kept(10_000, "/hello"),
            none,
        ),
        on("a connection for each request", plain, Driver::Closed, none),
        on("bodies of 64 KiB", plain, Driver::kept(16, "/64k"), none),
        on("bodies of 10 MiB", plain, Driver::kept(4, "/10m"), none),
        CostSubject {
            beside: Some(tls_beside),
            ..on("HTTPS", tls, Driver::Https, over_tls)
        },
        on(
            "HTTPS by Go",
            &servers.go_tls,
            Driver::Https,
            [Target::AtMost(15.0), Target::None],
        ),
        on("HTTP/2", &servers.http2, Driver::Http2, none),
        on("gRPC, tonic to tonic", &servers.grpc, Driver::Grpc, none),
        on("Redis", &servers.redis, Driver::Redis, none),
        rate("1,000 requests/s", 1_000),
        rate("10,000 requests/s", 10_000),
    ]
}

impl CostSubject<'_> {
    /// Pairs of runs, without and with the daemon.
    fn pairs(&self, args: &Args, strategy: &str) -> Result<Vec<[CostRun; 2]>> {
        // Warm caches before the first pair.
        self.load(self.watched, 1)?;
        let mut pairs = Vec::new();
        for pair in 0..args.pairs {
            // Whoever comes first may be slower, so that they take turns in that, too.
            let runs = if pair % 2 == 0 {
                let without = self.run(args.seconds, None)?;
                [without, self.run(args.seconds, Some(strategy))?]
            } else {
                let with = self.run(args.seconds, Some(strategy))?;
                [self.run(args.seconds, None)?, with]
            };
            let [without, with] = &runs;
            println!(
                "bench: {}: {:.2} µs for a request, {:.2} watched; daemon {:.2}",
                self.name, without.request, with.request, with.daemon
            );
            pairs.push(runs);
        }
        Ok(pairs)
    }

    fn run(&self, seconds: u64, strategy: Option<&str>) -> Result<CostRun> {
        let Some(strategy) = strategy else {
            let (load, request) = self.requests(self.watched, seconds)?;
            return Ok(CostRun {
                request,
                beside: self.beside(seconds)?,
                daemon: 0.0,
                per_second: load.per_second,
                lost: 0,
            });
        };
        let sink = Sink::start()?;
        let mut daemon = Daemon::start(strategy, self.watched.port, &sink)?;
        // What comes with the first requests under a daemon is no request's.
        let warm = self.load(self.watched, 1)?;
        sink.wait_for(warm.requests)?;
        let (spans, before) = (sink.spans()?, cpu_of(daemon.pid())?);
        let (load, request) = self.requests(self.watched, seconds)?;
        sink.wait_for(spans + load.requests)?;
        let of_daemon = cpu_of(daemon.pid())?.saturating_sub(before);
        let told = sink.spans()?.saturating_sub(spans);
        let beside = self.beside(seconds)?;
        daemon.stop()?;
        Ok(CostRun {
            request,
            beside,
            daemon: each(of_daemon, load.requests),
            per_second: load.per_second,
            // What was under way at the end has a span, and is not counted by who asked.
            lost: load.requests.saturating_sub(told),
        })
    }

    fn beside(&self, seconds: u64) -> Result<Option<f64>> {
        let beside = self.beside.map(|server| self.requests(server, seconds));
        Ok(beside.transpose()?.map(|(_, request)| request))
    }

    fn load(&self, server: &CostServer, seconds: u64) -> Result<Load> {
        self.driver.load(server.port, seconds)
    }

    /// Requests, and what the server took for one of them, in microseconds.
    fn requests(&self, server: &CostServer, seconds: u64) -> Result<(Load, f64)> {
        let before = cpu_of_all(&server.pids)?;
        let load = self.load(server, seconds)?;
        let took: Duration = cpu_of_all(&server.pids)?.saturating_sub(before);
        Ok((load, each(took, load.requests)))
    }

    fn rows(&self, strategy: &str, pairs: &[[CostRun; 2]]) -> Vec<Row> {
        let row = |figure: &str, value, unit, target| {
            let what = format!("{strategy}: {}: {figure}", self.name);
            Row::new(what, value, unit, target)
        };
        let of_pairs = |of: &dyn Fn(&[CostRun; 2]) -> f64| median(pairs.iter().map(of).collect());
        let [watched, beside] = self.targets;
        let lost: u64 = pairs.iter().map(|[_, with]| with.lost).sum();
        let mut rows = vec![
            row(
                "CPU of a request unwatched",
                of_pairs(&|[without, _]| without.request),
                "µs",
                Target::None,
            ),
            row(
                "CPU of a request, more",
                of_pairs(&|[without, with]| more(without.request, with.request)),
                "%",
                watched,
            ),
            row(
                "daemon's CPU for a request",
                of_pairs(&|[_, with]| with.daemon),
                "µs",
                Target::None,
            ),
            row(
                "requests/s kept",
                of_pairs(&|[without, with]| 100.0 * with.per_second / without.per_second),
                "%",
                Target::None,
            ),
            row("spans lost", lost as f64, "", Target::None),
        ];
        if self.beside.is_some() {
            rows.push(row(
                "CPU of a request to a server that is not watched, more",
                of_pairs(&|[without, with]| {
                    let or_none = |run: &CostRun| run.beside.unwrap_or(f64::NAN);
                    more(or_none(without), or_none(with))
                }),
                "%",
                beside,
            ));
        }
        if let Some(rate) = self.rate {
            rows.push(row(
                "of a core, hooks and daemon together",
                of_pairs(&|[without, with]| {
                    (with.request - without.request + with.daemon) * rate / 1e6 * 100.0
                }),
                "%",
                of_a_core(rate),
            ));
        }
        rows
    }
}

/// What is promised for a thousand requests a second.
fn of_a_core(rate: f64) -> Target {
    if rate <= 1000.0 {
        Target::AtMost(1.0)
    } else {
        Target::None
    }
}
