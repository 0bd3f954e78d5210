//! The queue of lines, and the thread that writes them to standard error. Who says something never
//! waits: what does not fit is counted, and told once there is room. Errors of writing are nobody's
//! concern: there is no place to tell of them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Bytes that wait at most.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// See the module.
pub struct LineOutlet {
    state: Mutex<LineOutletState>,
    /// There is something to write.
    said: Condvar,
    /// There is nothing left to write.
    written: Condvar,
}

struct LineOutletState {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
    thread: OutletThread,
    is_writing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OutletThread {
    None,
    Runs,
    /// There is none to be had: lines are written where they are said.
    Refused,
}

impl LineOutlet {
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(LineOutletState {
                lines: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                thread: OutletThread::None,
                is_writing: false,
            }),
            said: Condvar::new(),
            written: Condvar::new(),
        }
    }

    /// Has whole lines written, or counts them as dropped.
    pub fn push(&'static self, lines: Vec<u8>) {
        let mut state = self.state();
        if state.thread == OutletThread::None {
            let thread = std::thread::Builder::new().name("log".into());
            state.thread = match thread.spawn(|| {
                crate::sandbox::without_rights();
                self.work(io::stderr());
            }) {
                Ok(_) => OutletThread::Runs,
                Err(_) => OutletThread::Refused,
            };
        }
        if state.thread == OutletThread::Refused {
            drop(state);
            write_all(io::stderr(), &lines);
            return;
        }
        if state.add(lines) {
            self.said.notify_one();
        }
    }

    /// Waits until all is written, for at most `timeout`.
    pub fn drain(&self, timeout: Duration) {
        let end = Instant::now() + timeout;
        let mut state = self.state();
        while state.thread == OutletThread::Runs && state.has_work() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.written.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, to: impl AsFd) {
        let mut state = self.state();
        loop {
            let Some(lines) = state.take() else {
                self.written.notify_all();
                let woken = self.said.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_writing = true;
            drop(state);
            write_all(&to, &lines);
            state = self.state();
            state.is_writing = false;
        }
    }

    fn state(&self) -> MutexGuard<'_, LineOutletState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineOutletState {
    fn add(&mut self, lines: Vec<u8>) -> bool {
        let fits = self.bytes + lines.len() <= WAITING_BYTES_MAX;
        if fits {
            self.bytes += lines.len();
            self.lines.push_back(lines);
        } else {
            self.dropped += 1;
        }
        fits
    }

    /// What is written next: what waits, then how much did not get to wait.
    fn take(&mut self) -> Option<Vec<u8>> {
        if let Some(lines) = self.lines.pop_front() {
            self.bytes -= lines.len();
            return Some(lines);
        }
        match std::mem::take(&mut self.dropped) {
            0 => None,
            dropped => {
                let line = format!("wirespan: {dropped} lines of the log were dropped here\n");
                Some(line.into_bytes())
            }
        }
    }

    fn has_work(&self) -> bool {
        self.is_writing || !self.lines.is_empty() || self.dropped > 0
    }
}

/// Writes for as long as it takes, or until it can't be.
fn write_all(to: impl AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Whoever shares it wants it so.
            Err(Errno::AGAIN) => {
                let mut room = [PollFd::new(&to, PollFlags::OUT)];
                let _: Result<usize, _> = poll(&mut room, None);
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_that_sleeps_stops_nobody_and_is_told_what_it_missed() {
        let outlet: &'static LineOutlet = Box::leak(Box::new(LineOutlet::new()));
        let (mut reader, writer) = io::pipe().expect("a pipe");
        outlet.state().thread = OutletThread::Runs;
        std::thread::spawn(|| outlet.work(writer));
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        // Far more than a pipe and the queue hold.
        for _ in 0..2000 {
            outlet.push(line.clone());
        }
        outlet.drain(Duration::from_millis(1));
        assert!(outlet.state().dropped > 0);

        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !read.ends_with(b"were dropped here\n") {
            let length = reader.read(&mut buffer).expect("it writes");
            read.extend_from_slice(&buffer[..length]);
        }
        let text = String::from_utf8(read).expect("text");
        let (said, last) = text.trim_end().rsplit_once('\n').expect("lines");
        let said = said.lines().count();
        let dropped: usize = last
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse().ok())
            .expect("a number");
        assert_eq!(said + dropped, 2000);
        outlet.drain(Duration::from_secs(20));
        assert!(!outlet.state().has_work());
    }

    #[test]
    fn a_reader_that_has_gone_ends_nobody() {
        let outlet: &'static LineOutlet = Box::leak(Box::new(LineOutlet::new()));
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        outlet.state().thread = OutletThread::Runs;
        std::thread::spawn(|| outlet.work(writer));
        for _ in 0..3 {
            outlet.push(b"nobody hears\n".to_vec());
        }
        outlet.drain(Duration::from_secs(20));
        assert!(!outlet.state().has_work());
    }
}
