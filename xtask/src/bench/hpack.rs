//! Header decoding beside the crates that can be had. What is measured is in
//! `agent/protocols/examples/hpack_bench.rs`; the ratios that it prints are read here.

use anyhow::{Context, Result, ensure};

use super::table::{Row, Target};
use crate::{process, workspace};

/// How our speed compares with the fastest other crate's, for each load.
pub fn measure() -> Result<Vec<Row>> {
    let said = process::capture(workspace::cargo(&["run", "--quiet", "--release"]).args([
        "--package",
        "wirespan-protocols",
        "--example",
        "hpack_bench",
    ]))?;
    let rows: Vec<Row> = said
        .lines()
        .filter_map(parse)
        .map(|(load, ratio)| {
            let what = format!("HPACK, {load}: speed of the fastest crate");
            Row::new(what, ratio, "x", Target::AtLeast(1.0))
        })
        .collect();
    ensure!(!rows.is_empty(), "hpack_bench printed no ratios");
    Ok(rows)
}

/// A line ends with its ratio, and begins with the load: `browser requests  110.2 … 1.35x`.
fn parse(line: &str) -> Option<(&str, f64)> {
    let (rest, ratio) = line.trim_end().rsplit_once(' ')?;
    let ratio = ratio.strip_suffix('x')?.parse().ok()?;
    let load = rest.split("  ").next().context("a load").ok()?;
    Some((load.trim(), ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_read_and_the_head_of_the_table_is_not() {
        let line = "gRPC steady (grpc-go)                  41.2         60.0            1.46x";
        assert_eq!(parse(line), Some(("gRPC steady (grpc-go)", 1.46)));
        assert_eq!(parse("ns for one block   wirespan  ours to fastest"), None);
    }
}
