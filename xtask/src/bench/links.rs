//! What linking costs: of programs that make a call for each request, the processor time that a
//! request takes of them, with a daemon that links and with one that only captures; and that of the
//! daemon for a span. Both take turns on the same running program. The kernel counts the time
//! (`schedstat`), so that what else the machine does falls on neither.

mod programs;

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Args;
use super::cpu::{cpu_of, cpu_of_all, each, more};
use super::daemon::{Daemon, Sink};
use super::load;
use super::table::{Row, Target};
use programs::Programs;

/// Follows nothing that runs in programs.
const WITHOUT: &str = "0";
/// Takes no probe away, whatever it costs.
const WITH: &str = "100";

/// A program under load.
struct Subject<'a> {
    /// What it is called in the table.
    name: &'a str,
    /// All of its processes.
    pids: Vec<u32>,
    /// Where it serves.
    port: u16,
    /// What of its time linking may take, in per cent.
    target: Target,
}

/// What one run took, in microseconds.
struct Took {
    /// Of the program, for a request.
    request: f64,
    /// Of the daemon, for a span.
    span: f64,
}

/// All rows about links.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let programs = Programs::start()?;
    let is_wanted = |name: &str| name.contains(&args.programs);
    let mut rows = Vec::new();
    let subjects = programs.subjects()?.into_iter();
    for subject in subjects.filter(|subject| is_wanted(subject.name)) {
        let turns = subject
            .turns(args)
            .with_context(|| subject.name.to_owned())?;
        print_scatter(subject.name, &turns);
        let [without, with] = [0, 1].map(|side| least(turns.iter().map(|turn| &turn[side])));
        let row = |figure: &str, value, unit, target| {
            let what = format!("links: {}: {figure}, more than without", subject.name);
            Row::new(what, value, unit, target)
        };
        rows.push(row(
            "CPU for a request",
            more(without.request, with.request),
            "%",
            subject.target,
        ));
        rows.push(row(
            "daemon's CPU for a span",
            with.span - without.span,
            "µs",
            Target::AtMost(0.3),
        ));
    }
    if is_wanted("Node") {
        rows.push(programs.script(args)?);
    }
    Ok(rows)
}

/// The least of each: what else the machine does takes caches away, and never gives any.
fn least<'a>(runs: impl Iterator<Item = &'a Took>) -> Took {
    let none = Took {
        request: f64::INFINITY,
        span: f64::INFINITY,
    };
    runs.fold(none, |least, run| Took {
        request: least.request.min(run.request),
        span: least.span.min(run.span),
    })
}

/// How far pairs differ from each other: a figure is worth no more than that.
fn print_scatter(name: &str, turns: &[[Took; 2]]) {
    let of_pairs = |of: &dyn Fn(&[Took; 2]) -> f64| {
        let mut values: Vec<_> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        [
            at(0),
            at(values.len() / 2),
            at(values.len().saturating_sub(1)),
        ]
    };
    let [low, median, high] = of_pairs(&|[without, with]| more(without.request, with.request));
    let [least, middle, most] = of_pairs(&|[without, with]| with.span - without.span);
    println!(
        "bench: {name}: pair by pair {low:+.1} to {high:+.1} % for a request, median {median:+.1}; \
         daemon {least:+.2} to {most:+.2} µs for a span, median {middle:+.2}"
    );
}

impl Subject<'_> {
    /// Pairs of runs, without and with links.
    fn turns(&self, args: &Args) -> Result<Vec<[Took; 2]>> {
        // Warm caches, pools and compilers before the first pair.
        load::run_path(self.port, PATH, 1)?;
        let mut turns = Vec::new();
        for turn in 0..args.pairs {
            // Whoever comes first may be slower, so that they take turns in that, too.
            let pair = if turn % 2 == 0 {
                let without = self.run(WITHOUT, args.seconds)?;
                [without, self.run(WITH, args.seconds)?]
            } else {
                let with = self.run(WITH, args.seconds)?;
                [self.run(WITHOUT, args.seconds)?, with]
            };
            let [without, with] = &pair;
            println!(
                "bench: {}: {:.2} µs for a request, {:.2} with links; daemon {:.2} and {:.2} for a \
                 span",
                self.name, without.request, with.request, without.span, with.span
            );
            turns.push(pair);
        }
        Ok(turns)
    }

    fn run(&self, follow: &str, seconds: u64) -> Result<Took> {
        let sink = Sink::start()?;
        let given = [("WIRESPAN_FOLLOW_CPU_MAX", follow)];
        let mut daemon = Daemon::start_with(&given, self.port, &sink)?;
        // What comes with the first requests under a daemon is no request's.
        load::run_path(self.port, PATH, 1)?;
        let before = self.cpu()?;
        let (daemon_before, spans_before) = (cpu_of(daemon.pid())?, sink.spans()?);
        let done = load::run_path(self.port, PATH, seconds)?;
        let request = self.cpu()?.saturating_sub(before);
        // A span of the request, and one of the call.
        sink.wait_for(spans_before + 2 * done.requests)?;
        let of_daemon = cpu_of(daemon.pid())?.saturating_sub(daemon_before);
        let spans = sink.spans()?.saturating_sub(spans_before);
        daemon.stop()?;
        Ok(Took {
            request: each(request, done.requests),
            span: each(of_daemon, spans),
        })
    }

    fn cpu(&self) -> Result<Duration> {
        cpu_of_all(&self.pids)
    }
}

/// One request that makes one call; programs take the first part for its id.
const PATH: &str = "/b1/hello";
