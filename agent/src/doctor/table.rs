//! Checks as a table, for people: the remedy stands below what it is for.

use std::io::{self, Write};

use super::check::Check;
use crate::visible::Visible;

/// Writes all of them.
pub fn write(out: &mut impl Write, checks: &[Check]) -> io::Result<()> {
    let width = checks.iter().map(|check| check.check.len()).max();
    let width = width.unwrap_or_default();
    for check in checks {
        let found = Visible(&check.found);
        writeln!(
            out,
            "{}  {:width$}  {found}",
            check.grade.name(),
            check.check
        )?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "      {:width$}  → {}", "", Visible(remedy))?;
        }
    }
    Ok(())
}
