//! The daemon under test: started with an environment of its own, heard over its JSON printer, and
//! stopped the way an init system does it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::held::Held;
use crate::process::{LIMIT, Process, tied};
use crate::running_kernel;
use crate::spans::{Kind, Seen, listing};
use crate::workload::children_of;

/// Names the daemon to test; by default the release build of this workspace.
const BIN: &str = "WIRESPAN_BIN";
/// Forces a way into the kernel upon all tests.
const CAPTURE: &str = "WIRESPAN_CAPTURE";
/// The same for the number of shards.
const SHARDS: &str = "WIRESPAN_SHARDS";

/// A daemon that runs.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    /// Whose programs and maps are in the kernel: the process, or what it runs in a container.
    pid: u32,
}

/// For how long a daemon may get ready: an emulated machine under load takes minutes to check what
/// is loaded.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// A daemon that has ended as it should.
#[derive(Debug)]
pub struct Finished {
    /// All spans that it printed.
    pub spans: Vec<Seen>,
    /// All that it logged; the summary is at the end.
    pub log: Vec<String>,
}

impl Daemon {
    /// Starts tracing with the JSON printer and waits until it is ready. `settings` come on top.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(&[], settings)
    }

    /// The same for whatever listens on this port, now or later.
    #[must_use]
    pub fn for_port(port: u16) -> Self {
        Self::start(&[("BEYLA_OPEN_PORT", &port.to_string())])
    }

    /// The same for one process.
    #[must_use]
    pub fn for_pid(pid: u32) -> Self {
        Self::start(&[("BEYLA_TARGET_PID", &pid.to_string())])
    }

    /// The same with arguments.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start_with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::start_by(command(), arguments, settings)
    }

    /// The same as [`Daemon::start`] in a control group.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start_within(group: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = tied("sh");
        let enter = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        command.args(["-c", enter]).arg(group).arg(binary());
        force(&mut command);
        Self::start_by(command, &[], settings)
    }

    /// The same by another command than [`command`].
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn start_by(mut command: Command, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        command
            .env("BEYLA_TRACE_PRINTER", "json")
            .env("BEYLA_SHUTDOWN_TIMEOUT", "10s")
            .args(arguments)
            .envs(settings.iter().copied());
        Self::started(&mut command)
    }

    /// The same, by a command that becomes the daemon.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn started(command: &mut Command) -> Self {
        let process = Process::start("wirespan", command);
        let ready = process.stderr.wait_for_line(READY_LIMIT, "wirespan: ready");
        assert!(
            ready.is_some(),
            "wirespan did not become ready\n{}",
            process.story()
        );
        let pid = process.pid();
        Self { process, pid }
    }

    /// The same, by a command that runs the daemon as its only child, and passes signals on to it.
    ///
    /// # Panics
    /// It does not become ready.
    #[must_use]
    pub fn started_below(command: &mut Command) -> Self {
        let mut daemon = Self::started(command);
        let children = children_of(daemon.pid);
        assert_eq!(children.len(), 1, "{}", daemon.process.story());
        daemon.pid = children[0];
        daemon
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Seen> {
        parse(&self.process.stdout.all())
    }

    /// Waits until the spans so far satisfy `enough`, and returns them.
    ///
    /// # Panics
    /// They do not in time; the message says what was waited for and which spans there are.
    pub fn wait_for(&self, what: &str, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let mut spans = Vec::new();
        let mut read = 0;
        let found = self.process.stdout.wait_for(LIMIT, |lines| {
            spans.extend(parse(&lines[read..]));
            read = lines.len();
            enough(&spans).then_some(())
        });
        assert!(
            found.is_some(),
            "waited for {what}, but there are {}\n{}",
            listing(&spans),
            self.last_words()
        );
        spans
    }

    /// All that it logged, with its summary, for which it is asked to end: what it lost tells why a
    /// span is not there.
    fn last_words(&self) -> String {
        if let Some(pid) = Pid::from_raw(self.process.pid().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.process.stderr.wait_for_line(LIMIT, "lost: ");
        self.process.stderr.all().join("\n")
    }

    /// Waits for a number of spans.
    pub fn wait_for_count(&self, count: usize) -> Vec<Seen> {
        self.wait_for(&format!("{count} spans"), |spans| spans.len() >= count)
    }

    /// Waits until the daemon logged that it watches a process.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_until_watching(&self, pid: u32) {
        let line = self
            .process
            .stderr
            .wait_for_line(LIMIT, &format!("(pid {pid}, "));
        assert!(
            line.is_some(),
            "pid {pid} is not watched\n{}",
            self.process.story()
        );
    }

    /// Waits until the daemon logged that it follows the tasks of a runtime.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_until_following(&self) {
        let line = self
            .process
            .stderr
            .wait_for_line(LIMIT, "following tasks in ");
        assert!(
            line.is_some(),
            "no tasks are followed\n{}",
            self.process.story()
        );
    }

    /// Waits until the daemon logged that probes are in a program, be it for TLS or for its tasks.
    ///
    /// # Panics
    /// None are.
    pub fn wait_until_probed(&self) {
        let line = self.process.stderr.wait_for_line(LIMIT, " probes)");
        assert!(line.is_some(), "no probes\n{}", self.process.story());
    }

    /// SIGTERM, and what remains. What happened before belongs to the run, so whoever compares
    /// spans with requests compares these.
    #[must_use]
    pub fn stop(self) -> Finished {
        self.stop_by(Signal::TERM)
    }

    /// The same for a printer other than JSON: no spans to read.
    #[must_use]
    pub fn stop_uncounted(self) -> Finished {
        self.end(Signal::TERM, |_| Vec::new())
    }

    /// SIGTERM's work done by another signal.
    ///
    /// # Panics
    /// It does not end, or not with exit code 0, or without a summary, or something stays behind in
    /// the kernel.
    #[must_use]
    pub fn stop_by(self, signal: Signal) -> Finished {
        self.end(signal, parse)
    }

    fn end(mut self, signal: Signal, read: impl FnOnce(&[String]) -> Vec<Seen>) -> Finished {
        let held = Held::by(self.pid);
        self.process.signal(signal);
        let status = self.process.wait();
        let printed = self.process.stdout.finish(LIMIT);
        let log = self.process.stderr.finish(LIMIT);
        assert!(
            status.code() == Some(0),
            "wirespan ended with {status}\n{}",
            self.process.story()
        );
        let finished = Finished {
            spans: read(&printed),
            log,
        };
        assert!(
            finished.summary().contains("spans made"),
            "no summary:\n{}",
            self.process.story()
        );
        held.assert_gone();
        finished
    }

    /// SIGKILL: no goodbye.
    pub fn kill(mut self) {
        let held = Held::by(self.pid);
        self.process.signal(Signal::KILL);
        self.process.wait();
        held.assert_gone();
    }

    /// The most memory that it ever had, in bytes (`VmHWM`).
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// The memory that it has now, in bytes (`VmRSS`).
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    fn memory_bytes(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let line = line.expect("the kernel tells it").trim();
        let kib: u64 = line.trim_end_matches(" kB").parse().expect("in kB, always");
        kib * 1024
    }
}

