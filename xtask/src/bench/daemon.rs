//! The daemon under load, what it costs, and the receiver that counts its spans.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::demo::{self, Folder, free_port, get, wait_until_open};
use crate::process::{self, Lines, Running};
use crate::workspace;

/// A span may wait in a batch for this long.
const SPANS_LIMIT: Duration = Duration::from_secs(10);

const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The counting OTLP receiver.
pub struct Sink {
    port: u16,
    _process: Running,
}

impl Sink {
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let mut process = Running::start(
            "otlp-sink",
            process::tied(workspace::target().join("release/otlp-sink"))
                .arg(format!("127.0.0.1:{port}"))
                .stdout(Stdio::null()),
        )?;
        wait_until_open(port, &mut process)?;
        Ok(Self {
            port,
            _process: process,
        })
    }

    /// Spans received so far.
    pub fn spans(&self) -> Result<u64> {
        let answer = get(self.port, "/count")?;
        let count = answer.rsplit_once("spans ").map(|(_, count)| count.trim());
        count
            .and_then(|count| count.parse().ok())
            .with_context(|| format!("the sink answers {answer:?}"))
    }

    /// Waits until that many have come, or none has come for a while.
    pub fn wait_for(&self, spans: u64) -> Result<()> {
        let end = Instant::now() + SPANS_LIMIT;
        while self.spans()? < spans && Instant::now() < end {
            process::pause(Duration::from_millis(50))?;
        }
        Ok(())
    }
}

/// A running daemon.
pub struct Daemon {
    process: Running,
    log: Lines,
    /// From its start.
    pub ready_after: Duration,
}

/// What a process used since its start.
pub struct Cost {
    /// In user space and in the kernel on its behalf.
    pub cpu: Duration,
    /// The most that was resident.
    pub memory_peak_mib: f64,
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub fn start(strategy: &str, port: u16, sink: &Sink) -> Result<Self> {
        Self::start_with(&[("WIRESPAN_CAPTURE", strategy)], port, sink)
    }

    /// The same with settings.
    pub fn start_with(given: &[(&str, &str)], port: u16, sink: &Sink) -> Result<Self> {
        let started = Instant::now();
        let mut process = Running::start(
            "wirespan",
            settings(&mut process::tied(workspace::daemon()), port)
                .envs(given.iter().copied())
                .env(
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    format!("http://127.0.0.1:{}", sink.port),
                )
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
                .stderr(Stdio::piped()),
        )?;
        let log = Lines::of(&mut process, |_| ());
        demo::wait_until_ready(&mut process, &log)?;
        Ok(Self {
            process,
            log,
            ready_after: started.elapsed(),
        })
    }

    /// One that watches a process, whatever that does, and prints nothing of it.
    pub fn start_on_pid(pid: u32) -> Result<Self> {
        let started = Instant::now();
        let mut process = Running::start(
            "wirespan",
            settings(&mut process::tied(workspace::daemon()), 0)
                .env_remove("BEYLA_OPEN_PORT")
                .env("BEYLA_TARGET_PID", pid.to_string())
                .env("BEYLA_TRACE_PRINTER", "counter")
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
        )?;
        let log = Lines::of(&mut process, |_| ());
        demo::wait_until_ready(&mut process, &log)?;
        Ok(Self {
            process,
            log,
            ready_after: started.elapsed(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it used so far.
    pub fn cost(&self) -> Result<Cost> {
        let pid = self.process.pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Cost {
            cpu: cpu(&stat).context("/proc/<pid>/stat")?,
            memory_peak_mib: memory_peak_mib(&status).context("/proc/<pid>/status")?,
        })
    }

    /// What it says until it has said this, if it does; from when it was ready.
    pub fn says(&self, text: &str, within: Duration) -> Option<String> {
        std::iter::from_fn(|| self.log.next_within(within)).find(|line| line.contains(text))
    }

    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(STOP_LIMIT)?;
        if !status.success() {
            bail!("wirespan did not end well: {status}");
        }
        Ok(())
    }
}

/// Records a server under load, replays that; tells the spans and how long the replay took.
pub fn record_and_replay(port: u16, load: impl FnOnce() -> Result<()>) -> Result<(u64, Duration)> {
    let folder = Folder::create("recording")?;
    let recording = folder.path.join("load.wirespan");
    let mut command = process::tied(workspace::daemon());
    let mut recorder = Running::start(
        "wirespan record",
        settings(command.arg("record").arg(&recording), port).stderr(Stdio::piped()),
    )?;
    let log = Lines::of(&mut recorder, |_| ());
    demo::wait_until_ready(&mut recorder, &log)?;
    load()?;
    recorder.stop(STOP_LIMIT)?;
    let started = Instant::now();
    let said = process::capture(
        Command::new(workspace::daemon())
            .arg("replay")
            .arg(&recording)
            .args(["--printer", "counter"]),
    )?;
    let took = started.elapsed();
    // The counter is the last number that it printed.
    let spans = said
        .split(|character: char| !character.is_ascii_digit())
        .rfind(|word| !word.is_empty())
        .and_then(|word| word.parse().ok())
        .context("the replay printed no count")?;
    Ok((spans, took))
}

/// The daemon's settings, and none of the user's own.
fn settings(command: &mut Command, port: u16) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["OTEL_", "BEYLA_", "WIRESPAN_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    // What is measured is what all of it costs.
    command.env("WIRESPAN_CPU_LIMIT", "off");
    command.env("BEYLA_OPEN_PORT", port.to_string())
}

/// Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms (`USER_HZ` is 100 on Linux).
fn cpu(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(10 * (user + system)))
}

/// `VmHWM` of proc_pid_status(5), in KiB there.
fn memory_peak_mib(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 9 0";
        assert_eq!(cpu(stat), Some(Duration::from_millis(420)));
    }

    #[test]
    fn the_peak_is_in_mebibytes() {
        let status = "Name:\twirespan\nVmPeak:\t9 kB\nVmHWM:\t   20480 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(memory_peak_mib(status), Some(20.0));
    }
}
