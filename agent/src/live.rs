//! The synchronous thread: takes records from the kernel side, lets discovery and the pipeline have
//! them in order, and carries out what they ask for. It blocks nowhere but in its own sleep.
//!
//! What it adds to the stream of records (descriptions of processes, the wall clock's offset,
//! answers about progress) goes the same way as the kernel side's own, so that a recording holds
//! all of it.

mod tls;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use wirespan_common::record::{Body, Life, LifeEvent, Record, Stage};

use crate::capture::{Capture, Wait, WatchList};
use crate::connections::ToKernel;
use crate::discover::tls::Libraries;
use crate::discover::{Action, Watcher};
use crate::export::SpanQueue;
use crate::health::{Health, Loss};
use crate::memory::Freed;
use crate::pipeline::Pipeline;
use crate::recording::{self, Recorder};
use crate::report::{self, Finished};
use crate::span::Span;
use crate::wall_clock::{WallClock, monotonic_ns};
use tls::{Answer, TlsThread, Told};

/// Records taken before anything else gets its turn.
const ROUND_RECORDS_MAX: usize = 4096;
/// Spans that are handed on together. What they take is not counted until then.
const SPANS_AT_ONCE: usize = 256;
/// How long an open exchange may be silent before the kernel side is asked how far it is, in
/// nanoseconds.
const PROGRESS_AFTER_NS: u64 = 100_000_000;
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
/// How often losses are reported, and processes looked for whose end was not seen.
const CHORES_EVERY: Duration = Duration::from_secs(60);

/// The thread's state.
pub struct Live {
    capture: Capture,
    watcher: Watcher,
    path: Path,
    queue: SpanQueue,
    health: Arc<Health>,
    tls: TlsThread,
    /// Who waits for TLS to be read in the processes that were there already.
    settled: Option<SyncSender<()>>,
    /// Processes that were seen speaking TLS, and when they were looked at for it.
    tls_seen: HashMap<u32, Instant>,
    /// How often what is kept elsewhere is counted anew, if somebody looks at it.
    measure_every: Option<Duration>,
    freed: Freed,
    /// Reused; empty between calls.
    actions: Vec<Action>,
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
    /// Puts the thread's state together; `recording` is where records are kept, if anywhere.
    ///
    /// # Errors
    /// The thread that looks for TLS libraries can't be started.
    pub fn new(
        capture: Capture,
        watcher: Watcher,
        libraries: Libraries,
        pipeline: Pipeline,
        recording: Option<Recorder>,
        queue: SpanQueue,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let clock = WallClock::default();
        let tls = TlsThread::start(libraries, capture.tls_probes())?;
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
            watcher,
            path,
            queue,
            health,
            tls,
            settled: None,
            tls_seen: HashMap::new(),
            measure_every: None,
            freed: Freed::default(),
            actions: Vec::new(),
        })
    }

    /// Keeps what is counted elsewhere up to date so often while it runs.
    #[must_use]
    pub fn measuring(mut self, every: Option<Duration>) -> Self {
        self.measure_every = every;
        self
    }

    /// Begins to watch what is there already. Returns the number of processes, and who tells when
    /// TLS is read in them, which [`Live::run`] has to be running for.
    pub fn begin(&mut self) -> (usize, Receiver<()>) {
        self.path.tell_time();
        self.watcher.scan(&mut self.actions);
        self.path
            .carry_out(&mut self.actions, &mut self.capture.watch_list);
        self.tell_of_changes();
        self.tls.tell(Told::Settle);
        let (tell, settled) = sync_channel(1);
        self.settled = Some(tell);
        (self.watcher.watched(), settled)
    }

    /// Works until `stop` becomes readable, then detaches the kernel side and tells the rest.
    #[must_use]
    pub fn run(mut self, stop: &OwnedFd) -> Finished {
        let mut wait = Wait::new();
        let mut progress_at = Instant::now();
        let mut chores_at = Instant::now() + CHORES_EVERY;
        let mut measure_at = self.measure_every.map(|every| Instant::now() + every);
        while !is_readable(stop) {
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
            if measure_at.is_some_and(|at| now >= at) {
                measure_at = self.measure_every.map(|every| now + every);
                self.fetch_losses();
                self.health.set_coverage(self.path.pipeline.coverage());
            }
            if now >= chores_at {
                chores_at = now + CHORES_EVERY;
                self.do_chores();
            }
            self.capture.reader.sleep(stop.as_fd(), wait.nothing());
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
                self.watcher.observe(tgid, event, &life, &mut self.actions);
                self.path
                    .carry_out(&mut self.actions, &mut self.capture.watch_list);
            }
        });
        self.health.read_records(taken as u64);
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
            .chain(pipeline.wants_look(asked_ns.saturating_sub(LOOK_AFTER_NS)))
            .collect();
        if silent.is_empty() {
            return;
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
                ToKernel::RaiseBudget { tgid } => watch_list.raise_budget(tgid),
                ToKernel::TlsSeen { tgid } => tls_seen.push(tgid),
                ToKernel::Forget { connection } => watch_list.forget(connection),
            }
        }
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
        if is_due && self.watcher.is_watched(pid) {
            self.tls_seen.insert(pid, now);
            self.tls.tell(Told::Speaks(pid));
        }
    }

    /// Tells the kernel side in which processes TLS libraries have probes by now.
    fn hear_of_tls(&mut self) {
        self.tls.pass_on();
        for answer in self.tls.answers() {
            match answer {
                Answer::Probed { pid, probes } => self.capture.watch_list.add_probes(pid, probes),
                // Dropping it tells.
                Answer::Settled => self.settled = None,
            }
        }
    }

    fn do_chores(&mut self) {
        self.watcher.sweep(&mut self.actions);
        self.path
            .carry_out(&mut self.actions, &mut self.capture.watch_list);
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

    fn finish(mut self) -> Finished {
        // What happened before the request to stop belongs to the run.
        while self.round() == ROUND_RECORDS_MAX {}
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
        // It goes on while others end. A probe on a file takes up to two tenths of a second, one
        // after the other (perf_uprobe_destroy of the kernel waits for all processors, under one
        // lock). If the process ends first, the kernel does the rest.
        std::thread::spawn(move || {
            drop(self.tls);
            drop(self.capture);
        });
        Finished { coverage, recorded }
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

    fn carry_out(&mut self, actions: &mut Vec<Action>, watch_list: &mut WatchList) {
        for action in actions.drain(..) {
            match action {
                Action::Watch(pid) => {
                    if !watch_list.watch(pid) {
                        self.health.lose(Loss::WatchedFull, 1);
                    }
                }
                Action::Unwatch(pid) => {
                    watch_list.unwatch(pid);
                    self.changed.push((pid, false));
                }
                Action::Described(process) => {
                    log::info!(
                        "watching {} (pid {}, {})",
                        process.service_name,
                        process.pid,
                        process.executable.display()
                    );
                    for why in &process.uncopied {
                        let (name, pid) = (&process.service_name, process.pid);
                        log::warn!("of {name} (pid {pid}): {}", why.sentence());
                    }
                    self.changed.push((process.pid, true));
                    self.take(&recording::process_record(monotonic_ns(), &process));
                }
            }
        }
    }
}

fn is_readable(event: &OwnedFd) -> bool {
    let mut waited_for = [PollFd::new(event, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut waited_for, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