impl Finished {
    /// From the summary's first line on.
    #[must_use]
    pub fn summary(&self) -> String {
        let begins = self
            .log
            .iter()
            .rposition(|line| line.starts_with("wirespan: traced for"));
        begins.map_or_else(String::new, |at| self.log[at..].join("\n"))
    }

    /// How many spans were made, as the summary says.
    ///
    /// # Panics
    /// It does not say.
    #[must_use]
    pub fn made(&self) -> usize {
        let summary = self.summary();
        let before = summary.split(" spans made").next();
        let number = before.and_then(|text| text.rsplit(' ').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no number of spans in {summary:?}"))
    }

    /// How many spans a destination got, and how many it did not, as the summary says.
    ///
    /// # Panics
    /// It does not say.
    #[must_use]
    pub fn delivered(&self, destination: &str) -> (usize, usize) {
        let summary = self.summary();
        let numbers = || {
            let (_, after) = summary.split_once(&format!("; {destination} exported "))?;
            let (exported, after) = after.split_once(", lost ")?;
            let digits = after.find(|c: char| !c.is_ascii_digit());
            let lost = &after[..digits.unwrap_or(after.len())];
            Some((exported.parse().ok()?, lost.parse().ok()?))
        };
        numbers().unwrap_or_else(|| panic!("nothing of {destination} in {summary:?}"))
    }

    /// One line for each span; see [`Seen::line`].
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.spans.iter().map(Seen::line).collect()
    }

