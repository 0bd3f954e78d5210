//! The end-to-end tests, run as they were compiled: on this kernel, and on some of Debian's in
//! virtual machines, which see the same files and so need no cargo.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};

use super::SILENCE_MAX;
use super::counts::Counts;
use super::executables::{self, Compiled, Executable};
use super::links::LinkRows;
use crate::vm::{self, Boot, Machine};
use crate::{process, workspace};

/// One after the other: they share the machine's kernel, and times are compared.
const THREADS: &str = "--test-threads=1";

/// A run in a virtual machine.
pub struct Run<'a> {
    /// The kernel's series.
    pub kernel: &'a str,
    /// The way into socket calls; the daemon's choice if it is empty.
    pub strategy: &'a str,
    pub executable: &'a str,
    /// One of its tests; all of them if it is empty.
    pub test: &'a str,
}

impl<'a> Run<'a> {
    pub const fn new(
        kernel: &'a str,
        strategy: &'a str,
        executable: &'a str,
        test: &'a str,
    ) -> Self {
        Self {
            kernel,
            strategy,
            executable,
            test,
        }
    }
}

/// What each kernel keeps elsewhere.
const LAYOUT: &str = "what_is_found_by_looking_is_what_the_kernel_says";

/// Only what kernels may take differently: each start of a daemon keeps the emulated verifier busy.
/// None of these kernels has the way into socket calls that is the first choice here.
pub const RUNS: [Run<'static>; 11] = [
    Run::new("6.12", "", "layouts", LAYOUT),
    Run::new("6.1", "", "layouts", LAYOUT),
    Run::new("6.1", "fexit", "strategies", ""),
    Run::new("6.1", "kprobes", "strategies", ""),
    Run::new("6.1", "syscall_tracepoints", "strategies", ""),
    Run::new("6.1", "fexit", "tls", "an_object_that_owns_its_socket"),
    Run::new(
        "6.1",
        "fexit",
        "tls_go",
        "the_newest_go_is_told_as_it_served",
    ),
    Run::new(
        "6.1",
        "fexit",
        "tls_rustls",
        "hyper_over_rustls_is_told_as_it_served",
    ),
    Run::new("5.10", "", "layouts", LAYOUT),
    Run::new("5.10", "syscall_tracepoints", "strategies", ""),
    Run::new(
        "5.10",
        "syscall_tracepoints",
        "tls",
        "an_object_that_owns_its_socket",
    ),
];

/// On the running kernel, with whatever strategy the daemon chooses; what tests of links found is
/// added to `rows`.
pub fn here(compiled: &Compiled, rows: &LinkRows) -> Result<Counts> {
    let counts = executables::run(compiled.end_to_end(), SILENCE_MAX, |command| {
        command
            .arg(THREADS)
            .env("WIRESPAN_BIN", workspace::daemon());
        rows.ask(command);
    });
    if counts == Counts::default() {
        bail!("no test was run");
    }
    Ok(counts)
}

/// On Debian's kernels, one after the other. One that dies hides no other.
pub fn in_machines(compiled: &Compiled, runs: &[Run<'_>]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut kernels: Vec<_> = runs.iter().map(|run| run.kernel).collect();
    kernels.dedup();
    for series in kernels {
        if process::interrupted() {
            break;
        }
        let runs: Vec<_> = runs.iter().filter(|run| run.kernel == series).collect();
        counts.add(in_machine(series, compiled, &runs).unwrap_or_else(|error| {
            eprintln!("vm: Linux {series}: {error:#}");
            Counts::of_one(false)
        }));
    }
    Ok(counts)
}

fn in_machine(series: &str, compiled: &Compiled, runs: &[&Run<'_>]) -> Result<Counts> {
    let mut words = Vec::new();
    let mut counts = Counts::default();
    for run in runs {
        let mut all = compiled.end_to_end();
        let Some(executable) = all.find(|found| found.name == run.executable) else {
            eprintln!(
                "vm: tests/{}.rs did not compile, or is gone",
                run.executable
            );
            counts.failed += 1;
            continue;
        };
        words.extend(words_of(run, executable));
    }
    let kernel = vm::kernel::ensure(series)?;
    // `$1` is the directory, `$2` the daemon, the rest are runs.
    let script = format!(
        "cd \"$1\"; export WIRESPAN_BIN=\"$2\"; shift 2
        while [ $# -gt 0 ]; do
            if [ \"$1\" ]; then export WIRESPAN_CAPTURE=\"$1\"; else unset WIRESPAN_CAPTURE; fi
            echo \"== $(uname -r), ${{1:-as the daemon chooses}}\"
            \"$2\" {THREADS} \"$3\"
            shift 3
        done"
    );
    let started = words.len() / 3;
    let mut command = vec!["sh".to_owned(), "-c".into(), script, "sh".into()];
    command.push(workspace::root().join("tests").to_string_lossy().into());
    command.push(workspace::daemon().to_string_lossy().into());
    command.extend(words);
    let boot = Boot {
        kernel: &kernel,
        command: &command,
        // Not counted: `watch` listens instead.
        limit: Duration::MAX,
        accelerator: vm::EMULATED,
    };
    let mut machine = Machine::boot(&boot, Stdio::piped())?;
    let lines = machine.lines(&format!("{series}: "));
    let ready = machine.wait_until_ready()?;
    println!(
        "vm: Linux {} up in {:.1} s",
        kernel.release,
        ready.as_secs_f64()
    );
    let mut said = Vec::new();
    let ended = machine.watch(&lines, &mut said, SILENCE_MAX);
    said.extend(lines.finish());
    if let Err(error) = ended {
        eprintln!("vm: {error:#}");
    }
    let told = Counts::of_executables(&said, started);
    if told.passed + told.failed < started {
        eprintln!("vm: a run had no test");
        counts.failed += 1;
    }
    counts.add(told);
    Ok(counts)
}

/// What the script in the machine takes for a run.
fn words_of(run: &Run<'_>, executable: &Executable) -> [String; 3] {
    let path = executable.path.to_string_lossy();
    [run.strategy, &*path, run.test].map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_in_a_machine_is_of_a_test_that_there_is() {
        for run in &RUNS {
            let file = format!("tests/tests/{}.rs", run.executable);
            let text = std::fs::read_to_string(workspace::root().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains(&format!("fn {}", run.test)), "{file}");
            assert!(vm::kernel::TESTED.contains(&run.kernel));
        }
    }
}
