//! The live run: as many shards as were asked for, each a thread with a ring, a pipeline and an
//! outlet of its own, and one coordinator on the first one's thread for what concerns all. What
//! reads files is apart from both: the control thread, and the one that looks for TLS.
//!
//! ```text
//! ring ─ shard 0 ─ spans      life of processes ─▶ coordinator ─▶ control, tls
//! ring ─ shard 1 ─ spans      news of processes ◀─ control: to each shard
//! ```
//!
//! This file starts them and ends them.

mod announcements;
mod control;
mod coordinator;
mod governor;
mod inbox;
mod path;
mod shard;
mod tls;
mod unheard;
mod wishes;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use wirespan_common::record::Caller;

use crate::asking::PeersDoor;
use crate::capture::Capture;
use crate::cloud::CloudAttributes;
use crate::config::{GovernorConfig, SpanConfig};
use crate::discover::tls::Libraries;
use crate::discover::{ProcRoot, Watcher};
use crate::ending::Event;
use crate::export::SpanQueue;
use crate::health::Health;
use crate::kubernetes::peer::PeerKind;
use crate::kubernetes::{Addressed, PodNews, ResourceNews};
use crate::pipeline::{Pipeline, PipelineConfig};
use crate::recording::Recorder;
use crate::report::Finished;
use crate::vitals::Vitals;
use control::{Answer, Control, News, Reconfigure};
pub use control::{Reconfiguration, Watched};
use coordinator::Coordinator;
use governor::GovernorThread;
use inbox::{Mailbox, inbox};
use path::Path;
use shard::{Remains, Shard, ShardParts};
use tls::TlsThread;
use wishes::wishes;

/// What has the shards stop, from any thread.
#[derive(Clone)]
pub struct Stop {
    wakes: Arc<[Arc<OwnedFd>]>,
    stop: Arc<AtomicBool>,
}

impl Stop {
    /// For so many shards, each with a way to wake it.
    fn of_shards(count: usize) -> std::io::Result<Self> {
        let wakes = std::iter::repeat_with(|| new_wake().map(Arc::new)).take(count);
        Ok(Self {
            wakes: wakes.collect::<Result<_, _>>()?,
            stop: Arc::default(),
        })
    }

    /// They end their rounds, tell the rest and end.
    pub fn now(&self) {
        self.stop.store(true, Ordering::Release);
        self.wakes.iter().for_each(|it| wake(it));
    }

