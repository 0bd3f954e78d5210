//! The shard: the thread that takes records from the kernel side, lets the pipeline have them in
//! order, tells the control thread of the life of processes, and carries out what both ask for. It
//! blocks nowhere but in its own sleep: it reads no file, and what it logs is written by others.
//!
//! What it adds to the stream of records (descriptions of processes, the wall clock's offset,
//! answers about progress) goes the same way as the kernel side's own, so that a recording holds
//! all of it.

mod announcements;
mod control;
mod tls;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use wirespan_common::record::{Body, ConnectionId, Life, LifeEvent, Record, Stage};

use crate::capture::{Capture, Wait};
use crate::config::SpanConfig;
use crate::connections::ToKernel;
use crate::discover::tls::Libraries;
use crate::discover::{ProcRoot, Watcher};
use crate::ending::Event;
use crate::export::SpanQueue;
use crate::health::{Health, Loss};
use crate::memory::{Freed, give_back};
use crate::pipeline::Pipeline;
use crate::recording::{self, Recorder};
use crate::report::{self, Finished};
use crate::span::Span;
use crate::wall_clock::{WallClock, monotonic_ns};
use announcements::Announcements;
use control::{Answer, Control};
pub use control::{Reconfiguration, Reconfigure, Watched};
use tls::{TlsThread, Told};

/// Records taken before anything else gets its turn.
const ROUND_RECORDS_MAX: usize = 4096;
/// Spans that are handed on together. What they take is not counted until then.
const SPANS_AT_ONCE: usize = 256;
/// How long an open exchange may be silent before the kernel side is asked how far it is, in
/// nanoseconds.
const PROGRESS_AFTER_NS: u64 = 100_000_000;
/// Connections that are asked about at a time; the others are next.
const PROGRESS_MAX: usize = 1024;
/// How long ago the last bytes moved of which the record is certainly written, in nanoseconds.
const PROGRESS_SETTLED_NS: u64 = 10_000_000;
/// A ring buffer holds fewer records than these rounds take.
const CATCH_UP_ROUNDS_MAX: usize = 64;
/// How long a connection may be silent while a request waits for its response before the kernel
/// side is asked whether it is still there, in nanoseconds.
const LOOK_AFTER_NS: u64 = 500_000_000;
/// How often that is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// How often a process that speaks TLS is looked at for its libraries because of that.
const TLS_LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often losses are reported.
const CHORES_EVERY: Duration = Duration::from_secs(60);

/// Connections that wait for being left alone by the kernel side.
const UNWANTED_MAX: usize = 4096;

/// How long, at the end, descriptions of processes are waited for that are on their way.
const DESCRIPTIONS_MAX: Duration = Duration::from_millis(1500);

/// The thread's state.
pub struct Live {
    capture: Capture,
    control: Control,
    /// Readable when there is something to do that the ring doesn't tell of.
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    watched: HashSet<u32>,
    /// How often processes ran another program that the control thread has not heard of yet.
    unheard_execs: HashMap<u32, u32>,
    path: Path,
    queue: SpanQueue,
    health: Arc<Health>,
    tls: TlsThread,
    /// Connections that the kernel side is still to be told of that they are not worth copying.
    unwanted: Vec<ConnectionId>,
    /// Who waits for the processes that were there already.
    settled: Option<Sender<Event>>,
    /// Processes that were seen speaking TLS, and when they were looked at for it.
    tls_seen: HashMap<u32, Instant>,
    /// How often what is kept elsewhere is counted anew, if somebody looks at it.
    measure_every: Option<Duration>,
    freed: Freed,
    announcements: Announcements,
}

/// What has the shard stop, from any thread.
#[derive(Clone)]
pub struct Stop {
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
}

