//! Processes that a test starts: what they say is kept, and none outlives the test, however that
//! ends.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::lines::Lines;

/// When waiting is given up for what should take no time. Generous, because it is no measure of how
/// fast a machine is: virtual machines emulate, and others use the machine too.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How often a process is looked at whose end is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A command that becomes `program` under the same process id, after it asked the kernel for
/// SIGTERM at the death of the thread that started it.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .env_clear()
        .env(
            "PATH",
            // Debian's first: set-up installed the libraries of its interpreters.
            "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
        )
        .env("LC_ALL", "C.UTF-8");
    command
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: Lines,
    /// Its standard error.
    pub stderr: Lines,
}

impl Process {
    /// Starts a command, best made by [`tied`]. `name` is what messages call it.
    ///
    /// # Panics
    /// It can't be started; the message names the program that is missing.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("{name} can't be started by {command:?} (is it installed?): {error}")
        });
        let stdin = child.stdin.take();
        let stdout = Lines::of(child.stdout.take().expect("it is piped"));
        let stderr = Lines::of(child.stderr.take().expect("it is piped"));
        Self {
            name: name.to_owned(),
            child,
            stdin,
            stdout,
            stderr,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// It does not read any more.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("input was not closed");
        let told = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        if let Err(error) = told {
            panic!(
                "{} can't be told {line:?}: {error}\n{}",
                self.name,
                self.story()
            );
        }
    }

    /// Ends its standard input.
    pub fn close_input(&mut self) {
        self.stdin.take();
    }

    /// Waits for a line on standard output.
    ///
    /// # Panics
    /// It does not come.
    pub fn expect_line(&self, text: &str) -> String {
        self.stdout
            .wait_for_line(LIMIT, text)
            .unwrap_or_else(|| panic!("{} did not say {text:?}\n{}", self.name, self.story()))
    }

    /// Sends a signal; nothing happens if it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.status().is_none()
            && let Some(pid) = Pid::from_raw(self.pid().cast_signed())
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// How it ended, if it did.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits for its end; `None` if it goes on.
    pub fn wait_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It goes on.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(LIMIT)
            .unwrap_or_else(|| panic!("{} does not end\n{}", self.name, self.story()))
    }

    /// Waits for its end, which must be a success; returns standard output.
    ///
    /// # Panics
    /// It goes on or failed.
    pub fn succeed(mut self) -> Vec<String> {
        let status = self.wait();
        let said = self.stdout.finish(LIMIT);
        assert!(
            status.success(),
            "{} failed: {status}\n{}",
            self.name,
            self.story()
        );
        said
    }

    /// Asks it to end and waits for that.
    ///
    /// # Panics
    /// It does not.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// All that it said, for messages.
    #[must_use]
    pub fn story(&self) -> String {
        format!(
            "--- {} (pid {}), standard output:\n{}\n--- standard error:\n{}\n---",
            self.name,
            self.pid(),
            tail(&self.stdout.all()),
            tail(&self.stderr.all())
        )
    }
}

/// The last lines; the first ones of thousands tell nobody anything.
fn tail(lines: &[String]) -> String {
    const LINES_MAX: usize = 60;
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stdin.take();
        self.signal(Signal::TERM);
        if self.wait_within(Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
