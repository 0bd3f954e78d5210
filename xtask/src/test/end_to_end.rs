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
pub const THREADS: &str = "--test-threads=1";

/// A run in a virtual machine.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The kernel's series.
    pub kernel: &'a str,
    /// What the kernel is started with, besides what all are.
    pub parameters: &'a str,
    /// What a shell in the machine does before; mounts that it makes are gone afterwards, nothing
    /// else is.
    pub within: &'a str,
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
            parameters: "",
            within: "",
            strategy,
            executable,
            test,
        }
    }
}

/// What each kernel keeps elsewhere.
const LAYOUT: &str = "what_is_found_by_looking_is_what_the_kernel_says";

/// Only what kernels may take differently: each start of a daemon keeps the emulated verifier busy.
/// Where strategies are named, the kernel has not the one that is the first choice here.
pub const RUNS: [Run<'static>; 14] = [
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
    Run::new("5.10", "legacy", "strategies", ""),
    Run::new("5.10", "legacy", "tls", "an_object_that_owns_its_socket"),
    Run::new(
        "5.10",
        "",
        "old_kernels",
        "where_bpf_is_as_in_4_18_the_daemon_falls_back_by_itself",
    ),
];

/// On the running kernel, with whatever strategy the daemon chooses; what tests of links found is
/// added to `rows`.
pub fn here(compiled: &Compiled, rows: &LinkRows) -> Result<Counts> {
    let counts = executables::run(compiled.end_to_end(), SILENCE_MAX, |command| {
        command.arg(THREADS).env("WIRESPAN_BIN", &compiled.daemon);
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
    for told in each_in_machines(compiled, runs) {
        counts.add(told);
    }
    Ok(counts)
}

/// The same, run by run. Runs that follow each other and need the same machine share one.
pub fn each_in_machines(compiled: &Compiled, runs: &[Run<'_>]) -> Vec<Counts> {
    let needs_same = |one: &Run<'_>, other: &Run<'_>| {
        (one.kernel, one.parameters) == (other.kernel, other.parameters)
    };
    let mut counts = Vec::new();
    for runs in runs.chunk_by(needs_same) {
        if process::interrupted() {
            break;
        }
        counts.extend(in_machine(compiled, runs).unwrap_or_else(|error| {
            eprintln!("vm: Linux {}: {error:#}", runs[0].kernel);
            vec![Counts::of_one(false); runs.len()]
        }));
    }
    counts
}

/// Does what is asked for before each run in a mount namespace of its own, and says when one
/// begins. `$1` is the directory, `$2` the daemon, the rest are runs.
const SCRIPT: &str = r#"
cd "$1"; export WIRESPAN_BIN="$2"; shift 2
while [ $# -gt 0 ]; do
    if [ "$1" ]; then export WIRESPAN_CAPTURE="$1"; else unset WIRESPAN_CAPTURE; fi
    echo "== $(uname -r), ${1:-as the daemon chooses}: ${3##*/} $4"
    WITHIN=$2 unshare --mount --propagation private \
        sh -c 'eval "$WITHIN"; exec "$@"' sh "$3" --test-threads=1 "$4"
    shift 4
done"#;
/// How a line begins that says that a run does.
const BEGINS: &str = "== ";

/// Runs that share a machine; what each came to.
fn in_machine(compiled: &Compiled, runs: &[Run<'_>]) -> Result<Vec<Counts>> {
    let mut words = Vec::new();
    for run in runs {
        let mut all = compiled.end_to_end();
        let found = all.find(|found| found.name == run.executable);
        if found.is_none() {
            eprintln!(
                "vm: tests/{}.rs did not compile, or is gone",
                run.executable
            );
        }
        words.extend(words_of(run, found));
    }
    let series = runs[0].kernel;
    let kernel = vm::kernel::ensure(series)?;
    let mut command = ["sh", "-c", SCRIPT, "sh"].map(str::to_owned).to_vec();
    command.push(workspace::root().join("tests").to_string_lossy().into());
    command.push(compiled.daemon.to_string_lossy().into());
    command.extend(words);
    let boot = Boot {
        kernel: &kernel,
        parameters: runs[0].parameters,
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
    Ok(of_each(&said, runs.len()))
}

/// What each of so many runs came to. One that had no test failed, and so did one that never began.
fn of_each(said: &[String], runs: usize) -> Vec<Counts> {
    let parts = said.split(|line| line.starts_with(BEGINS)).skip(1);
    let told = parts.map(|part| match Counts::of_executables(part, 1) {
        counts if counts == Counts::default() => Counts::of_one(false),
        counts => counts,
    });
    let mut told: Vec<_> = told.take(runs).collect();
    told.resize(runs, Counts::of_one(false));
    told
}

/// What the script in the machine takes for a run; in the place of what is not there it runs what
/// fails.
fn words_of(run: &Run<'_>, executable: Option<&Executable>) -> [String; 4] {
    let path = executable.map_or("false".into(), |found| found.path.to_string_lossy());
    [run.strategy, run.within, &*path, run.test].map(str::to_owned)
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

    #[test]
    fn what_each_run_came_to_is_told_apart() {
        let said = "noise\n== 6.1, fexit: tls\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                    == 6.1, kprobes: tls\nkilled\n== 6.1: go\n\
                    test result: ok. 0 passed; 0 failed; 9 filtered out";
        let said: Vec<_> = said.lines().map(str::to_owned).collect();
        let (passed, failed) = (2, 0);
        let failure = Counts::of_one(false);
        let right = [Counts { passed, failed }, failure, failure, failure];
        assert_eq!(of_each(&said, 4), right);
    }
}
