//! The daemon's log on standard error, which blocks and ends nobody: lines are formatted where they
//! are said and written by a thread of their own, from a queue with a bound. What does not fit is
//! counted and told later, and so is what one place of the code says too often. No text in a
//! message begins a line or steers a terminal.

mod limits;
mod outlet;

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};

use crate::config::LogConfig;
use crate::visible::Visible;
use limits::Limits;
use outlet::LineOutlet;

static OUTLET: LineOutlet = LineOutlet::new();
static LIMITS: Limits = Limits::new();

/// A longer line is cut.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Begins to log, from the level of `config` on; libraries are heard from warnings on. Panics are
/// lines of the log too.
pub fn start(config: &LogConfig) {
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("wirespan", LevelFilter::Trace)
        .format(|out, record| {
            let (time, level) = (out.timestamp_millis(), record.level());
            writeln!(out, "{time} {level} wirespan: {}", Visible(record.args()))
        })
        .target(env_logger::Target::Pipe(Box::new(Lines)))
        .build();
    if log::set_boxed_logger(Box::new(Logger(logger))).is_ok() {
        log::set_max_level(config.level);
    }
    std::panic::set_hook(Box::new(tell_panic));
}

/// Logs from another level on.
pub fn reconfigure(config: &LogConfig) {
    log::set_max_level(config.level);
}

/// Puts lines on standard error that are no part of the log: a summary, why it ends.
pub fn say(text: &str) {
    OUTLET.push(format!("{text}\n").into_bytes());
}

/// Waits until everything that was said is written, for at most `timeout`. Standard error may hang;
/// what is left then is never seen.
pub fn finish(timeout: Duration) {
    for suppressed in LIMITS.end() {
        log::warn!("{suppressed}");
    }
    OUTLET.drain(timeout);
}

fn tell_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name").to_owned();
    log::error!("thread {}: {}", Visible(name), Visible(info));
}

/// The log as the rest of the program knows it.
struct Logger(env_logger::Logger);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // Not all who log ask before.
        if !self.enabled(record.metadata()) || !self.0.matches(record) {
            return;
        }
        let now = Instant::now();
        for suppressed in LIMITS.turn(now) {
            let text = format_args!("{suppressed}");
            let line = Record::builder()
                .level(log::Level::Warn)
                .target("wirespan")
                .args(text)
                .build();
            self.0.log(&line);
        }
        if LIMITS.allow(record, now) {
            self.0.log(record);
        }
    }

    fn flush(&self) {}
}

/// Takes whole lines, one at a time, as env_logger writes them.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept = line.to_vec();
        if line.len() > LINE_BYTES_MAX {
            kept.truncate(LINE_BYTES_MAX);
            let more = line.len() - LINE_BYTES_MAX;
            kept.extend_from_slice(format!("… ({more} bytes more)\n").as_bytes());
        }
        OUTLET.push(kept);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
