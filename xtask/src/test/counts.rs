//! Passed and failed, read from what Rust's test runner says. It knows no stage.

use crate::process::Watched;

/// Tests that were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
}

impl Counts {
    /// A single check.
    pub fn of_one(passed: bool) -> Self {
        Self {
            passed: passed.into(),
            failed: (!passed).into(),
        }
    }

    /// A whole run. If it failed and no test did (it did not compile, or a runner crashed), that
    /// is one failure.
    pub fn of_run(said: &[String], succeeded: bool) -> Self {
        let mut counts = Self::default();
        for summary in said.iter().filter_map(|line| summary(line)) {
            counts.add(summary);
        }
        if !succeeded && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }

    /// The same of a child that was watched.
    pub fn of_watched(watched: &Watched) -> Self {
        let succeeded = matches!(&watched.status, Ok(status) if status.success());
        Self::of_run(&watched.said, succeeded)
    }

    /// Runs of `executables` test executables, each of which must have come to its summary.
    pub fn of_executables(said: &[String], executables: usize) -> Self {
        let summaries = said.iter().filter(|line| summary(line).is_some()).count();
        let mut counts = Self::of_run(said, true);
        counts.failed += executables.saturating_sub(summaries);
        counts
    }

    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `test result: FAILED. 3 passed; 1 failed; 0 ignored; …`
fn summary(line: &str) -> Option<Counts> {
    let (_, counts) = line.split_once("test result: ")?;
    let (_, counts) = counts.split_once(". ")?;
    let mut numbers = counts.split("; ").map(|part| {
        let (number, name) = part.split_once(' ')?;
        Some((name, number.parse().ok()?))
    });
    let (Some(("passed", passed)), Some(("failed", failed))) = (numbers.next()?, numbers.next()?)
    else {
        return None;
    };
    Some(Counts { passed, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const SAID: &str = "\
running 4 tests
test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
noise: test result: maybe
test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1s";

    #[test]
    fn summaries_add_up() {
        let (passed, failed) = (7, 1);
        assert_eq!(
            Counts::of_run(&lines(SAID), false),
            Counts { passed, failed }
        );
    }

    #[test]
    fn a_run_that_fails_without_a_failed_test_is_a_failure() {
        let counts = Counts::of_run(&lines("error: could not compile"), false);
        assert_eq!(counts, Counts::of_one(false));
    }

    #[test]
    fn an_executable_without_a_summary_failed() {
        let counts = Counts::of_executables(&lines(SAID), 4);
        assert_eq!((counts.passed, counts.failed), (7, 3));
    }
}