impl Stop {
    /// It ends its round, tells the rest and ends.
    pub fn now(&self) {
        self.stop.store(true, Ordering::Release);
        // A counter that is full is readable too.
        let _: Result<usize, _> = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// The way of one record: kept, then heard by the pipeline.
struct Path {
    pipeline: Pipeline,
    recording: Option<Recorder>,
    clock: WallClock,
    spans: Vec<Span>,
    /// Who began and who ceased to be watched since TLS libraries were looked for.
    changed: Vec<(u32, bool)>,
    health: Arc<Health>,
}

impl Live {
    /// Puts the thread's state together and begins to look for what is there already; `recording`
    /// is where records are kept, if anywhere.
    ///
    /// # Errors
    /// A thread that works for it can't be started.
    pub fn new(
        mut capture: Capture,
        watcher: Watcher,
        libraries: Libraries,
        pipeline: Pipeline,
        recording: Option<Recorder>,
        queue: SpanQueue,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let clock = WallClock::default();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (selection, root) = (capture.selection()?, ProcRoot::host());
        let control = Control::start(watcher, selection, root, wake.try_clone()?, &health)?;
        let tls = TlsThread::start(libraries, capture.tls_probes()?, &health)?;
        let path = Path {
            pipeline,
            recording,
            clock,
            spans: Vec::new(),
            changed: Vec::new(),
            health: Arc::clone(&health),
        };
        Ok(Self {
            capture,
            control,
            wake: Arc::new(wake),
            stop: Arc::default(),
            watched: HashSet::new(),
            unheard_execs: HashMap::new(),
            path,
            queue,
            health,
            tls,
            unwanted: Vec::new(),
            settled: None,
            tls_seen: HashMap::new(),
            measure_every: None,
            freed: Freed::default(),
            announcements: Announcements::new(Instant::now()),
        })
    }

    /// Makes spans as `spans` says, from the first record on.
    #[must_use]
    pub fn configured(mut self, spans: &SpanConfig) -> Self {
        self.path
            .take(&recording::settings_record(monotonic_ns(), spans));
        self
    }

    /// Who can have it work by another configuration while it runs.
    #[must_use]
    pub fn reconfigure(&self) -> Reconfigure {
        self.control.reconfigure()
    }

    /// Tells `settled` once what was there already is watched and described, and its TLS is read.
    #[must_use]
    pub fn telling(mut self, settled: Sender<Event>) -> Self {
        self.settled = Some(settled);
        self
    }

    /// Keeps what is counted elsewhere up to date so often while it runs.
    #[must_use]
    pub fn measuring(mut self, every: Option<Duration>) -> Self {
        self.measure_every = every;
        self
    }

    /// Who can be asked how many processes are watched.
    #[must_use]
    pub fn watched(&self) -> Watched {
        self.control.watched()
    }

    /// What ends [`Live::run`].
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop {
            wake: Arc::clone(&self.wake),
            stop: Arc::clone(&self.stop),
        }
    }

    /// Works until it is stopped, then tells the rest. The kernel side is detached by then, or will
    /// be when something comes out of what is returned, or nothing can any longer.
    #[must_use]
    pub fn run(mut self) -> (Finished, Receiver<()>) {
        let mut wait = Wait::new();
        let mut progress_at = Instant::now();
        let mut chores_at = Instant::now() + CHORES_EVERY;
        let mut measured_at = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            self.path.tell_time();
            if self.round() > 0 {
                wait.found();
            }
            let now = Instant::now();
            if now >= progress_at {
                progress_at = now + PROGRESS_EVERY;
                self.ask_for_progress();
                self.freed.look(self.path.pipeline.memory_bytes());
            }
            let since = now.duration_since(measured_at);
            if self.measure_every.is_some_and(|every| since >= every) {
                measured_at = now;
                self.fetch_losses();
                self.health.set_coverage(self.path.pipeline.coverage());
            }
            if now >= chores_at {
                chores_at = now + CHORES_EVERY;
                self.do_chores();
            }
            self.capture.reader.sleep(self.wake.as_fd(), wait.nothing());
            self.clear_wake();
        }
        self.finish()
    }

    /// Takes the records that are there, and carries out what they lead to.
    fn round(&mut self) -> usize {
        let taken = self.capture.reader.drain(ROUND_RECORDS_MAX, |bytes| {
            if self.path.spans.len() >= SPANS_AT_ONCE {
                self.queue.push(std::mem::take(&mut self.path.spans));
            }
            if let Some((tgid, event, life)) = self.path.take(bytes) {
                match event {
                    LifeEvent::Exec => self.tls.ran(tgid),
                    LifeEvent::Exit => self.tls.ended(tgid, life.other),
                    LifeEvent::Fork | LifeEvent::Listen | LifeEvent::Serve => {}
                }
                if !self.control.tell(tgid, event, life) {
                    self.health.lose(Loss::LifeUnheard, 1);
                } else if event == LifeEvent::Exec {
                    *self.unheard_execs.entry(tgid).or_default() += 1;
                }
            }
        });
        self.health.read_records(taken as u64);
        self.hear_of_processes();
        // What waits in the ring buffer happened before now.
        if taken < ROUND_RECORDS_MAX {
            self.path.tick();
        }
        self.tell_of_changes();
        self.hand_on();
        self.hear_of_tls();
        self.capture.flush_log();
        taken
    }

