//! What was run, how long it took, how it ended: stages, and the line that counts them all. A
//! stage that fails says so and never keeps another from running.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::counts::Counts;
use crate::process;

/// The stages so far.
pub struct Report {
    started: Instant,
    stages: Vec<Stage>,
}

struct Stage {
    name: &'static str,
    took: Duration,
    counts: Counts,
}

impl Stage {
    /// Runs it to its end, whatever that is.
    fn run(name: &'static str, run: impl FnOnce() -> Result<Counts>) -> Self {
        let started = Instant::now();
        let counts = run().unwrap_or_else(|error| {
            eprintln!("{name}: {error:#}");
            Counts::of_one(false)
        });
        Self {
            name,
            took: started.elapsed(),
            counts,
        }
    }
}

impl Report {
    pub fn begin() -> Self {
        Self {
            started: Instant::now(),
            stages: Vec::new(),
        }
    }

    /// A stage that tests nothing, and without which no other can run.
    pub fn prepare(&mut self, name: &'static str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {name}");
        let started = Instant::now();
        run()?;
        self.stages.push(Stage {
            name,
            took: started.elapsed(),
            counts: Counts::default(),
        });
        Ok(())
    }

    /// A stage that tests nothing; others run even if it fails, which counts.
    pub fn build(&mut self, name: &'static str, run: impl FnOnce() -> Result<()>) {
        self.stage(name, || run().map(|()| Counts::default()));
    }

    /// A stage of tests.
    pub fn stage(&mut self, name: &'static str, run: impl FnOnce() -> Result<Counts>) {
        if process::interrupted() {
            return;
        }
        println!("\n== {name}");
        self.stages.push(Stage::run(name, run));
    }

    /// Two stages at the same time, the second in a thread of its own.
    pub fn side_by_side(
        &mut self,
        first: (&'static str, impl FnOnce() -> Result<Counts>),
        second: (&'static str, impl FnOnce() -> Result<Counts> + Send),
    ) {
        if process::interrupted() {
            return;
        }
        println!("\n== {}; beside it: {}", first.0, second.0);
        let both = std::thread::scope(|scope| {
            let beside = scope.spawn(move || Stage::run(second.0, second.1));
            let here = Stage::run(first.0, first.1);
            [
                here,
                beside.join().unwrap_or_else(|_| Stage::broken(second.0)),
            ]
        });
        self.stages.extend(both);
    }

    /// The table, and in the last line the sum.
    pub fn conclude(self) -> ExitCode {
        println!(
            "\n{:<32}{:>8}{:>9}{:>9}",
            "stage", "seconds", "passed", "failed"
        );
        let mut all = Counts::default();
        for Stage { name, took, counts } in self.stages {
            let seconds = took.as_secs();
            println!(
                "{name:<32}{seconds:>8}{:>9}{:>9}",
                counts.passed, counts.failed
            );
            all.add(counts);
        }
        println!("{:<32}{:>8}", "all", self.started.elapsed().as_secs());
        if process::interrupted() {
            println!("interrupted");
            all.failed += 1;
        }
        println!("{} passed, {} failed", all.passed, all.failed);
        if all.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Stage {
    /// It panicked, and has said why.
    fn broken(name: &'static str) -> Self {
        Self {
            name,
            took: Duration::ZERO,
            counts: Counts::of_one(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn counts(report: &Report) -> Vec<(usize, usize)> {
        let stages = report.stages.iter();
        stages
            .map(|stage| (stage.counts.passed, stage.counts.failed))
            .collect()
    }

    #[test]
    fn a_stage_that_fails_hides_no_other() {
        let mut report = Report::begin();
        report.stage("fails", || bail!("on purpose"));
        report.build("does not compile", || bail!("on purpose"));
        report.stage("passes", || Ok(Counts::of_one(true)));
        report.side_by_side(
            ("fails", || bail!("on purpose")),
            ("passes", || Ok(Counts::of_one(true))),
        );
        report.side_by_side(
            ("passes", || Ok(Counts::of_one(true))),
            ("panics", || panic!("on purpose")),
        );
        let expected = [(0, 1), (0, 1), (1, 0), (0, 1), (1, 0), (1, 0), (0, 1)];
        assert_eq!(counts(&report), expected);
    }
}
