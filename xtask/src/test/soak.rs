//! What takes too long for every run: the tests `tests/tests/soak_*.rs`, those of links with many
//! requests, longer fuzzing, and every end-to-end test on every kernel there is a machine for. How
//! long is a parameter; what has to hold is the same after seconds and after hours.

use std::time::Duration;

use anyhow::Result;

use super::SILENCE_MAX;
use super::end_to_end::{self, Run};
use super::executables;
use super::kernels;
use super::links::{self, LinkRows};
use super::report::Report;
use crate::{package, vm};

/// What the tests read their duration from; see `tests/src/soak.rs`.
const SECONDS: &str = "WIRESPAN_SOAK_SECONDS";

/// Names for `--only` of what is no file in `tests/tests`.
const FUZZING: &str = "fuzzing";
const MACHINES: &str = "machines";
const AARCH64: &str = "aarch64";

/// Whose files have to be there before their tests are run.
const PACKAGES: &str = "soak_packages";

/// Those whose name contains `only`, `duration` each.
pub fn run(report: &mut Report, duration: Duration, only: &str) -> Result<()> {
    let compiled = super::build(report);
    if PACKAGES.contains(only) {
        report.stage("the same packages in two folders", || {
            super::checked(package::again::compare())
        });
    }
    report.stage("soaks on this kernel", || {
        let wanted = compiled.soaks().filter(|soak| soak.name.contains(only));
        // A soak says nothing until it is over.
        Ok(executables::run(
            wanted,
            duration + SILENCE_MAX,
            |command| {
                command
                    .args(["--ignored", "--nocapture", "--test-threads=1"])
                    .env("WIRESPAN_BIN", crate::workspace::daemon())
                    .env(SECONDS, duration.as_secs().to_string());
            },
        ))
    });
    let rows = LinkRows::begin()?;
    if links::is_meant(only) {
        report.stage("links, many requests", || {
            Ok(rows.soak(&compiled, only, SILENCE_MAX))
        });
    }
    if FUZZING.contains(only) {
        report.stage("fuzzing", || super::fuzz(duration));
    }
    if MACHINES.contains(only) {
        report.stage("end to end, all of it, virtual machines", || {
            let mut runs = Vec::new();
            for kernel in vm::kernel::known() {
                let tests = compiled.end_to_end();
                runs.extend(tests.map(|test| Run::new(kernel, "", &test.name, "")));
            }
            end_to_end::in_machines(&compiled, &runs)
        });
    }
    if AARCH64.contains(only) {
        report.stage("AArch64, virtual machines", kernels::count_on_aarch64);
    }
    rows.print();
    Ok(())
}
