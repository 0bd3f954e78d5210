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

/// What this thread starts from now on leaves the processors to others who want them.
pub fn step_back() {
    // A wish. Where it is not granted, things take longer.
    let _ = rustix::process::nice(10);
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

/// Runs to the end; returns standard output, whatever the status is. Standard error, and so
/// progress and diagnostics, are passed through.
pub fn output_of(command: &mut Command) -> Result<(ExitStatus, String)> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", text(command)))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status, said))
}

/// What became of a child that was watched.
pub struct Watched {
    /// An error only if there is none: not started, interrupted, silent for too long.
    pub status: Result<ExitStatus>,
    /// Both outputs, line by line; what there was if it did not come to its end.
    pub said: Vec<String>,
}

/// Runs to the end with output passed through behind `label`. It may take any time, as long as it
/// says something: one that says nothing for `silence` is ended.
pub fn run_watched(command: &mut Command, label: &'static str, silence: Duration) -> Watched {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = match Running::start(text(command), command) {
        Ok(running) => running,
        Err(error) => {
            return Watched {
                status: Err(error),
                said: Vec::new(),
            };
        }
    };
    let lines = Lines::of(&mut running, move |line| println!("{label}{line}"));
    let mut said = Vec::new();
    let status = lines.until_end(&mut said, silence, || running.status());
    if status.is_err() {
        // What it is stopped by is told already.
        let _ = running.stop(Duration::from_secs(5));
    }
    said.extend(lines.finish());
    Watched { status, said }
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

    /// Collects what is said in `said` until there is a status; fails if nothing is said for
    /// `silence`, or if the user asks to stop.
    pub fn until_end<T>(
        &self,
        said: &mut Vec<String>,
        silence: Duration,
        mut status: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let mut heard = Instant::now();
        loop {
            if let Some(status) = status()? {
                return Ok(status);
            }
            if interrupted() {
                bail!("interrupted");
            }
            let before = said.len();
            said.extend(std::iter::from_fn(|| self.seen.try_recv().ok()));
            if said.len() > before {
                heard = Instant::now();
            }
            if heard.elapsed() > silence {
                bail!("it said nothing for {} s", silence.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_silent_is_ended_and_what_it_said_is_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo once; exec sleep 600"]);
        let watched = run_watched(&mut command, "", Duration::from_secs(2));
        let error = watched.status.expect_err("it did not end");
        assert!(error.to_string().contains("said nothing"), "{error:#}");
        assert_eq!(watched.said, ["once"]);
    }

    #[test]
    fn what_ends_by_itself_is_not_kept_waiting_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let mut watched = run_watched(&mut command, "", ANY_TIME);
        watched.said.sort();
        assert_eq!(watched.said, ["err", "out"]);
        assert_eq!(watched.status.expect("it ended").code(), Some(3));
    }
}
