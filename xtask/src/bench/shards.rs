//! Two shards beside one. What is measured is in `agent/examples/shards_bench.rs`; the ratios that
//! it prints are read here. The pipelines alone: a server under load would take the processors that
//! the second shard needs.

use anyhow::{Result, ensure};

use super::table::{Row, Target};
use crate::{process, workspace};

/// How much faster two shards are, and what an exchange costs them.
pub fn measure() -> Result<Vec<Row>> {
    let said = process::capture(workspace::cargo(&["run", "--quiet", "--release"]).args([
        "--package",
        "wirespan",
        "--example",
        "shards_bench",
    ]))?;
    let rows: Vec<Row> = said
        .lines()
        .filter_map(parse)
        .map(|(what, ratio)| {
            let target = match what {
                "two shards, time" => Target::AtLeast(1.7),
                _ => Target::None,
            };
            Row::new(format!("{what}: one to two"), ratio, "x", target)
        })
        .collect();
    ensure!(!rows.is_empty(), "shards_bench printed no ratios");
    Ok(rows)
}

/// A line ends with its ratio, and begins with what it is of: `two shards, time  1.2s 0.6s 1.98x`.
fn parse(line: &str) -> Option<(&str, f64)> {
    let (what, figures) = line.split_once("  ")?;
    let ratio = figures.rsplit_once(' ')?.1.strip_suffix('x')?;
    Some((what, ratio.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_how_much() {
        let line = "two shards, time  600.123ms 310.001ms 1.94x";
        assert_eq!(parse(line), Some(("two shards, time", 1.94)));
        assert_eq!(parse("warming up"), None);
    }
}
