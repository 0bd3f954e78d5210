//! A shard: the thread that takes records from its ring, lets its pipeline have them in order, and
//! hands on what comes out. It blocks nowhere but in its own sleep: it reads no file, and what it
//! logs is written by others. It knows nothing of other shards; the first one has the coordinator
//! take its turns.
//!
//! What it adds to the stream of records (descriptions of processes, the wall clock's offset,
//! answers about progress) goes the same way as the kernel side's own, so that a recording holds
//! all of it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wirespan_common::record::{ConnectionId, Stage};

use super::control::{Answer, News};
use super::coordinator::Coordinator;
use super::inbox::{Inbox, RING_ROUNDS_MAX};
use super::path::Path;
use super::unheard::UnheardExecs;
use super::wishes::{Wish, Wishes};
use super::{Stop, clear_wake};
use crate::asking::PeersDoor;
use crate::capture::{Feed, Wait};
use crate::connections::ToKernel;
use crate::export::SpanQueue;
use crate::health::Health;
use crate::memory::Freed;
use crate::recording::SETTLE_EVERY;
use crate::vitals::Pulse;
use crate::wall_clock::monotonic_ns;

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
/// How long a connection may be silent while a request waits for its response before the kernel
/// side is asked whether it is still there, in nanoseconds.
const LOOK_AFTER_NS: u64 = 500_000_000;
/// How often that is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// How often losses are reported.
const CHORES_EVERY: Duration = Duration::from_secs(60);

/// Connections that wait for being left alone by the kernel side.
const UNWANTED_MAX: usize = 4096;
/// Of which so many have their turn in one round.
const UNWANTED_AT_ONCE: usize = 256;

/// How long, at the end, descriptions of processes are waited for that are on their way.
const DESCRIPTIONS_MAX: Duration = Duration::from_millis(1500);

/// The thread's state.
pub struct Shard {
    feed: Feed,
    inbox: Inbox,
    wishes: Wishes,
    /// To those who ask other nodes, if anybody does.
    peers: Option<PeersDoor>,
    /// Readable when there is something to do that the ring doesn't tell of.
    wake: Arc<OwnedFd>,
    stop: Stop,
    path: Path,
    queue: SpanQueue,
    health: Arc<Health>,
    pulse: Arc<Pulse>,
    unheard_execs: UnheardExecs,
    /// Connections that the kernel side is still to be told of that they are not worth copying.
    unwanted: Vec<ConnectionId>,
    /// How often what is kept elsewhere is counted anew, if somebody looks at it.
    measure_every: Option<Duration>,
    freed: Freed,
    /// On the first shard's thread.
    coordinator: Option<Coordinator>,
}

/// What a shard is made of.
pub struct ShardParts {
    pub feed: Feed,
    pub inbox: Inbox,
    pub wishes: Wishes,
    pub peers: Option<PeersDoor>,
    pub wake: Arc<OwnedFd>,
    pub stop: Stop,
    pub path: Path,
    pub queue: SpanQueue,
    pub health: Arc<Health>,
    pub pulse: Arc<Pulse>,
    pub measure_every: Option<Duration>,
}

/// What is left of a shard, all of which is detached when it is dropped. Until then the control
/// thread finds nobody gone: others may still wait for what it says.
pub struct Remains {
    _coordinator: Option<Coordinator>,
    _inbox: Inbox,
    _feed: Feed,
}

impl Shard {
    /// Has read nothing yet.
    pub fn new(parts: ShardParts, coordinator: Option<Coordinator>) -> Self {
        let ShardParts {
            feed,
            inbox,
            wishes,
            peers,
            wake,
            stop,
            path,
            queue,
            health,
            pulse,
            measure_every,
        } = parts;
        Self {
            feed,
            inbox,
            wishes,
            peers,
            wake,
            stop,
            path,
            queue,
            health,
            pulse,
            unheard_execs: UnheardExecs::default(),
            unwanted: Vec::new(),
            measure_every,
            freed: Freed::default(),
            coordinator,
        }
    }