    fn is_asked(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

fn new_wake() -> std::io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes it readable.
fn wake(counter: &OwnedFd) {
    // A counter that is full is readable too.
    let _: Result<usize, _> = rustix::io::write(counter, &1u64.to_ne_bytes());
}

fn clear_wake(counter: &OwnedFd) {
    let mut count = [0; 8];
    // It need not be readable.
    let _: Result<usize, _> = rustix::io::read(counter, &mut count);
}

/// What a run has from its user, and from who started it.
pub struct Setup {
    /// Whom to watch.
    pub watcher: Watcher,
    /// What is known of TLS libraries.
    pub libraries: Libraries,
    /// Percent of a process's CPU time that following its tasks may take.
    pub follow_cpu_max: u8,
    /// What the daemon may take itself.
    pub governor: GovernorConfig,
    /// What pipelines are told; memory is divided among them.
    pub pipeline: PipelineConfig,
    /// How spans are made, from the first record on.
    pub spans: SpanConfig,
    /// Where records are kept, if anywhere.
    pub recording: Option<Recorder>,
    /// Where spans go.
    pub queue: SpanQueue,
    /// Where what concerns other nodes is left, if they are asked.
    pub peers: Option<PeersDoor>,
    /// Who counts.
    pub health: Arc<Health>,
    /// Who is asked whether all is well.
    pub vitals: Arc<Vitals>,
    /// How often what is counted elsewhere is brought up to date, if somebody looks at it.
    pub measure_every: Option<Duration>,
    /// Is told once what was there already is watched and described, and its TLS is read.
    pub settled: Sender<Event>,
}

/// The threads of a run.
pub struct Live {
    threads: Vec<JoinHandle<Remains>>,
    stop: Stop,
    watched: Watched,
    reconfigure: Reconfigure,
    /// To each shard, for what is known of callers.
    callers: Vec<Mailbox>,
    recording: Option<Recorder>,
    governor: GovernorThread,
    health: Arc<Health>,
}

/// A thread panicked.
#[derive(Clone, Copy, Debug)]
pub struct Panicked;

impl Live {
    /// Starts all threads, which begin to look for what is there already: a shard for each feed.
    ///
    /// # Errors
    /// One of them can't be started.
    pub fn start(mut capture: Capture, setup: Setup) -> std::io::Result<Self> {
        let Setup {
            watcher,
            libraries,
            follow_cpu_max,
            governor,
            pipeline,
            spans,
            recording,
            queue,
            peers,
            health,
            vitals,
            measure_every,
            settled,
        } = setup;
        let feeds = std::mem::take(&mut capture.feeds);
        let shards = feeds.len() as u8;
        let stop = Stop::of_shards(feeds.len())?;
        let wakes = Arc::clone(&stop.wakes);
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) =
            wakes.iter().map(|wake| inbox(Arc::clone(wake))).unzip();
        let (selection, root) = (capture.selection()?, ProcRoot::host());
        let control = Control::start(watcher, selection, root, mailboxes.clone(), &health)?;
        let (watched, reconfigure) = (control.watched(), control.reconfigure());
        let tls = TlsThread::start(libraries, capture.tls_probes()?, follow_cpu_max, &health)?;
        let (sampling, shards_told) = (capture.sampling()?, mailboxes.clone());
        let governor = GovernorThread::start(governor, sampling, shards_told, Arc::clone(&health))?;
        let (own, wished) = wishes();
        let further = (1..shards).map(|_| own.another(Arc::clone(&wakes[0])));
        let further: Vec<_> = further.collect();
        let wishes = std::iter::once(own).chain(further);
        let mut coordinator = Coordinator::new(capture, control, tls, wished, Arc::clone(&health));
        coordinator.telling(settled, follow_cpu_max != 0);
        let mut coordinator = Some(coordinator);
        let mut threads = Vec::new();
        let ends = inboxes.into_iter().zip(wishes).zip(&*wakes);
        for (feed, ((inbox, wishes), wake)) in feeds.into_iter().zip(ends) {
            let shard = feed.shard();
            let pipeline = Pipeline::new(pipeline.of_shard(shard, shards), Arc::clone(&health));
            let handle = recording.as_ref().map(Recorder::handle);
            let mut path = Path::new(shard, pipeline, handle, Arc::clone(&health));
            path.configure(&spans);
            let parts = ShardParts {
                feed,
                inbox,
                wishes,
                peers: peers.as_ref().map(|door| door.of_shard(shard)),
                wake: Arc::clone(wake),
                stop: stop.clone(),
                path,
                queue: queue.clone(),
                health: Arc::clone(&health),
                pulse: vitals.new_pulse(),
                measure_every,
            };
            let shard = Shard::new(parts, coordinator.take());
            threads.push(start(threads.len(), shard)?);
        }
        Ok(Self {
            threads,
            stop,
            watched,
            reconfigure,
            callers: mailboxes,
            recording,
            governor,
            health,
        })
    }

    /// Who is told what other nodes know of clients, and by which shard that was asked; it says
    /// whether there was room.
    pub fn hear_of_callers(&self) -> impl FnMut(u8, Vec<Caller>) -> bool + Send + use<> {
        let shards = self.callers.clone();
        move |shard, callers| {
            let news = Answer::News(News::Callers(callers.into()));
            let shard = shards.get(usize::from(shard));
            shard.is_some_and(|shard| shard.offer(news))
        }
    }

    /// Has all of it work by another configuration from now on; `false` if the run is over.
    pub fn reconfigure(&self, change: Reconfiguration) -> bool {
        self.reconfigure.reconfigure(change)
    }

    /// Has the daemon keep to another limit from now on.
    pub fn govern(&self, config: GovernorConfig) {
        self.governor.reconfigure(config);
    }

    /// Who is told of pods, from a thread that may have to wait; `false` if the run is over.
    pub fn hear_of_pods(&self) -> impl FnMut(PodNews) -> bool + Send + use<> {
        let reconfigure = self.reconfigure.clone();
        move |news| reconfigure.hear_of_pods(news)
    }

    /// Who is told of services, or of nodes, in the same way.
    pub fn hear_of_addressed(
        &self,
        kind: PeerKind,
    ) -> impl FnMut(ResourceNews<Addressed>) -> bool + Send + use<> {
        let reconfigure = self.reconfigure.clone();
        move |news| reconfigure.hear_of_addressed(kind, news)
    }

    /// Who is told what a cloud says of the host, from a thread that may have to wait.
    pub fn hear_of_host(&self) -> impl FnOnce(CloudAttributes) -> bool + Send + use<> {
        let reconfigure = self.reconfigure.clone();
        move |cloud| reconfigure.hear_of_host(cloud)
    }

    /// Who can be asked how many processes are watched.
    #[must_use]
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Whether a shard ended, which a panic alone makes it do: what is left is no whole.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops all threads and waits until the shards have told the rest. The kernel side is detached
    /// by then, or will be when something comes out of what is returned, or nothing can any longer.
    ///
    /// # Errors
    /// One of the shards panicked.
    pub fn end(self) -> Result<(Finished, Receiver<()>), Panicked> {
        self.stop.now();
        let rests: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        self.governor.finish();
        let recorded = self.recording.map(Recorder::finish);
        let rests = rests.into_iter().collect::<Result<Vec<_>, _>>();
        let rests = rests.map_err(|_| Panicked)?;
        // It goes on while others end. If the process ends first, the kernel does the rest, but one
        // after the other, and waits for all processors each time.
        let (detaches, detached) = sync_channel(0);
        std::thread::spawn(move || {
            drop(rests);
            drop(detaches);
        });
        let finished = Finished {
            coverage: self.health.coverage(),
            recorded,
        };
        Ok((finished, detached))
    }
}

fn start(number: usize, shard: Shard) -> std::io::Result<JoinHandle<Remains>> {
    let name = match number {
        0 => "shard".to_owned(),
        further => format!("shard-{further}"),
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(move || shard.run())
}
