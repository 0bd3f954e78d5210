//! The table of links: what the tests `links_*` and `shop` found, row by row, from a file that they
//! append to (`tests/src/links/kept.rs`). It judges nothing: each test fails by itself.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::counts::Counts;
use super::executables::{self, Compiled};
use crate::workspace;

/// Tests whose names begin so make rows.
const MAKERS: [&str; 2] = ["links_", "shop"];

/// What tests read the file's name from, and how many requests a row is made of.
const ROWS: &str = "WIRESPAN_LINK_ROWS";
const REQUESTS: &str = "WIRESPAN_LINK_REQUESTS";

/// Requests of a row in a soak.
const REQUESTS_OF_SOAK: u32 = 10_000;

/// Where the rows of a run are.
pub struct LinkRows {
    file: PathBuf,
}

/// What a row says.
#[derive(Debug, PartialEq)]
struct LinkRow<'a> {
    test: &'a str,
    name: &'a str,
    requests: usize,
    calls: usize,
    right: usize,
    wrong: usize,
    /// In per cent of the calls.
    right_min: f64,
    wrong_max: f64,
}

impl LinkRows {
    /// There are none yet.
    pub fn begin() -> Result<Self> {
        let file = workspace::target().join("links.tsv");
        std::fs::create_dir_all(workspace::target())?;
        std::fs::write(&file, "")?;
        Ok(Self { file })
    }

    /// Has a test executable add its rows.
    pub fn ask(&self, command: &mut Command) {
        command.env(ROWS, &self.file);
    }

    /// Runs the tests with as many requests as a soak has.
    pub fn soak(&self, compiled: &Compiled, only: &str, silence: Duration) -> Counts {
        let only = if only == "links" { "" } else { only };
        let tests = compiled
            .end_to_end()
            .filter(|test| makes_rows(&test.name) && test.name.contains(only));
        executables::run(tests, silence, |command| {
            command
                .args(["--include-ignored", "--test-threads=1"])
                .env("WIRESPAN_BIN", workspace::daemon())
                .env(REQUESTS, REQUESTS_OF_SOAK.to_string());
            self.ask(command);
        })
    }

    /// Prints what there is by now.
    pub fn print(&self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let rows: Vec<_> = text.lines().filter_map(row).collect();
        if !rows.is_empty() {
            print!("\n{}", table(&rows));
        }
    }
}

/// Whether `only` may mean such tests.
pub fn is_meant(only: &str) -> bool {
    only.is_empty() || only == "links" || makes_rows(only)
}

fn makes_rows(test: &str) -> bool {
    MAKERS.iter().any(|maker| test.starts_with(maker))
}

fn row(line: &str) -> Option<LinkRow<'_>> {
    let mut fields = line.split('\t');
    let (test, name) = (fields.next()?, fields.next()?);
    let mut counts = [0; 4];
    for count in &mut counts {
        *count = fields.next()?.parse().ok()?;
    }
    let [requests, calls, right, wrong] = counts;
    Some(LinkRow {
        test,
        name,
        requests,
        calls,
        right,
        wrong,
        right_min: fields.next()?.parse().ok()?,
        wrong_max: fields.next()?.parse().ok()?,
    })
}

fn table(rows: &[LinkRow<'_>]) -> String {
    let titles = ["requests", "calls", "right", "wrong", "none"];
    let names = rows.iter().map(|row| row.name.chars().count());
    let width = names.max().unwrap_or_default().max(8);
    let mut text = format!("{:<width$}", "links");
    for title in titles {
        let _ = write!(text, "{title:>10}");
    }
    text.push_str("  at least\n");
    let mut test = "";
    for row in rows {
        if test != row.test {
            test = row.test;
            let _ = writeln!(text, "{test}");
        }
        if row.requests == 0 {
            let _ = writeln!(text, "{:<width$}{:>10}", row.name, "not run");
            continue;
        }
        let wrong = row.wrong;
        let none = row.calls.saturating_sub(row.right + wrong);
        let _ = writeln!(
            text,
            "{:<width$}{:>10}{:>10}{:>9.2}%{wrong:>10}{none:>10}{:>9}%{}",
            row.name,
            row.requests,
            row.calls,
            row.part(row.right),
            row.right_min,
            if row.is_short() { "  MISSED" } else { "" }
        );
    }
    text
}

impl LinkRow<'_> {
    /// In per cent of the calls.
    fn part(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.calls.max(1) as f64
    }

    /// Whether its test has failed.
    fn is_short(&self) -> bool {
        let wrong = self.part(self.wrong);
        self.calls == 0 || self.part(self.right) < self.right_min || wrong > self.wrong_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS_OF_TWO: &str = "\
links_go\tgo direct\t1000\t2000\t2000\t0\t99.9\t0.02
links_go\tgo, shared connections\t1000\t2000\t1990\t2\t99.9\t0.02
no row
links_proxies\tHAProxy\t0\t0\t0\t0\t0\t0
links_proxies\tnginx\t1000\t1000\t1000\t0\t99.9\t0
";

    #[test]
    fn a_table_has_each_row_below_its_test() {
        let rows: Vec<_> = ROWS_OF_TWO.lines().filter_map(row).collect();
        let expected = "\
links                   requests     calls     right     wrong      none  at least
links_go
go direct                   1000      2000   100.00%         0         0     99.9%
go, shared connections      1000      2000    99.50%         2         8     99.9%  MISSED
links_proxies
HAProxy                  not run
nginx                       1000      1000   100.00%         0         0     99.9%
";
        assert_eq!(table(&rows), expected, "\n{}", table(&rows));
    }

    #[test]
    fn soaks_are_chosen_by_the_beginning_of_their_name() {
        for only in ["", "links", "links_go", "shop"] {
            assert!(is_meant(only), "{only}");
        }
        assert!(!is_meant("fuzzing"));
    }
}