    /// Asks the kernel side about connections whose bytes are only counted, and hears the answers
    /// as records.
    ///
    /// What it knows is ahead of the records that still wait in the ring buffer, and an answer from
    /// the future looks like a loss. So those records are taken first, and an answer about bytes
    /// that moved just now, whose record may not be written yet, is left for the next time.
    fn ask_for_progress(&mut self) {
        let asked_ns = monotonic_ns();
        let pipeline = &self.path.pipeline;
        let silent: Vec<_> = pipeline
            .wants_progress(asked_ns.saturating_sub(PROGRESS_AFTER_NS))
            .take(PROGRESS_MAX)
            .chain(
                pipeline
                    .wants_look(asked_ns.saturating_sub(LOOK_AFTER_NS))
                    .take(PROGRESS_MAX),
            )
            .collect();
        if silent.is_empty() {
            return;
        }
        for connection in &silent {
            self.path.pipeline.asked(*connection);
        }
        let capture = &self.capture;
        let answers: Vec<_> = silent
            .into_iter()
            .filter_map(|connection| {
                let (known, is_held) = capture.look(connection)?;
                Some((connection, known, is_held))
            })
            .filter(|(_, known, _)| {
                let moved_ns = known.ingress.last_ns.max(known.egress.last_ns);
                moved_ns <= asked_ns.saturating_sub(PROGRESS_SETTLED_NS)
            })
            .collect();
        if !self.catch_up() {
            return;
        }
        let now = monotonic_ns();
        for (connection, known, is_held) in answers {
            let stage = if is_held { Stage::Asked } else { Stage::Closed };
            let record = recording::progress_record(now, connection, stage, &known);
            self.path.take(&record);
            if !is_held {
                self.capture.watch_list.forget(connection);
            }
        }
        self.hand_on();
    }

    /// Takes all records that are there; `false` if they come faster than they are taken.
    fn catch_up(&mut self) -> bool {
        (0..CATCH_UP_ROUNDS_MAX).any(|_| self.round() < ROUND_RECORDS_MAX)
    }

    /// Spans to the queue, wishes to the kernel side.
    fn hand_on(&mut self) {
        self.queue.push(std::mem::take(&mut self.path.spans));
        let watch_list = &mut self.capture.watch_list;
        let mut tls_seen = Vec::new();
        for wish in self.path.pipeline.drain_to_kernel() {
            match wish {
                ToKernel::Verdict {
                    connection,
                    verdict,
                } => {
                    watch_list.set_verdict(connection, verdict);
                }
                ToKernel::EndCopying { connection } if self.unwanted.len() < UNWANTED_MAX => {
                    self.unwanted.push(connection);
                }
                // It goes on being copied, which is dearer and not wrong.
                ToKernel::EndCopying { .. } => {}
                ToKernel::RaiseBudget { tgid } => watch_list.raise_budget(tgid),
                ToKernel::TlsSeen { tgid } => tls_seen.push(tgid),
                ToKernel::Forget { connection } => watch_list.forget(connection),
            }
        }
        // Those for which there is no time now are tried again.
        let capture = &self.capture;
        self.unwanted
            .retain(|&connection| !capture.end_copying(connection));
        for pid in tls_seen {
            self.tls_was_seen(pid);
        }
    }