    /// Works until it is stopped, then tells the rest.
    pub fn run(mut self) -> Remains {
        let mut wait = Wait::new();
        let mut progress_at = Instant::now();
        let mut chores_at = Instant::now() + CHORES_EVERY;
        let mut measured_at = Instant::now();
        let mut settled_at = Instant::now();
        while !self.stop.is_asked() {
            self.path.tell_time();
            let taken = self.round();
            let now = Instant::now();
            self.pulse.beat(now);
            if now >= progress_at {
                progress_at = now + PROGRESS_EVERY;
                self.ask_for_progress();
                self.freed.look(self.path.pipeline.memory_bytes());
            }
            let since = now.duration_since(measured_at);
            if self.measure_every.is_some_and(|every| since >= every) {
                measured_at = now;
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.fetch_losses(&mut self.path);
                }
                self.tell_coverage();
            }
            if now.duration_since(settled_at) >= SETTLE_EVERY {
                settled_at = now;
                self.path.settle();
            }
            if now >= chores_at {
                chores_at = now + CHORES_EVERY;
                self.tell_coverage();
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.do_chores(&mut self.path);
                }
            }
            self.feed.sleep(self.wake.as_fd(), wait.after(taken));
            clear_wake(&self.wake);
        }
        self.finish()
    }

    /// Takes the records that are there, and carries out what they lead to.
    fn round(&mut self) -> usize {
        self.fetch();
        let taken = self.drain();
        self.health.read_records(taken as u64);
        for answer in self.inbox.open(taken < ROUND_RECORDS_MAX) {
            self.carry_out(answer);
        }
        // What waits in the ring buffer happened before now.
        if taken < ROUND_RECORDS_MAX {
            self.path.tick();
        }
        self.hand_on();
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.turn();
        }
        taken
    }

    /// Fetches what was answered. Where another thread has processes watched, their first records
    /// may be in the ring already, so what is expected counts from here on, and once more in its
    /// turn.
    fn fetch(&mut self) {
        let fetched = self.inbox.fetch();
        if self.coordinator.is_some() {
            return;
        }
        for answer in fetched {
            if let Answer::News(News::Expect(pid)) = answer {
                self.path.expect(*pid);
            }
        }
    }

    fn drain(&mut self) -> usize {
        let Self {
            feed,
            path,
            queue,
            coordinator,
            unheard_execs,
            ..
        } = self;
        feed.drain(ROUND_RECORDS_MAX, |bytes| {
            if path.spans.len() >= SPANS_AT_ONCE {
                queue.push(path.take_spans());
            }
            if let Some(lived) = path.take(bytes)
                && coordinator.as_mut().is_none_or(|it| it.hear(&lived))
            {
                unheard_execs.read(&lived);
            }
        })
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
        let feed = &self.feed;
        let answers: Vec<_> = silent
            .into_iter()
            .filter_map(|connection| {
                let (known, is_held) = feed.look(connection)?;
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
        for (connection, known, is_held) in answers {
            let stage = if is_held { Stage::Asked } else { Stage::Closed };
            self.path.tell_progress(connection, stage, &known);
            if !is_held {
                self.feed.forget(connection);
            }
        }
        self.hand_on();
    }

    /// Takes all records that are there; `false` if they come faster than they are taken.
    fn catch_up(&mut self) -> bool {
        (0..RING_ROUNDS_MAX).any(|_| self.round() < ROUND_RECORDS_MAX)
    }

    /// Spans to the queue, wishes to the kernel side or whoever carries them out, what concerns
    /// other nodes to who asks them.
    fn hand_on(&mut self) {
        self.queue.push(self.path.take_spans());
        for wish in self.path.pipeline.drain_to_kernel() {
            match wish {
                ToKernel::Verdict {
                    connection,
                    verdict,
                } => {
                    self.feed.set_verdict(connection, verdict);
                }
                ToKernel::EndCopying { connection } if self.unwanted.len() < UNWANTED_MAX => {
                    self.unwanted.push(connection);
                }
                // It goes on being copied, which is dearer and not wrong.
                ToKernel::EndCopying { .. } => {}
                ToKernel::RaiseBudget { tgid } => self.wishes.want(Wish::RaiseBudget(tgid)),
                ToKernel::TlsSeen { tgid } => self.wishes.want(Wish::TlsSeen(tgid)),
                ToKernel::Forget { connection } => self.feed.forget(connection),
            }
        }
        self.wishes.send();
        if let Some(peers) = &mut self.peers {
            peers.leave(self.path.pipeline.drain_for_peers());
        }
        // Those for which there is no time now are tried again.
        let feed = &self.feed;
        let turns = self.unwanted.len().min(UNWANTED_AT_ONCE);
        let done = |connection: &mut ConnectionId| feed.end_copying(*connection);
        self.unwanted.extract_if(..turns, done).for_each(drop);
    }

    /// Carries out what the control thread answered.
    fn carry_out(&mut self, answer: Answer) {
        let news = match (answer, &mut self.coordinator) {
            (Answer::News(news), _) => news,
            (order, Some(coordinator)) => return coordinator.carry_out(order, &mut self.path),
            (_, None) => return,
        };
        match news {
            News::Expect(pid) => self.path.expect(pid),
            News::Ran(pid) => self.unheard_execs.heard(pid),
            News::Missed => self.unheard_execs.forget_all(),
            News::Configured(spans) => self.path.configure(&spans),
            News::Peers(changes) => self.path.tell_peers(&changes),
            News::Measure(every) => self.measure_every = every,
            News::Sampling(change) => {
                self.path.leave_out_below(change.left_out_below);
                change.heard();
            }
            News::Callers(callers) => callers.iter().for_each(|it| self.path.tell_caller(it)),
            // It is of what the process ran before; another one follows.
            News::Described(process) | News::Placed(process)
                if self.unheard_execs.has(process.pid, monotonic_ns()) => {}
            News::Placed(process) => {
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.choose(&process);
                }
                self.path.describe(&process);
            }
            News::Described(process) => {
                if let Some(coordinator) = &mut self.coordinator {
                    // By now it is watched.
                    coordinator.announce(&process);
                }
                self.path.describe(&process);
            }
        }
    }

    /// Waits for descriptions without which something can't be told.
    fn wait_for_descriptions(&mut self) {
        let end = Instant::now() + DESCRIPTIONS_MAX;
        for answer in self.inbox.open(true) {
            self.carry_out(answer);
        }
        while self.path.pipeline.waits_until().is_some() {
            let left = end.saturating_duration_since(Instant::now());
            let Some(answer) = self.inbox.wait(left) else {
                return;
            };
            self.carry_out(answer);
        }
    }

    fn tell_coverage(&self) {
        let coverage = self.path.pipeline.coverage();
        self.health.set_coverage(self.feed.shard(), coverage);
    }

    fn finish(mut self) -> Remains {
        // What happened before the request to stop belongs to the run.
        self.feed.close();
        self.catch_up();
        self.wait_for_descriptions();
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.fetch_losses(&mut self.path);
            coordinator.stop_tls();
        }
        self.path.pipeline.finish(&mut self.path.spans);
        self.queue.push(self.path.take_spans());
        self.tell_coverage();
        Remains {
            _coordinator: self.coordinator,
            _inbox: self.inbox,
            _feed: self.feed,
        }
    }
}