    /// Spans of this kind.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Vec<&Seen> {
        let spans = self.spans.iter();
        spans.filter(|span| span.kind == kind).collect()
    }

    /// What it says that was lost.
    #[must_use]
    pub fn lost(&self) -> String {
        let summary = self.summary();
        let line = summary
            .lines()
            .find_map(|line| line.trim().strip_prefix("lost: "));
        line.unwrap_or("no line about losses").to_owned()
    }

    /// For comparisons by eye.
    #[must_use]
    pub fn story(&self) -> String {
        format!("{}\n{}", listing(&self.spans), self.log.join("\n"))
    }
}

/// The daemon's command, with an environment of its own.
#[must_use]
pub fn command() -> Command {
    let mut command = tied(binary());
    force(&mut command);
    command
}

/// The daemon's command as an ordinary user who was granted the capabilities that the README asks
/// for, and can get no others.
#[must_use]
pub fn command_with_least_capabilities() -> Command {
    const GRANTED: &str = "-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search";
    const NOBODY: &str = "65534";
    // Before Linux 5.11 maps count as locked memory, of which a user may have little.
    let mut command = tied("sh");
    let script = "ulimit -l unlimited 2>/dev/null; exec setpriv \"$@\"";
    command.args(["-c", script, "sh"]);
    // Asked for again, because it ends with a change of user.
    command.args(["--pdeathsig", "TERM", "--reuid", NOBODY, "--regid", NOBODY]);
    command.arg("--clear-groups");
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.args([set, GRANTED]);
    }
    command.arg("--").arg(binary());
    force(&mut command);
    command
}

/// Sets what is forced upon all tests. Those that load the daemon want to see all of it.
fn force(command: &mut Command) {
    command.env("WIRESPAN_CPU_LIMIT", "off");
    if let Some(capture) = forced_capture() {
        command.env(CAPTURE, capture);
    }
    if let Some(shards) = std::env::var_os(SHARDS) {
        command.env(SHARDS, shards);
    }
}

/// The way into the kernel that whoever runs the tests asked for.
#[must_use]
pub fn forced_capture() -> Option<String> {
    std::env::var(CAPTURE).ok()
}

/// The ways into the kernel that a test is to try: those that this machine's kernel has, or the one
/// that was asked for.
#[must_use]
pub fn strategies() -> Vec<String> {
    match forced_capture() {
        Some(forced) => vec![forced],
        None => ["socket_tracepoints", "syscall_tracepoints"]
            .into_iter()
            .filter(|&it| it != "socket_tracepoints" || running_kernel::is_at_least(6, 3))
            .map(str::to_owned)
            .collect(),
    }
}

/// Runs the daemon to its end, which has to come by itself; returns exit code, standard output and
/// standard error.
///
/// # Panics
/// It goes on running.
pub fn run_to_end(command: &mut Command) -> (Option<i32>, Vec<String>, Vec<String>) {
    let mut process = Process::start("wirespan", command);
    let status = process.wait();
    (
        status.code(),
        process.stdout.finish(LIMIT),
        process.stderr.finish(LIMIT),
    )
}

/// Spans that `wirespan replay` makes of a recording.
///
/// # Panics
/// It fails.
#[must_use]
pub fn replayed_spans(file: &str) -> Vec<Seen> {
    parse(&replayed(file, &[]))
}

/// What `wirespan replay` prints of a recording, as JSON, a line for each document.
///
/// # Panics
/// It fails.
#[must_use]
pub fn replayed(file: &str, arguments: &[&str]) -> Vec<String> {
    let mut command = command();
    command.args(["replay", file, "--printer", "json"]);
    command.args(arguments);
    let (code, printed, log) = run_to_end(&mut command);
    assert_eq!(code, Some(0), "{log:?}");
    printed
}

/// The daemon's file.
///
/// # Panics
/// There is none.
#[must_use]
pub fn binary() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let built = || {
        workspace
            .expect("a workspace")
            .join("target/release/wirespan")
    };
    let path = std::env::var_os(BIN).map_or_else(built, PathBuf::from);
    assert!(
        path.exists(),
        "no daemon at {}: `cargo build --release -p wirespan`, or name one with {BIN}",
        path.display()
    );
    path
}

fn parse(lines: &[String]) -> Vec<Seen> {
    lines.iter().flat_map(|line| Seen::of_line(line)).collect()
}
