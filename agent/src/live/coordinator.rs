//! What concerns all shards, and is done once: who is watched, TLS, what the kernel side lost, what
//! is said about it. It runs on the first shard's thread, reads no file, and waits for nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use wirespan_common::record::{LifeEvent, TaskKind};
use wirespan_common::runtime::Runtime;

use super::announcements::Announcements;
use super::control::{Answer, Control};
use super::path::{Lived, Path};
use super::tls::{self, TlsThread, Told};
use super::wishes::Wish;
use crate::capture::Capture;
use crate::discover::{Process, runtimes};
use crate::ending::Event;
use crate::health::{Health, Loss};
use crate::memory::give_back;
use crate::report;

/// How often a process that speaks TLS is looked at for its libraries because of that.
const TLS_LOOK_EVERY: Duration = Duration::from_millis(200);
/// Wishes, and answers of the thread that looks for TLS, that are dealt with in one round.
const AT_ONCE: usize = 1024;

/// The coordinator's state.
pub struct Coordinator {
    control: Control,
    /// Takes its probes away before the kernel side goes.
    tls: TlsThread,
    capture: Capture,
    wishes: Receiver<Wish>,
    watched: HashSet<u32>,
    /// Processes that were seen speaking TLS, and when they were looked at for it.
    tls_seen: HashMap<u32, Instant>,
    /// Who waits for the processes that were there already.
    settled: Option<Sender<Event>>,
    announcements: Announcements,
    /// Whether the kernel side is told of whom calls may be linked by threads.
    follows_threads: bool,
    health: Arc<Health>,
}

