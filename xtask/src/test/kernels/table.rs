//! The table of kernels and capabilities: what was found is kept in `docs/kernels.json`, kernel by
//! kernel, and `docs/kernels.md` is made of it. A newer run replaces what is known of its kernels.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::super::counts::Counts;
use crate::workspace;

/// Where it is kept, and where people read it.
const KEPT: &str = "docs/kernels.json";
const PAGE: &str = "docs/kernels.md";

/// What stands above the table.
const HEAD: &str = "\
# What works on which kernel

Each cell is a test that was run there: `yes` if it passed, — where the kernel does not offer what
it takes, or nobody compiled one of its series without something. Below the first rows stand
conditions: something that a machine denies, and whether a run then did what it should, which is to
work all the same, or to refuse in one line that names what is missing, as `wirespan doctor` does
beforehand. What each row runs stands in
`xtask/src/test/kernels/`.

Made by `cargo xtask test --kernels`; a single kernel is run anew by its name, such as
`--kernels 6.1`, and of that single rows by part of theirs, such as `--rows TLS`. A kernel's date is
that of its last run.

";

/// What was found on one kernel.
pub struct Findings {
    pub series: String,
    /// As `uname -r` says it.
    pub release: String,
    /// What the kernel ran on.
    pub machine: &'static str,
    pub cells: Vec<Cell>,
}

/// One capability or condition.
pub struct Cell {
    pub name: &'static str,
    /// `None` if the kernel does not offer what it takes.
    pub told: Option<Counts>,
}

impl Cell {
    fn text(&self) -> String {
        match self.told {
            None => "—".to_owned(),
            Some(Counts { passed, failed: 0 }) if passed > 0 => "yes".to_owned(),
            Some(Counts { passed, failed }) => format!("**{failed} of {} fail**", passed + failed),
        }
    }
}

/// Replaces what is known of its kernel, as far as something was found.
pub fn keep(found: &Findings) -> Result<()> {
    let mut known = known()?;
    let before = known.get(&found.series).map(|column| &column["cells"]);
    let mut cells = before
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for cell in &found.cells {
        cells.insert(cell.name.to_owned(), cell.text().into());
    }
    let column = json!({
        "release": found.release,
        "machine": found.machine,
        "date": jiff::Timestamp::now().strftime("%F").to_string(),
        "cells": cells,
    });
    known.insert(found.series.clone(), column);
    let rows: Vec<_> = super::names().collect();
    let page = page(&rows, &known);
    println!("{page}");
    std::fs::create_dir_all(place("docs"))?;
    let kept = serde_json::to_string_pretty(&Value::Object(known))? + "\n";
    std::fs::write(place(KEPT), kept).with_context(|| format!("can't write {KEPT}"))?;
    std::fs::write(place(PAGE), page).with_context(|| format!("can't write {PAGE}"))
}

fn place(name: &str) -> PathBuf {
    workspace::root().join(Path::new(name))
}

/// What is known of each series; of none if nothing was ever kept.
fn known() -> Result<Map<String, Value>> {
    match std::fs::read_to_string(place(KEPT)) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{KEPT} is damaged")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("can't read {KEPT}")),
    }
}

/// A column for each kernel, in the order of `order`, and a row for each of `rows`.
fn page(rows: &[&str], known: &Map<String, Value>) -> String {
    let mut columns: Vec<_> = known.iter().collect();
    columns.sort_by_key(|(series, _)| super::place_of(series));
    let mut page = HEAD.to_owned();
    let mut row = |name: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: String = cells.fold(String::new(), |mut line, cell| {
            let _ = write!(line, " {cell} |");
            line
        });
        let _ = writeln!(page, "| {name} |{cells}");
    };
    let text = |column: &Value, key: &str| column[key].as_str().unwrap_or_default().to_owned();
    row("", &mut columns.iter().map(|(_, it)| text(it, "release")));
    row("---", &mut columns.iter().map(|_| "---".to_owned()));
    row(
        "machine",
        &mut columns.iter().map(|(_, it)| text(it, "machine")),
    );
    row(
        "run on",
        &mut columns.iter().map(|(_, it)| text(it, "date")),
    );
    for name in rows {
        let cells = columns.iter().map(|(_, it)| &it["cells"][*name]);
        row(
            name,
            &mut cells.map(|it| it.as_str().unwrap_or("not run").to_owned()),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_has_a_column_and_what_was_not_run_says_so() {
        let kernel = |release: &str, cells: Value| {
            let (machine, date) = ("m", "2026-01-02");
            json!({"release": release, "machine": machine, "date": date, "cells": cells})
        };
        let known = json!({
            "6.12": kernel("6.12.94", json!({"sockets": "yes", "gone": "yes"})),
            "5.10": kernel("5.10.0", json!({"sockets": "—", "TLS": "**1 of 2 fail**"})),
        });
        let page = page(&["sockets", "TLS"], known.as_object().expect("a map"));
        let table = page.strip_prefix(HEAD).expect("a head");
        let right = "|  | 5.10.0 | 6.12.94 |\n| --- | --- | --- |\n| machine | m | m |\n\
                     | run on | 2026-01-02 | 2026-01-02 |\n| sockets | — | yes |\n\
                     | TLS | **1 of 2 fail** | not run |\n";
        assert_eq!(table, right);
    }

    #[test]
    fn the_page_is_made_of_what_is_kept() {
        let rows: Vec<_> = super::super::names().collect();
        let known = known().expect("it can be read");
        let kept = std::fs::read_to_string(place(PAGE)).expect(PAGE);
        assert!(
            kept == page(&rows, &known),
            "{PAGE} was changed by hand, or rows were"
        );
    }
}
