//! Children that never outlive xtask, and what to do with their output. It knows no task.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// How often a waiting task looks whether its child ended. Waiting for an event would need a
/// thread per child, for tasks that take seconds.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// For what takes as long as it takes.
pub const ANY_TIME: Duration = Duration::from_secs(24 * 3600);

/// From now on SIGINT and SIGTERM end the waits of this module instead of the process, so that
/// everything started is ended in order. A second one ends the process.
pub fn notice_interrupts() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let interrupted = Arc::clone(&INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, interrupted))
            .context("cannot handle signals")?;
    }
    Ok(())
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Sleeps, unless the user asks to stop.
pub fn pause(duration: Duration) -> Result<()> {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        if interrupted() {
            bail!("interrupted");
        }
        std::thread::sleep(LOOK_EVERY.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// A child that is ended when this is dropped.
pub struct Running {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command`, best made by [`tied`]. `name` is what messages call it.
    pub fn start(name: impl Into<String>, command: &mut Command) -> Result<Self> {
        let name = name.into();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child,
            ended: None,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self
                .child
                .try_wait()
                .with_context(|| format!("cannot wait for {}", self.name))?;
        }
        Ok(self.ended)
    }

    /// Waits until it ends by itself; fails after `limit`, or if the user asks to stop.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            if interrupted() {
                bail!("interrupted");
            }
            if Instant::now() > end {
                bail!("{} did not end within {} s", self.name, limit.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks it to end, and insists after `patience`. Returns its status.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        if self.status()?.is_none() {
            if let Some(pid) = Pid::from_raw(self.pid().cast_signed()) {
                // It may have ended since; then there is nothing to ask.
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
            let end = Instant::now() + patience;
            while self.status()?.is_none() && Instant::now() < end {
                std::thread::sleep(LOOK_EVERY);
            }
            if self.status()?.is_none() {
                self.child.kill().ok();
                self.ended = Some(self.child.wait()?);
            }
        }
        self.status()?.context("a stopped child has a status")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left to tell, and the kernel ends it with xtask anyway.
        let _ = self.stop(Duration::from_secs(5));
    }
}

/// Runs to the end with output passed through; a failure names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = Running::start(text(command), command)?.wait(ANY_TIME)?;
    if !status.success() {
        bail!("`{}` failed: {status}", text(command));
    }
    Ok(())
}

/// Runs to the end, quietly; returns standard output, and fails with standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", text(command)))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}", text(command), why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same with standard error, and so progress and diagnostics, passed through.
pub fn capture_and_show(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", text(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", text(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end with output passed through, and returns what both outputs said, line by line.
/// A status is an error only if there is none: not started, interrupted, over `limit`.
pub fn run_watched(command: &mut Command, limit: Duration) -> Result<(ExitStatus, Vec<String>)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(text(command), command)?;
    let lines = Lines::of(&mut running, |line| println!("{line}"));
    let status = running.wait(limit);
    if status.is_err() {
        running.stop(Duration::from_secs(5))?;
    }
    Ok((status?, lines.finish()))
}

/// What a child says, line by line, collected while it runs.
pub struct Lines {
    seen: mpsc::Receiver<String>,
}

impl Lines {
    /// Of both outputs of `running`, as far as they were piped. `show` sees each line at once.
    pub fn of(running: &mut Running, show: impl Fn(&str) + Clone + Send + 'static) -> Self {
        let (lines, seen) = mpsc::channel();
        if let Some(stdout) = running.child.stdout.take() {
            forward(stdout, lines.clone(), show.clone());
        }
        if let Some(stderr) = running.child.stderr.take() {
            forward(stderr, lines, show);
        }
        Self { seen }
    }

    /// Standard error, shown, and standard output, collected only; both must be piped.
    pub fn apart(
        running: &mut Running,
        show: impl Fn(&str) + Clone + Send + 'static,
    ) -> (Self, Self) {
        let stdout = running.child.stdout.take();
        let shown = Self::of(running, show);
        running.child.stdout = stdout;
        (shown, Self::of(running, |_| ()))
    }

    /// The next line; `None` if none comes in time, or none will.
    pub fn next_within(&self, limit: Duration) -> Option<String> {
        self.seen.recv_timeout(limit).ok()
    }

    /// What was said since. A grandchild may hold the pipe open; what it says after the end is of
    /// no interest.
    pub fn finish(self) -> Vec<String> {
        std::iter::from_fn(|| self.next_within(Duration::from_secs(1))).collect()
    }
}

fn forward(
    from: impl Read + Send + 'static,
    to: mpsc::Sender<String>,
    show: impl Fn(&str) + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(length) if length > 0) {
            let shown = String::from_utf8_lossy(&line);
            let shown = shown.trim_end_matches(['\n', '\r']);
            show(shown);
            if to.send(shown.to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
}

/// A command that the kernel ends when xtask ends: `setpriv` asks for that and becomes the
/// program, so the process id is the program's.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(TIE[0]);
    command.args(&TIE[1..]).arg(program);
    command
}

const TIE: [&str; 4] = ["setpriv", "--pdeathsig", "TERM", "--"];

/// As a user would type it.
pub fn text(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let tied = words.len() > TIE.len() && words.iter().zip(TIE).all(|(word, tie)| word == tie);
    words[if tied { TIE.len() } else { 0 }..].join(" ")
}
