//! What works on which kernel: every capability on every kernel that can be had, and what becomes
//! of a run where a machine denies something. The table goes to `docs/kernels.md`.

mod capability;
mod condition;
mod table;

use anyhow::Result;

use super::SILENCE_MAX;
use super::aarch64;
use super::counts::Counts;
use super::end_to_end::{self, Run};
use super::executables::{self, Compiled};
use super::report::Report;
use crate::vm;
use capability::{CAPABILITIES, Capability};
use condition::CONDITIONS;
use table::{Cell, Findings};

/// The kernel that is running, among the series.
const HERE: &str = "here";

/// Runs all that is meant by `only` (series, or `here`; all if there are none), or those rows of it
/// whose name contains `rows`, and writes down what came of it, beside what is known of others.
pub fn run(report: &mut Report, compiled: &Compiled, only: &[String], rows: &str) -> Result<()> {
    let all: Vec<_> = series().collect();
    if let Some(unknown) = only.iter().find(|name| !all.contains(&name.as_str())) {
        anyhow::bail!("no kernel `{unknown}`; there are {}", all.join(", "));
    }
    let is_meant = |series: &str| only.is_empty() || only.iter().any(|name| name == series);
    for series in all.into_iter().filter(|series| is_meant(series)) {
        report.stage("capabilities and conditions", || {
            println!("kernel {series}");
            let told = match series {
                HERE => here(compiled, rows)?,
                series if vm::kernel::ARM.contains(&series) => on_aarch64(series, rows)?,
                series => in_machine(compiled, series, rows, |_| true)?,
            };
            let mut counts = Counts::default();
            for counted in told.cells.iter().filter_map(|cell| cell.told) {
                counts.add(counted);
            }
            table::keep(&told)?;
            Ok(counts)
        });
    }
    Ok(())
}

/// Every kernel that there is a column for, in their order.
fn series() -> impl Iterator<Item = &'static str> {
    let machines = vm::kernel::known().chain(vm::kernel::ARM);
    [HERE].into_iter().chain(machines)
}

/// Where a kernel's column stands.
fn place_of(name: &str) -> usize {
    series().take_while(|series| *series != name).count()
}

/// What each row is called.
fn names() -> impl Iterator<Item = &'static str> {
    let capabilities = CAPABILITIES.iter().map(|it| it.name);
    capabilities.chain(CONDITIONS.iter().map(|it| it.name))
}

/// On this kernel; it is denied nothing, as others use it too.
fn here(compiled: &Compiled, rows: &str) -> Result<Findings> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut found = Findings {
        series: HERE.to_owned(),
        release: release.trim().to_owned(),
        machine: "as it is",
        cells: Vec::new(),
    };
    for capability in CAPABILITIES.iter().filter(|it| it.name.contains(rows)) {
        let is_offered = capability.is_offered_by(HERE);
        let told = is_offered.then(|| {
            let mut all = compiled.end_to_end();
            let executable = all.find(|it| it.name == capability.executable);
            executables::run(executable.into_iter(), SILENCE_MAX, |command| {
                command
                    .args([end_to_end::THREADS, capability.test])
                    .env("WIRESPAN_BIN", &compiled.daemon);
                if !capability.strategy.is_empty() {
                    command.env("WIRESPAN_CAPTURE", capability.strategy);
                }
            })
        });
        let name = capability.name;
        found.cells.push(Cell { name, told });
    }
    Ok(found)
}

/// What can be done on AArch64, counted, on the first of its kernels.
pub fn count_on_aarch64() -> Result<Counts> {
    let mut counts = Counts::default();
    for cell in on_aarch64(vm::kernel::ARM[0], "")?.cells {
        cell.told.into_iter().for_each(|told| counts.add(told));
    }
    Ok(counts)
}

/// In virtual machines with AArch64.
fn on_aarch64(series: &'static str, rows: &str) -> Result<Findings> {
    let meant = CAPABILITIES.iter().filter(|it| it.is_on_aarch64());
    let mut tests: Vec<_> = meant.map(|it| it.executable).collect();
    tests.push(condition::EXECUTABLE);
    let compiled = aarch64::compile(&tests)?;
    compiled.complete()?;
    in_machine(&compiled, series, rows, Capability::is_on_aarch64)
}

/// In virtual machines with Debian's kernel of this series; of rows whose name contains `rows`,
/// those capabilities that are meant.
fn in_machine(
    compiled: &Compiled,
    series: &'static str,
    rows: &str,
    is_meant: impl Fn(&Capability) -> bool,
) -> Result<Findings> {
    let kernel = vm::kernel::ensure(series)?;
    let mut found = Findings {
        series: series.to_owned(),
        release: kernel.release,
        machine: "emulated, 2 processors",
        cells: Vec::new(),
    };
    let mut names = Vec::new();
    let mut runs = Vec::new();
    let capabilities = CAPABILITIES.iter().filter(|it| it.name.contains(rows));
    for capability in capabilities.filter(|it| is_meant(it)) {
        if !capability.is_offered_by(series) {
            let (name, told) = (capability.name, None);
            found.cells.push(Cell { name, told });
            continue;
        }
        names.push(capability.name);
        let (strategy, executable) = (capability.strategy, capability.executable);
        runs.push(Run::new(series, strategy, executable, capability.test));
    }
    // Those that a machine is booted for come last: each needs one of its own.
    let conditions = CONDITIONS.iter().filter(|it| it.name.contains(rows));
    let mut conditions: Vec<_> = conditions.collect();
    conditions.sort_by_key(|condition| (condition.without, condition.parameters));
    let within: Vec<_> = conditions.iter().map(|it| it.preparation()).collect();
    for (condition, within) in conditions.iter().zip(&within) {
        let Some(series) = vm::kernel::without(series, condition.without) else {
            let (name, told) = (condition.name, None);
            found.cells.push(Cell { name, told });
            continue;
        };
        names.push(condition.name);
        runs.push(Run {
            parameters: condition.parameters,
            within,
            ..Run::new(series, "", condition::EXECUTABLE, "")
        });
    }
    let told = end_to_end::each_in_machines(compiled, &runs);
    let told = names.into_iter().zip(told.into_iter().map(Some));
    found
        .cells
        .extend(told.map(|(name, told)| Cell { name, told }));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn every_capability_and_condition_has_a_test_that_there_is() {
        let named = CAPABILITIES.iter().map(|it| (it.executable, it.test));
        for (executable, test) in named.chain([(condition::EXECUTABLE, "")]) {
            let file = format!("tests/tests/{executable}.rs");
            let text = std::fs::read_to_string(workspace::root().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("fn {test}")), "{file}: {test}");
        }
    }
}
