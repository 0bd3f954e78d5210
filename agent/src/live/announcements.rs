//! Says in the log who is watched: the first processes of a service by name, of more the number.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::discover::Process;
use crate::visible::Visible;

/// Processes of one service and executable that are named within a minute.
const NAMED_MAX: u32 = 4;
/// Services that are counted apart; what more there are is told by the log's own bound.
const SERVICES_MAX: usize = 1024;
const PERIOD: Duration = Duration::from_secs(60);

/// What was said within this minute.
pub struct Announcements {
    turns_at: Instant,
    services: HashMap<(String, PathBuf), u32>,
}

impl Announcements {
    /// Nothing was said.
    pub fn new(now: Instant) -> Self {
        Self {
            turns_at: now + PERIOD,
            services: HashMap::new(),
        }
    }

    /// Says that a process is watched, or counts it.
    pub fn announce(&mut self, process: &Process) {
        let key = (process.service_name.clone(), process.executable.clone());
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&key) {
            self.services.clear();
        }
        let seen = self.services.entry(key).or_default();
        *seen += 1;
        if *seen <= NAMED_MAX {
            log::info!(
                "watching {} (pid {}, {})",
                Visible(&process.service_name),
                process.pid,
                Visible(process.executable.display())
            );
            for why in &process.uncopied {
                let name = Visible(&process.service_name);
                log::warn!("of {name} (pid {}): {}", process.pid, why.sentence());
            }
        }
    }

    /// Once a minute, says how many were only counted.
    pub fn turn(&mut self, now: Instant) {
        if now < self.turns_at {
            return;
        }
        self.turns_at = now + PERIOD;
        for ((service, executable), seen) in self.services.drain() {
            let more = seen.saturating_sub(NAMED_MAX);
            if more > 0 {
                log::info!(
                    "watching {more} more of {} ({}) since",
                    Visible(service),
                    Visible(executable.display())
                );
            }
        }
    }
}
