//! What agents that ask each other cost. What is measured is in `agent/examples/asking_bench.rs`;
//! the figures that it prints are read here.

use anyhow::{Result, ensure};

use super::table::{Row, Target};
use crate::{process, workspace};

/// Processor time of a span, and bytes of a request.
pub fn measure() -> Result<Vec<Row>> {
    let mut bench = workspace::cargo(&["run", "--quiet", "--release"]);
    bench.args(["--package", "wirespan", "--example", "asking_bench"]);
    let said = process::capture(&mut bench)?;
    let rows: Vec<Row> = said.lines().filter_map(parse).collect();
    ensure!(!rows.is_empty(), "asking_bench printed no figures");
    Ok(rows)
}

/// A line says what, how much and in which unit: `asking, both agents  0.41 µs`.
fn parse(line: &str) -> Option<Row> {
    let (what, figure) = line.split_once("  ")?;
    let (value, unit) = figure.split_once(' ')?;
    let (unit, target) = match unit {
        "µs" if what.contains("a span") => ("µs", Target::AtMost(0.5)),
        "µs" => ("µs", Target::None),
        "bytes" if what.contains("on the wire") => ("bytes", Target::AtMost(60.0)),
        "bytes" => ("bytes", Target::None),
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
            "asking, a span  0.3 µs",
            "asking, a request, on the wire  61 bytes",
            "warming up",
        ];
        table.extend(lines.into_iter().filter_map(parse));
        let text = table.to_string();
        let rows: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| asking, a span | 0.3 µs | ≤ 0.5 µs | ok |",
                "| asking, a request, on the wire | 61 bytes | ≤ 60 bytes | MISSED |"
            ]
        );
    }
}
