//! The thread that looks for TLS libraries in watched processes and has probes put on them. Looking
//! into an executable and loading programs take tens of milliseconds, in which the shard must go on
//! reading: what it has to say waits in a bounded queue, and answers are fetched when it comes
//! round. This thread reads no record, and changes nothing that is kept of a process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::mpsc::{channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::TlsProbes;
use crate::discover::tls::{Changes, FileId, Libraries};

/// What can wait for the thread; what is more waits with the shard.
const QUEUE_MAX: usize = 1024;
/// How long probes stay on a file that nobody maps any longer: a program that is run again and
/// again finds them there.
const LINGER: Duration = Duration::from_secs(30);

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The process is watched.
    Watched(u32),
    /// The process is not watched any longer.
    Unwatched(u32),
    /// The process speaks TLS, so that its library is there by now.
    Speaks(u32),
    /// Say when all before this was dealt with.
    Settle,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Probes of these kinds (`PROBES_*`) see plaintext in the process.
    Probed {
        /// Which process.
        pid: u32,
        /// A bit set.
        probes: u32,
    },
    /// See [`Told::Settle`].
    Settled,
}

/// The shard's end of the thread.
pub struct TlsThread {
    told: Option<SyncSender<Told>>,
    /// What did not fit.
    waiting: VecDeque<Told>,
    answers: Receiver<Answer>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsThread {
    /// Starts it.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(libraries: Libraries, probes: TlsProbes) -> std::io::Result<Self> {
        let (told, hears) = sync_channel(QUEUE_MAX);
        // Bounded by the questions that wait: a look leads to one answer per library.
        let (says, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            libraries,
            probes,
            leaving: HashMap::new(),
            settles: false,
            says: Box::new(move |answer| {
                // Without the shard nobody wants to know.
                let _ = says.send(answer);
            }),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("tls".into())
            .spawn(move || work.run(&hears, &stopped))?;
        Ok(Self {
            told: Some(told),
            waiting: VecDeque::new(),
            answers,
            stop,
            thread: Some(thread),
        })
    }

    /// Tells it something, now or when there is room.
    pub fn tell(&mut self, told: Told) {
        if let Told::Unwatched(pid) = told {
            // What it was not told needs no taking back, but it may have been told of it before.
            self.waiting
                .retain(|it| !matches!(it, Told::Watched(of) | Told::Speaks(of) if *of == pid));
        }
        self.waiting.push_back(told);
        self.pass_on();
    }

    /// Sends what there is room for.
    pub fn pass_on(&mut self) {
        let Some(queue) = &self.told else { return };
        while let Some(first) = self.waiting.pop_front() {
            match queue.try_send(first) {
                Ok(()) => {}
                Err(TrySendError::Full(first)) => {
                    self.waiting.push_front(first);
                    return;
                }
                // It ended, which only a panic makes it do: capture goes on without TLS.
                Err(TrySendError::Disconnected(_)) => {
                    log::error!("the thread that looks for TLS libraries ended");
                    self.told = None;
                    self.waiting.clear();
                    return;
                }
            }
        }
    }

    /// What it found since the last call.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter()
    }

    /// Has it take its probes away and end, without waiting for that.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.told = None;
    }
}

impl Drop for TlsThread {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

/// The thread's state.
struct Work {
    libraries: Libraries,
    probes: TlsProbes,
    /// Files that nobody maps any longer, and when their probes go.
    leaving: HashMap<FileId, Instant>,
    /// Somebody waits for what was asked for until now.
    settles: bool,
    says: Box<dyn Fn(Answer) + Send>,
}

impl Work {
    fn run(mut self, hears: &Receiver<Told>, stop: &AtomicBool) {
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
                Ok(Told::Unwatched(pid)) => {
                    let gone = self.libraries.forget(pid);
                    self.leave(gone, now);
                }
                Ok(Told::Settle) => self.settles = true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.do_what_is_due(stop);
        }
    }

    /// When there is something to do without being told.
    fn next_at(&self) -> Option<Instant> {
        let leaving = self.leaving.values().min().copied();
        [self.libraries.next_due(), leaving]
            .into_iter()
            .flatten()
            .min()
    }

    fn do_what_is_due(&mut self, stop: &AtomicBool) {
        let now = Instant::now();
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
        let probes = &mut self.probes;
        self.leaving.retain(|file, at| {
            let stays = *at > now;
            if !stays {
                probes.detach(*file);
            }
            stays
        });
    }

    fn take_in(&mut self, pid: u32, changes: Changes, now: Instant) {
        let Changes {
            mapped,
            gone,
            unreadable,
        } = changes;
        for unreadable in unreadable {
            log::warn!(
                "can't read TLS in {}: {}",
                unreadable.name.display(),
                unreadable.reason
            );
        }
        for library in mapped {
            self.leaving.remove(&library.file);
            let probes = self.probes.attach(&library);
            if probes != 0 {
                (self.says)(Answer::Probed { pid, probes });
            }
        }
        self.leave(gone, now);
    }

    fn leave(&mut self, gone: Vec<FileId>, now: Instant) {
        for file in gone {
            self.leaving.insert(file, now + LINGER);
        }
    }
}
