//! What the thread does with what it is told: looks at processes, has probes put on what it finds,
//! and tries again where that may help. It takes no probes away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::governor::Governor;
use super::{Answer, Told};
use crate::capture::{Attempt, Death, Standing, TlsProbes};
use crate::discover::tls::{Libraries, LibraryChanges};
use crate::visible::Visible;

/// How long it waits before it tries again, where a debugger is in the way or somebody writes
/// to the file, and how often.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const TRIES_MAX: u32 = 20;

/// The thread's state.
pub struct Work {
    libraries: Libraries,
    probes: TlsProbes,
    governor: Governor,
    standing: Arc<Standing>,
    files: Arc<Files>,
    again: Vec<Revisit>,
    /// How often it was tried, of processes that are looked at once more.
    tries: HashMap<u32, u32>,
    /// Somebody waits for what was asked for until now.
    settles: bool,
    says: Box<dyn Fn(Answer) + Send>,
}

/// A process that is to be looked at once more.
struct Revisit {
    pid: u32,
    at: Instant,
}

impl Work {
    /// Has done nothing yet.
    pub fn new(
        libraries: Libraries,
        probes: TlsProbes,
        governor: Governor,
        files: Arc<Files>,
        says: impl Fn(Answer) + Send + 'static,
    ) -> Self {
        Self {
            libraries,
            standing: probes.standing(),
            probes,
            governor,
            files,
            again: Vec::new(),
            tries: HashMap::new(),
            settles: false,
            says: Box::new(says),
        }
    }

    /// Works until `stop`, or until nobody tells it anything any longer.
    pub fn run(mut self, hears: &Receiver<Told>, stop: &AtomicBool) {
        self.probes.prepare();
        loop {
            let told = match self.next_at() {
                Some(at) => hears.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => hears.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let now = Instant::now();
            match told {
                Ok(Told::Watched(pid) | Told::Speaks(pid)) => self.libraries.look(pid, now),
                Ok(Told::Ran(pid)) => {
                    self.forget(pid);
                    self.probes.follow_again(pid);
                    (self.says)(Answer::Ran(pid));
                }
                Ok(Told::Unwatched(pid)) => {
                    self.forget(pid);
                    self.probes.follow_again(pid);
                    // What was put there before this was heard.
                    self.standing.detach(pid);
                }
                Ok(Told::Rewritten(pid)) => self.try_again(pid, now, 0),
                Ok(Told::Died) => self.standing.deaths().iter().for_each(tell_of),
                Ok(Told::Settle) => self.settles = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.do_what_is_due(stop);
        }
    }

    /// When there is something to do without being told.
    fn next_at(&self) -> Option<Instant> {
        let again = self.again.iter().map(|again| again.at).min();
        [self.libraries.next_due(), again, self.governor.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn do_what_is_due(&mut self, stop: &AtomicBool) {
        let now = Instant::now();
        for Revisit { pid, .. } in self.again.extract_if(.., |again| again.at <= now) {
            self.libraries.look(pid, now);
        }
        self.govern(now);
        for (pid, changes) in self.libraries.changes(now) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.take_in(pid, changes, now);
        }
        if self.settles && self.libraries.is_settled() {
            self.settles = false;
            (self.says)(Answer::Settled);
        }
    }

    /// Takes the probes on tasks from whom they cost too much; those on TLS come back at once.
    fn govern(&mut self, now: Instant) {
        let probes = &self.probes;
        for (pid, share) in self.governor.look(now, |pid| probes.spent(pid)) {
            log::warn!(
                "the tasks of process {pid} are not followed any longer, as that took some \
                 {share}% of its CPU time: its calls have no parents (WIRESPAN_FOLLOW_CPU_MAX)"
            );
            self.forget(pid);
            self.probes.unfollow(pid);
            self.standing.detach(pid);
            (self.says)(Answer::Unfollowed(pid));
            self.libraries.look(pid, now);
        }
    }

    fn take_in(&mut self, pid: u32, changes: LibraryChanges, now: Instant) {
        // Probes go with the process, not with the last one that maps the file.
        let LibraryChanges {
            mapped,
            unreadable,
            unlinkable,
        } = changes;
        for unreadable in unreadable {
            log::warn!(
                "can't read TLS in {}: {}",
                Visible(unreadable.name.display()),
                Visible(unreadable.reason)
            );
        }
        for unlinkable in unlinkable {
            log::info!(
                "can't tell apart the tasks of {}: {}",
                Visible(unlinkable.name.display()),
                Visible(unlinkable.reason)
            );
        }
        let mut is_settled = true;
        for library in mapped {
            // First, so that what is written from now on is heard of.
            self.files.watch(&library);
            match self.probes.attach(pid, &library) {
                Attempt::Probed(probed) => {
                    let tasks = library.tasks.as_ref();
                    let has_points = tasks.is_some_and(|tasks| !tasks.probes.is_empty());
                    if probed.runtime.is_some() && has_points {
                        self.governor.follow(pid, now);
                    }
                    (self.says)(Answer::Probed { pid, probed });
                }
                Attempt::NotNow | Attempt::Changed => is_settled = false,
                Attempt::None => {}
            }
        }
        if !is_settled {
            let tries = self.tries.get(&pid).copied().unwrap_or_default();
            self.try_again(pid, now, tries + 1);
        }
    }

    /// What was found in it is found anew.
    fn try_again(&mut self, pid: u32, now: Instant, tries: u32) {
        self.forget(pid);
        if tries < TRIES_MAX {
            let at = now + AGAIN_AFTER;
            self.again.push(Revisit { pid, at });
            self.tries.insert(pid, tries);
        }
    }

    fn forget(&mut self, pid: u32) {
        // Probes go with the process, not with the last one that maps the file.
        self.libraries.forget(pid);
        self.governor.forget(pid);
        self.again.retain(|again| again.pid != pid);
        self.tries.remove(&pid);
    }
}

fn tell_of(death: &Death) {
    for file in &death.files {
        log::warn!(
            "process {} died by signal {} within seconds after probes were put on {}: they were \
             taken away, and TLS in this file is not read any longer",
            death.pid,
            death.signal,
            Visible(file.display())
        );
    }
}
