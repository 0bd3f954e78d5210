//! What pods cost. What is measured is in `agent/examples/pods_bench.rs` and
//! `decoration_bench.rs`; the figures that they print are read here.

use anyhow::{Result, ensure};

use super::Args;
use super::table::{Row, Target};
use crate::{process, workspace};

/// How soon a daemon is ready that asks of 250 pods, what these take, and what each span does.
pub fn measure(args: &Args) -> Result<Vec<Row>> {
    let mut rows = figures("pods_bench", args)?;
    rows.extend(figures("decoration_bench", args)?);
    Ok(rows)
}

/// What an example prints of as many rounds as are asked for.
fn figures(example: &str, args: &Args) -> Result<Vec<Row>> {
    let mut bench = workspace::cargo(&["run", "--quiet", "--release"]);
    bench
        .args(["--package", "wirespan", "--example", example, "--"])
        .arg(args.pairs.to_string())
        .env("WIRESPAN_BIN", workspace::daemon());
    let said = process::capture(&mut bench)?;
    let rows: Vec<Row> = said.lines().filter_map(parse).collect();
    ensure!(!rows.is_empty(), "{example} printed no figures");
    Ok(rows)
}

/// A line says what, how much and in which unit: `ready, API server away  482 ms`.
fn parse(line: &str) -> Option<Row> {
    let (what, figure) = line.split_once("  ")?;
    let (value, unit) = figure.split_once(' ')?;
    let (unit, target) = match unit {
        "ms" if what.contains("nobody") => ("ms", Target::None),
        "ms" => ("ms", Target::AtMost(500.0)),
        "MiB" => ("MiB", Target::AtMost(5.0)),
        "ns" => ("ns", Target::AtMost(50.0)),
        _ => return None,
    };
    Some(Row::new(what, value.parse().ok()?, unit, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_how_much() {
        let mut table = super::super::table::Table::default();
        let lines = [
            "ready, asking nobody  482 ms",
            "ready, API server away  501 ms",
            "memory of 250 pods  2.30 MiB",
            "decoration of a span  61 ns",
            "warming up",
        ];
        table.extend(lines.into_iter().filter_map(parse));
        let text = table.to_string();
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| ready, asking nobody | 482 ms |  |  |",
                "| ready, API server away | 501 ms | ≤ 500 ms | MISSED |",
                "| memory of 250 pods | 2.3 MiB | ≤ 5 MiB | ok |",
                "| decoration of a span | 61 ns | ≤ 50 ns | MISSED |"
            ]
        );
    }
}