impl Coordinator {
    /// Knows nobody yet.
    pub fn new(
        capture: Capture,
        control: Control,
        tls: TlsThread,
        wishes: Receiver<Wish>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            control,
            tls,
            capture,
            wishes,
            watched: HashSet::new(),
            tls_seen: HashMap::new(),
            settled: None,
            announcements: Announcements::new(Instant::now()),
            follows_threads: true,
            health,
        }
    }

    /// Tells `settled` once what was there already is watched and described, and its TLS is read.
    /// By whose threads calls may be linked is told if it `follows` them.
    pub fn telling(&mut self, settled: Sender<Event>, follows: bool) {
        self.settled = Some(settled);
        self.follows_threads = follows;
    }

    /// Something happened to a process. Returns whether the control thread will hear of it; if not,
    /// it will look at all processes.
    pub fn hear(&mut self, lived: &Lived) -> bool {
        let Lived {
            pid, event, life, ..
        } = *lived;
        match event {
            LifeEvent::Exec => self.tls.ran(pid),
            LifeEvent::Exit => self.tls.ended(pid, life.other),
            LifeEvent::Fork | LifeEvent::Listen | LifeEvent::Serve => {}
        }
        let is_told = self.control.tell(pid, event, life);
        if !is_told {
            self.health.lose(Loss::LifeUnheard, 1);
        }
        is_told
    }

    /// Carries out what the control thread answered; `path` is the first shard's.
    pub fn carry_out(&mut self, answer: Answer, path: &mut Path) {
        match answer {
            Answer::Watch(pid) => {
                if !self.capture.watch_list.watch(pid) {
                    self.health.lose(Loss::WatchedFull, 1);
                }
            }
            Answer::Unwatch(pid) => self.unwatch(pid, path),
            Answer::Refuse(pid) => {
                // First, so that the kernel side does not come to watch it between the two.
                self.capture.watch_list.refuse(pid);
                self.unwatch(pid, path);
            }
            Answer::ForgetRefusals => self.capture.watch_list.forget_refusals(),
            Answer::Began(pid) => {
                self.watched.insert(pid);
                self.tls.tell(Told::Watched(pid));
            }
            Answer::Settled => self.tls.tell(Told::Settle),
            // That concerns the shards alone.
            Answer::News(_) => {}
        }
    }

    fn unwatch(&mut self, pid: u32, path: &mut Path) {
        self.capture.watch_list.unwatch(pid);
        self.watched.remove(&pid);
        self.tls_seen.remove(&pid);
        self.tls.tell(Told::Unwatched(pid));
        let lost = self.capture.losses.settle(pid);
        if lost > 0 {
            path.pipeline.lose_records(pid, lost);
        }
    }

    /// What a watched process is called became known, or changed.
    pub fn choose(&mut self, process: &Process) {
        if let Some(Ok(carriers)) = &self.capture.carriers
            && let Some(carries) = carriers.choose(process)
        {
            self.capture.watch_list.set_carries(process.pid, carries);
        }
    }

    /// A watched process was described.
    pub fn announce(&mut self, process: &Process) {
        // By now it is watched.
        if self.follows_threads
            && runtimes::may_go_by_threads(process.language.as_deref(), &process.executable)
        {
            let (kind, runtime) = (TaskKind::Thread, Runtime::default());
            let watch_list = &mut self.capture.watch_list;
            watch_list.set_runtime(process.pid, kind, runtime);
        }
        self.choose(process);
        self.announcements.announce(process);
    }

    /// Its turn in each round of the first shard.
    pub fn turn(&mut self) {
        for _ in 0..AT_ONCE {
            match self.wishes.try_recv() {
                Ok(Wish::RaiseBudget(pid)) => self.capture.watch_list.raise_budget(pid),
                Ok(Wish::TlsSeen(pid)) => self.tls_was_seen(pid),
                Err(_) => break,
            }
        }
        self.hear_of_tls();
        self.capture.flush_log();
        if let Some(Ok(carriers)) = &mut self.capture.carriers {
            carriers.turn(Instant::now());
        }
    }

    /// Once a minute.
    pub fn do_chores(&mut self, path: &mut Path) {
        self.announcements.turn(Instant::now());
        self.fetch_losses(path);
        self.capture.carry_alone();
        report::log_losses(&self.health);
    }

    /// Brings what the kernel side counts up to date; processes' records are counted by the first
    /// shard, whichever lost them.
    pub fn fetch_losses(&mut self, path: &mut Path) {
        for (loss, total) in self.capture.losses.totals() {
            self.health.set_loss(loss.into(), total);
        }
        if let Some(Ok(carriers)) = &self.capture.carriers {
            for (what, total) in carriers.counts() {
                self.health.carried.set(what, total);
            }
        }
        for (pid, lost) in self.capture.losses.of_processes() {
            path.pipeline.lose_records(pid, lost);
        }
    }

    /// No more probes are put anywhere.
    pub fn stop_tls(&mut self) {
        self.tls.stop();
    }

    /// A process speaks TLS on a socket, so that its library is there by now.
    fn tls_was_seen(&mut self, pid: u32) {
        let now = Instant::now();
        let is_due = self
            .tls_seen
            .get(&pid)
            .is_none_or(|last| now.duration_since(*last) >= TLS_LOOK_EVERY);
        if is_due && self.watched.contains(&pid) {
            self.tls_seen.insert(pid, now);
            self.tls.tell(Told::Speaks(pid));
        }
    }

    /// Tells the kernel side in which processes TLS libraries have probes by now.
    fn hear_of_tls(&mut self) {
        self.tls.pass_on();
        for answer in self.tls.answers(AT_ONCE) {
            match answer {
                tls::Answer::Probed { pid, probed } => {
                    let watch_list = &mut self.capture.watch_list;
                    watch_list.add_probes(pid, probed.probes);
                    if let Some((kind, runtime)) = probed.runtime {
                        watch_list.set_runtime(pid, kind, runtime);
                    }
                }
                tls::Answer::Unfollowed(pid) => self.capture.watch_list.clear_runtime(pid),
                // Dealt with before.
                tls::Answer::Ran(_) => {}
                tls::Answer::Settled => {
                    // Loading programs and looking at what is there took more than is kept.
                    give_back();
                    if let Some(settled) = self.settled.take() {
                        // Without a receiver the run is over.
                        let _ = settled.send(Event::Settled);
                    }
                }
            }
        }
    }
}
