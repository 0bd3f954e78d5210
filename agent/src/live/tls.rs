//! The thread that looks for TLS libraries in watched processes and has probes put on them. Looking
//! into an executable and loading programs take tens of milliseconds, in which shards must go on
//! reading: what it has to say waits in a bounded queue, and answers are fetched when it comes
//! round. This thread reads no record, and changes nothing that is kept of a process.
//!
//! Probes are taken away without it: when a process ends or becomes another program, they go at
//! once, whatever the thread is busy with.

mod files;
mod governor;
mod work;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::mpsc::{channel, sync_channel};
use std::thread::JoinHandle;

use crate::capture::{ProbedProcess, Standing, TlsProbes};
use crate::discover::tls::Libraries;
use crate::health::{Health, Loss};
use files::Files;
use governor::Governor;
use work::Work;

/// What can wait for the thread; what is more waits with the coordinator.
const QUEUE_MAX: usize = 1024;

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The process is watched.
    Watched(u32),
    /// The process runs another program, of which nothing is known yet.
    Ran(u32),
    /// A file that the process maps was written to.
    Rewritten(u32),
    /// A process died soon after probes were put on its files.
    Died,
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
    /// What the kernel side is to know of a process.
    Probed {
        /// Which process.
        pid: u32,
        /// See there.
        probed: ProbedProcess,
    },
    /// The tasks of a process are not followed any longer.
    Unfollowed(u32),
    /// See [`Told::Ran`]: what was answered before is of what the process ran before.
    Ran(u32),
    /// See [`Told::Settle`].
    Settled,
}

/// The coordinator's end of the thread.
pub struct TlsThread {
    told: Option<SyncSender<Told>>,
    /// What did not fit.
    waiting: VecDeque<Told>,
    answers: Receiver<Answer>,
    standing: Arc<Standing>,
    health: Arc<Health>,
    /// How often processes ran another program that the thread has not heard of yet.
    unheard: HashMap<u32, u32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TlsThread {
    /// Starts it. Following the tasks of a process may take so many percent of its CPU time.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        libraries: Libraries,
        mut probes: TlsProbes,
        follow_cpu_max: u8,
        health: &Arc<Health>,
    ) -> std::io::Result<Self> {
        let (told, hears) = sync_channel(QUEUE_MAX);
        // Bounded by the questions that wait: a look leads to one answer per library.
        let (says, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let standing = probes.standing();
        let files = Arc::new(Files::new());
        start_files(&files, &standing, &stop, told.clone())?;
        let says = move |answer| {
            // Without the coordinator nobody wants to know.
            let _ = says.send(answer);
        };
        if follow_cpu_max == 0 {
            probes.follow_nobody();
        }
        let governor = Governor::new(follow_cpu_max);
        let work = Work::new(libraries, probes, governor, files, says);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("tls".into())
            .spawn(move || work.run(&hears, &stopped))?;
        Ok(Self {
            told: Some(told),
            waiting: VecDeque::new(),
            answers,
            standing,
            health: Arc::clone(health),
            unheard: HashMap::new(),
            stop,
            thread: Some(thread),
        })
    }

    /// A process runs another program: what stands in it was not analysed.
    pub fn ran(&mut self, pid: u32) {
        if self.standing.has(pid) {
            self.standing.detach(pid);
        }
        *self.unheard.entry(pid).or_default() += 1;
        self.tell(Told::Ran(pid));
    }

    /// A process ended; how, as wait(2) has it.
    pub fn ended(&mut self, pid: u32, exit_code: u32) {
        if self.standing.ended(pid, exit_code) {
            self.health.lose(Loss::TlsWithdrawn, 1);
            self.tell(Told::Died);
        }
    }

    /// Tells it something, now or when there is room.
    pub fn tell(&mut self, told: Told) {
        if let Told::Unwatched(pid) = told {
            self.standing.detach(pid);
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
                    self.unheard.clear();
                    return;
                }
            }
        }
    }

    /// What it found since the last call, of what processes run now, of so many answers.
    pub fn answers(&mut self, count_max: usize) -> Vec<Answer> {
        let mut found = Vec::new();
        for answer in self.answers.try_iter().take(count_max) {
            match answer {
                Answer::Ran(pid) => {
                    if let Some(unheard) = self.unheard.get_mut(&pid) {
                        *unheard -= 1;
                        if *unheard == 0 {
                            self.unheard.remove(&pid);
                        }
                    }
                }
                Answer::Probed { pid, .. } | Answer::Unfollowed(pid)
                    if self.unheard.contains_key(&pid) => {}
                answer => found.push(answer),
            }
        }
        found
    }

    /// Has it take its probes away and end, without waiting for that.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(told) = self.told.take() {
            // It wakes it; one whose queue is full is awake.
            let _ = told.try_send(Told::Settle);
        }
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

/// Starts the thread that watches files with probes.
fn start_files(
    files: &Arc<Files>,
    standing: &Arc<Standing>,
    stop: &Arc<AtomicBool>,
    told: SyncSender<Told>,
) -> std::io::Result<()> {
    let (files, standing, stop) = (Arc::clone(files), Arc::clone(standing), Arc::clone(stop));
    let says = move |pids: Vec<u32>| {
        for pid in pids {
            // It waits for room, having nothing better to do. At the end nobody hears it.
            let _ = told.send(Told::Rewritten(pid));
        }
    };
    let run = move || files.run(&standing, &stop, says);
    std::thread::Builder::new()
        .name("tls-files".into())
        .spawn(run)?;
    Ok(())
}
