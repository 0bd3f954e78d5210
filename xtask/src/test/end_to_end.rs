//! The end-to-end tests, compiled once and run as they are: on this kernel, and on Debian's 6.1 and
//! 5.10 in virtual machines, which see the same files and so need no cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};

use super::counts::Counts;
use crate::process;
use crate::vm::{self, Boot, Machine};
use crate::workspace;

/// One after the other: they share the machine's kernel, and times are compared.
const THREADS: &str = "--test-threads=1";

/// A run in a virtual machine.
struct Run {
    /// The kernel's series.
    kernel: &'static str,
    /// The way into socket calls.
    strategy: &'static str,
    executable: &'static str,
    /// One of its tests; all of them if it is empty.
    test: &'static str,
}

impl Run {
    const fn new(
        kernel: &'static str,
        strategy: &'static str,
        executable: &'static str,
        test: &'static str,
    ) -> Self {
        Self {
            kernel,
            strategy,
            executable,
            test,
        }
    }
}

/// Only what kernels may take differently: each start of a daemon keeps the emulated verifier busy.
/// None of these kernels has the way into socket calls that is the first choice here.
const RUNS: [Run; 8] = [
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
    Run::new("5.10", "syscall_tracepoints", "strategies", ""),
    Run::new(
        "5.10",
        "syscall_tracepoints",
        "tls",
        "an_object_that_owns_its_socket",
    ),
];

const HERE_LIMIT: Duration = Duration::from_secs(600);
const MACHINE_LIMIT: Duration = Duration::from_secs(600);

/// On the running kernel, with whatever strategy the daemon chooses.
pub fn here() -> Result<Counts> {
    let mut counts = Counts::default();
    for executable in executables()? {
        let (_, said) = process::run_watched(
            process::tied(&executable)
                .arg(THREADS)
                .current_dir(workspace::root().join("tests"))
                .env("WIRESPAN_BIN", workspace::daemon()),
            HERE_LIMIT,
        )?;
        counts.add(Counts::of_executables(&said, 1));
    }
    some(counts)
}

/// On Debian's kernels of these series, one after the other.
pub fn in_machines() -> Result<Counts> {
    let executables = executables()?;
    let mut counts = Counts::default();
    for series in vm::kernel::TESTED {
        counts.add(in_machine(series, &executables)?);
    }
    Ok(counts)
}

fn in_machine(series: &str, executables: &[PathBuf]) -> Result<Counts> {
    let mut runs = Vec::new();
    for run in RUNS.iter().filter(|run| run.kernel == series) {
        let Some(executable) = executables.iter().find(|path| is_of(path, run.executable)) else {
            bail!("wirespan-tests has no tests/{}.rs", run.executable);
        };
        let words = [run.strategy, &*executable.to_string_lossy(), run.test];
        runs.push(words.map(str::to_owned));
    }
    if runs.is_empty() {
        bail!("nothing is to be run on kernel {series}");
    }
    let kernel = vm::kernel::ensure(series)?;
    // `$1` is the directory, `$2` the daemon, the rest are runs.
    let script = format!(
        "cd \"$1\"; export WIRESPAN_BIN=\"$2\"; shift 2
        while [ $# -gt 0 ]; do
            export WIRESPAN_CAPTURE=\"$1\"
            echo \"== $(uname -r), $1\"
            \"$2\" {THREADS} \"$3\"
            shift 3
        done"
    );
    let mut command = vec!["sh".to_owned(), "-c".into(), script, "sh".into()];
    command.push(workspace::root().join("tests").to_string_lossy().into());
    command.push(workspace::daemon().to_string_lossy().into());
    let count = runs.len();
    command.extend(runs.into_iter().flatten());
    let boot = Boot {
        kernel: &kernel,
        command: &command,
        limit: MACHINE_LIMIT,
        accelerator: vm::EMULATED,
    };
    let mut machine = Machine::boot(&boot, Stdio::piped())?;
    let lines = machine.lines();
    let ready = machine.wait_until_ready()?;
    println!(
        "vm: Linux {} up in {:.1} s",
        kernel.release,
        ready.as_secs_f64()
    );
    let ended = machine.wait();
    let said = lines.finish();
    let counts = Counts::of_executables(&said, count);
    if let Err(error) = ended {
        eprintln!("vm: {error:#}");
    }
    if counts.passed + counts.failed < count {
        bail!("a run had no test");
    }
    Ok(counts)
}

/// A stage in which nothing was tested has not passed.
fn some(counts: Counts) -> Result<Counts> {
    if counts == Counts::default() {
        bail!("no test was run");
    }
    Ok(counts)
}

/// Whether cargo made this executable (`name-0123456789abcdef`) of the test of that name.
fn is_of(executable: &Path, test: &str) -> bool {
    let name = executable.file_name().map(std::ffi::OsStr::to_string_lossy);
    name.is_some_and(|name| name.rsplit_once('-').is_some_and(|(name, _)| name == test))
}

/// Compiles the tests; tells where the test executables are.
fn executables() -> Result<Vec<PathBuf>> {
    let messages = process::capture_and_show(
        workspace::cargo(&["test", "--quiet", "--no-run", "--package", "wirespan-tests"]).args([
            "--lib",
            "--bins",
            "--tests",
            "--message-format",
            "json-render-diagnostics",
        ]),
    )?;
    let executables: Vec<_> = messages.lines().filter_map(test_executable).collect();
    if executables.is_empty() {
        bail!("wirespan-tests has no tests");
    }
    Ok(executables)
}

/// From a message of cargo about a finished artifact.
fn test_executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let executable = message["executable"].as_str()?;
    is_test.then(|| executable.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_known_by_the_name_before_its_hash() {
        let executable = Path::new("/target/debug/deps/strategies-0123456789abcdef");
        assert!(is_of(executable, "strategies"));
        assert!(!is_of(executable, "life"));
    }

    #[test]
    fn only_tests_are_executables_to_run() {
        let test = r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":"/x"}"#;
        assert_eq!(test_executable(test), Some("/x".into()));
        let tool = r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/x"}"#;
        assert_eq!(test_executable(tool), None);
        assert_eq!(test_executable(r#"{"reason":"build-finished"}"#), None);
    }
}