    /// Has TLS libraries looked for in processes that began to be watched.
    fn tell_of_changes(&mut self) {
        for (pid, is_watched) in self.path.changed.drain(..) {
            if is_watched {
                self.tls.tell(Told::Watched(pid));
            } else {
                let lost = self.capture.losses.settle(pid);
                if lost > 0 {
                    self.path.pipeline.lose_records(pid, lost);
                }
                self.tls_seen.remove(&pid);
                self.tls.tell(Told::Unwatched(pid));
            }
        }
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
        for answer in self.tls.answers() {
            match answer {
                tls::Answer::Probed { pid, probed } => {
                    let watch_list = &mut self.capture.watch_list;
                    watch_list.add_probes(pid, probed.probes);
                    if let Some((kind, runtime)) = probed.runtime {
                        watch_list.set_runtime(pid, kind, runtime);
                    }
                }
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

    /// Carries out what the control thread answered.
    fn hear_of_processes(&mut self) {
        let answers: Vec<_> = self.control.answers().collect();
        for answer in answers {
            self.carry_out(answer);
        }
    }

    fn carry_out(&mut self, answer: Answer) {
        match answer {
            Answer::Watch(pid) => {
                if !self.capture.watch_list.watch(pid) {
                    self.health.lose(Loss::WatchedFull, 1);
                }
            }
            Answer::Unwatch(pid) => {
                self.capture.watch_list.unwatch(pid);
                self.watched.remove(&pid);
                self.path.changed.push((pid, false));
            }
            Answer::Began(pid) => {
                self.watched.insert(pid);
                self.path.changed.push((pid, true));
            }
            Answer::Expect(pid) => {
                let record = recording::expected_record(monotonic_ns(), pid);
                self.path.take(&record);
            }
            Answer::Ran(pid) => {
                if let Some(unheard) = self.unheard_execs.get_mut(&pid) {
                    *unheard -= 1;
                    if *unheard == 0 {
                        self.unheard_execs.remove(&pid);
                    }
                }
            }
            // It is of what the process ran before; another one follows.
            Answer::Described(process) if self.unheard_execs.contains_key(&process.pid) => {}
            Answer::Described(process) => {
                // By now it is watched.
                self.announcements.announce(&process);
                let record = recording::process_record(monotonic_ns(), &process);
                self.path.take(&record);
            }
            Answer::Configured(spans) => {
                let record = recording::settings_record(monotonic_ns(), &spans);
                self.path.take(&record);
            }
            Answer::Measure(every) => self.measure_every = every,
            Answer::Settled => {
                self.tell_of_changes();
                self.tls.tell(Told::Settle);
            }
        }
    }

    /// Waits for descriptions without which something can't be told.
    fn wait_for_descriptions(&mut self) {
        let end = Instant::now() + DESCRIPTIONS_MAX;
        while self.path.pipeline.waits_until().is_some() {
            let left = end.saturating_duration_since(Instant::now());
            let Some(answer) = self.control.wait(left) else {
                return;
            };
            self.carry_out(answer);
        }
    }

    fn clear_wake(&self) {
        let mut count = [0; 8];
        // It need not be readable.
        let _: Result<usize, _> = rustix::io::read(&*self.wake, &mut count);
    }

    fn do_chores(&mut self) {
        self.announcements.turn(Instant::now());
        self.fetch_losses();
        self.health.set_coverage(self.path.pipeline.coverage());
        report::log_losses(&self.health);
    }

    fn fetch_losses(&mut self) {
        for (loss, total) in self.capture.losses.totals() {
            self.health.set_loss(loss.into(), total);
        }
        for (pid, lost) in self.capture.losses.of_processes() {
            self.path.pipeline.lose_records(pid, lost);
        }
    }

    fn finish(mut self) -> (Finished, Receiver<()>) {
        // What happened before the request to stop belongs to the run.
        while self.round() == ROUND_RECORDS_MAX {}
        self.wait_for_descriptions();
        self.fetch_losses();
        self.tls.stop();
        let Path {
            mut pipeline,
            recording,
            mut spans,
            ..
        } = self.path;
        pipeline.finish(&mut spans);
        self.queue.push(spans);
        let recorded = recording.map(Recorder::finish);
        let coverage = pipeline.coverage();
        self.health.set_coverage(coverage.clone());
        // It goes on while others end. If the process ends first, the kernel does the rest, but one
        // after the other, and waits for all processors each time.
        let (detaches, detached) = sync_channel(0);
        std::thread::spawn(move || {
            drop(self.tls);
            drop(self.capture);
            drop(detaches);
        });
        (Finished { coverage, recorded }, detached)
    }
}

impl Path {
    /// Keeps a record and lets the pipeline hear it. Returns what it says if it is about the life
    /// of a process, which concerns others too.
    fn take(&mut self, bytes: &[u8]) -> Option<(u32, LifeEvent, Life)> {
        self.keep(bytes);
        match Record::decode(bytes) {
            Ok((record, _)) => {
                self.pipeline.record(&record, &mut self.spans);
                match record.body {
                    Body::Life { life, event } => Some((record.tgid, event, life)),
                    _ => None,
                }
            }
            Err(_) => {
                self.health.lose(Loss::Undecodable, 1);
                None
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(recorder) = &mut self.recording {
            recorder.keep(bytes);
        }
    }

    /// Tells the stream of records what the wall clock's offset is, if it changed.
    fn tell_time(&mut self) {
        if let Some((now, offset)) = self.clock.changed() {
            self.take(&recording::clock_record(now, offset));
        }
    }

    /// Lets the pipeline know that time passes, if something waits for that.
    fn tick(&mut self) {
        let now = monotonic_ns();
        if self
            .pipeline
            .waits_until()
            .is_some_and(|until| until <= now)
        {
            self.take(&recording::clock_record(now, self.clock.told_ns()));
        }
    }
}
