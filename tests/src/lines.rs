//! What a process says, line by line, kept from its first line on, and waited for instead of slept
//! for.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one output of a process; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads `from` to its end, on a thread.
    #[must_use]
    pub fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let to = lines.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(from.read_until(b'\n', &mut line), Ok(len) if len > 0) {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']).to_owned();
                to.lock().lines.push(text);
                to.shared.more.notify_all();
                line.clear();
            }
            to.lock().ended = true;
            to.shared.more.notify_all();
        });
        lines
    }

    /// All lines so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits until `look` finds something in the lines so far, and returns it; `None` if it does
    /// not within `limit`, or when no further line can come.
    pub fn wait_for<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut said = self.lock();
        loop {
            if let Some(found) = look(&said.lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if said.ended || left.is_zero() {
                return None;
            }
            said = self
                .shared
                .more
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for_line(&self, limit: Duration, text: &str) -> Option<String> {
        let mut seen = 0;
        self.wait_for(limit, |lines| {
            let found = lines[seen..].iter().find(|line| line.contains(text));
            seen = lines.len();
            found.cloned()
        })
    }

    /// Waits until the process has closed this output, and returns all of its lines.
    #[must_use]
    pub fn finish(&self, limit: Duration) -> Vec<String> {
        let _ = self.wait_for(limit, |_| None::<()>);
        self.all()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.shared
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
