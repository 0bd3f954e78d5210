//! `wirespan doctor`: whether a run with these settings would work here, check by check, each with
//! a remedy. It attaches nothing to what anybody calls, watches nobody, and sends nothing but empty
//! exports.

mod check;
mod cluster;
mod kernel;
mod machine;
mod processes;
mod receivers;
mod rights;
mod table;

use std::io::Write as _;

pub use check::{Check, Grade};
pub use machine::Machine;

use crate::config::Config;
use crate::page;

/// Prints what there is to say, as a table or as JSON.
///
/// # Errors
/// Standard output can't be written to, or a run can't do what it is for.
pub fn examine(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let checks = checks(&Machine::host(), config)?;
    page::say(|page| {
        if !as_json {
            return table::write(page, &checks);
        }
        serde_json::to_writer_pretty(&mut *page, &checks)?;
        writeln!(page)
    })?;
    let failed = checks.iter().filter(|check| check.grade == Grade::Fail);
    let failed: Vec<_> = failed.map(|check| check.check).collect();
    anyhow::ensure!(failed.is_empty(), "a run can't work: {}", failed.join(", "));
    Ok(())
}

/// All checks, in the order in which one depends on the other.
///
/// # Errors
/// There are no threads to be had.
pub fn checks(machine: &Machine, config: &Config) -> anyhow::Result<Vec<Check>> {
    let mut checks = rights::checks(machine);
    checks.extend(kernel::checks(machine, &config.capture));
    checks.extend(processes::checks(machine, config));
    checks.extend(receivers::checks(config)?);
    checks.extend(cluster::checks(machine, config));
    Ok(checks)
}
