//! The control thread: owns who is watched, and reads of procfs what that takes. The coordinator
//! tells it of the life of processes and carries out what it answers; what is news of a process it
//! tells each shard. No shard waits for it. What may hang it, a process's memory and files, it
//! leaves to a [`BlockingPool`]. A changed configuration comes here first, and what of it concerns
//! spans goes on to the shards. Of the kernel side it changes whom that selects by itself, and
//! nothing else; it hears no record.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wirespan_common::record::{Caller, Life, LifeEvent};

use super::governor::SamplingChange;
use super::inbox::{Alone, Mailbox};
use crate::blocking::{BlockingPool, Bounds, LookTicket};
use crate::capture::Selection;
use crate::cloud::CloudAttributes;
use crate::config::{DiscoverConfig, SpanConfig};
use crate::discover::{Action, Describer, Look, ProcRoot, Process, Watcher};
use crate::enrich::kubernetes::service;
use crate::health::{Health, Loss};
use crate::kubernetes::peer::{PeerChange, PeerKind};
use crate::kubernetes::pod::Pod;
use crate::kubernetes::{Addressed, PEERS_MAX, PeerBook, PodNews, ResourceNews};
use crate::memory::{Holder, Ledger};
use crate::visible::Visible;

/// Events that wait for the thread. What does not fit leads to a look at all processes.
const HEARS_MAX: usize = 8192;
/// How long after a look at all processes the next one may come.
const SCAN_PAUSE: Duration = Duration::from_secs(1);
/// How often processes are looked for whose end was not seen.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Looks that were given up and are still remembered, for the case that they end.
const LATE_MAX: usize = 64;

/// Looks that are put off at once.
const PUT_OFF_MAX: usize = 1024;

/// What has to be done: by the coordinator, but for news.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Watch this process.
    Watch(u32),
    /// Watch it no longer.
    Unwatch(u32),
    /// Nor when it serves a selected port.
    Refuse(u32),
    /// Have nobody refused.
    ForgetRefusals,
    /// It is watched from now on, or runs something else than before.
    Began(u32),
    /// All processes that were there already are watched and described: so many.
    Settled,
    /// Something that each shard is told.
    News(News),
}

/// What each shard is told: news of a process, or of how to work.
#[derive(Clone, Debug)]
pub enum News {
    /// It was heard that this process ran another program. All before this was about the program
    /// before.
    Ran(u32),
    /// A description of it is on its way.
    Expect(u32),
    /// This is known about it.
    Described(Arc<Process>),
    /// Where in Kubernetes it is became known, or changed: all else is as it was described.
    Placed(Arc<Process>),
    /// Something may not have been heard: what follows is of processes as they are now.
    Missed,
    /// These are behind addresses from now on.
    Peers(Arc<[PeerChange]>),
    /// Spans are made in this way from now on.
    Configured(Box<SpanConfig>),
    /// What is counted elsewhere is kept up to date so often from now on, or not at all.
    Measure(Option<Duration>),
    /// This is what other nodes know of clients. Not of the control thread.
    Callers(Arc<[Caller]>),
    /// Other connections are left out from now on. Not of the control thread.
    Sampling(Arc<SamplingChange>),
}

/// What the thread is told.
enum Heard {
    Life(u32, LifeEvent, Life),
    Looked(LookTicket, Option<Option<Box<Process>>>),
    Configured(Box<Reconfiguration>),
    Pods(PodNews),
    Addressed(PeerKind, ResourceNews<Addressed>),
    Host(CloudAttributes),
}

/// What changes of what the thread and the shards work by.
#[derive(Clone, Debug, Default)]
pub struct Reconfiguration {
    /// Whom to watch, and how they are named.
    pub discover: Option<DiscoverConfig>,
    /// How spans are made.
    pub spans: Option<SpanConfig>,
    /// How often what is counted elsewhere is kept up to date, if it is.
    pub measure_every: Option<Option<Duration>>,
}

/// Tells the control thread of another configuration, or of pods, from any thread but a shard's.
#[derive(Clone)]
pub struct Reconfigure(SyncSender<Heard>);

impl Reconfigure {
    /// Has it work by this from now on; `false` if the run is over. It waits while the thread has
    /// more to do than is kept.
    pub fn reconfigure(&self, change: Reconfiguration) -> bool {
        self.0.send(Heard::Configured(Box::new(change))).is_ok()
    }

    /// Tells it of the host; `false` if the run is over. It waits in the same way.
    pub fn hear_of_host(&self, cloud: CloudAttributes) -> bool {
        self.0.send(Heard::Host(cloud)).is_ok()
    }

    /// Tells it of services, or of nodes; `false` if the run is over. It waits in the same way.
    pub fn hear_of_addressed(&self, kind: PeerKind, news: ResourceNews<Addressed>) -> bool {
        self.0.send(Heard::Addressed(kind, news)).is_ok()
    }

    /// Tells it of pods; `false` if the run is over. It waits in the same way.
    pub fn hear_of_pods(&self, news: PodNews) -> bool {
        self.0.send(Heard::Pods(news)).is_ok()
    }
}

/// The coordinator's end of the thread, which ends with the process or when this is dropped.
pub struct Control {
    hears: SyncSender<Heard>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Something was not heard.
    missed: AtomicBool,
    stop: AtomicBool,
    watched: AtomicUsize,
}

impl Control {
    /// Starts the thread, which looks at all processes first, and answers to these shards, the
    /// coordinator's first.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        watcher: Watcher,
        selection: Selection,
        root: ProcRoot,
        shards: Vec<Mailbox>,
        health: &Arc<Health>,
    ) -> std::io::Result<Self> {
        let (hears, heard) = sync_channel(HEARS_MAX);
        let shared = Arc::new(Shared::default());
        let looked = hears.clone();
        let pool = BlockingPool::new("look", Bounds::default(), move |ticket, found| {
            // Without the thread nobody wants to know.
            let found = found.map(|found: Option<Process>| found.map(Box::new));
            let _ = looked.send(Heard::Looked(ticket, found));
        });
        let now = Instant::now();
        let work = Work {
            memory: watcher.memory().clone(),
            watcher,
            peers: PeerBook::default(),
            refuses_peers: false,
            selection,
            root,
            pool,
            looks: HashMap::new(),
            late: VecDeque::new(),
            put_off: Vec::new(),
            actions: Vec::new(),
            settling: true,
            scan_at: now,
            sweep_at: now + SWEEP_EVERY,
            shards,
            shared: Arc::clone(&shared),
            health: Arc::clone(health),
        };
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || work.run(&heard))?;
        Ok(Self { hears, shared })
    }

    /// Tells it what happened to a process. `false` if it has no room, and will look at all.
    pub fn tell(&self, pid: u32, event: LifeEvent, life: Life) -> bool {
        let is_told = self.hears.try_send(Heard::Life(pid, event, life)).is_ok();
        if !is_told {
            self.shared.missed.store(true, Ordering::Release);
        }
        is_told
    }

    /// Who tells it of another configuration.
    #[must_use]
    pub fn reconfigure(&self) -> Reconfigure {
        Reconfigure(self.hears.clone())
    }

    /// Who can be asked how many processes are watched.
    #[must_use]
    pub fn watched(&self) -> Watched {
        Watched(Arc::clone(&self.shared))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// Knows how many processes are watched.
pub struct Watched(Arc<Shared>);

impl Watched {
    /// At the moment.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.watched.load(Ordering::Acquire)
    }
}

/// A look that is under way.
struct UnderWay {
    look: Look,
    /// What is known before any file is read.
    first: Arc<Mutex<Option<Process>>>,
}

/// The thread's state.
struct Work {
    watcher: Watcher,
    /// Whom addresses belong to.
    peers: PeerBook,
    /// Not all of them are remembered, which was said.
    refuses_peers: bool,
    memory: Ledger,
    /// Whom the kernel side selects by itself.
    selection: Selection,
    root: ProcRoot,
    pool: BlockingPool<Option<Process>>,
    looks: HashMap<LookTicket, UnderWay>,
    late: VecDeque<(LookTicket, Look)>,
    /// Looks that are put off, and until when.
    put_off: Vec<(Instant, Look)>,
    /// Reused; empty between calls.
    actions: Vec<Action>,
    /// The first look at all processes is not over.
    settling: bool,
    scan_at: Instant,
    sweep_at: Instant,
    /// The coordinator's first.
    shards: Vec<Mailbox>,
    shared: Arc<Shared>,
    health: Arc<Health>,
}

impl Work {
    fn run(mut self, heard: &Receiver<Heard>) {
        self.watcher.scan(&mut self.actions);
        while self.answer().is_ok() {
            let longest = self.next_at().saturating_duration_since(Instant::now());
            match heard.recv_timeout(longest) {
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            self.do_what_is_due(Instant::now());
        }
    }

    fn hear(&mut self, told: Heard) {
        match told {
            Heard::Life(pid, event, life) => {
                if event == LifeEvent::Exec {
                    // Without the coordinator nobody wants to know.
                    let _ = self.tell(&News::Ran(pid));
                }
                self.watcher.observe(pid, event, &life, &mut self.actions);
            }
            Heard::Configured(change) => self.reconfigure(*change),
            Heard::Host(cloud) => self.watcher.hear_of_host(cloud, &mut self.actions),
            Heard::Pods(news) => {
                self.name_pods(&news);
                self.watcher.hear_of_pods(news, &mut self.actions);
            }
            Heard::Addressed(kind, news) => {
                let changes = self.peers.hear(kind, news);
                self.tell_peers(changes);
            }
            Heard::Looked(ticket, found) => {
                let late = self.late.iter().position(|(other, _)| *other == ticket);
                let under_way = self.looks.remove(&ticket).map(|it| it.look);
                let late = late.and_then(|at| Some(self.late.remove(at)?.1));
                let Some(look) = under_way.or(late) else {
                    return;
                };
                match found {
                    Some(found) => {
                        let found = found.map(|process| *process);
                        self.watcher.looked(&look, found, &mut self.actions);
                    }
                    // It panicked, which the log tells.
                    None => self.watcher.given_up(&look, &mut self.actions),
                }
            }
        }
    }

    /// Tells who is behind the addresses of pods.
    fn name_pods(&mut self, news: &PodNews) {
        let order = self.watcher.naming_order();
        let names = |pod: &Arc<Pod>| service::peer(pod, order);
        let changes = self.peers.hear_of_pods(news, &names);
        self.tell_peers(changes);
    }

    fn tell_peers(&mut self, changes: Vec<PeerChange>) {
        if self.peers.refused() > 0 && !std::mem::replace(&mut self.refuses_peers, true) {
            log::warn!(
                "there is no room for more than {PEERS_MAX} addresses of pods, services and nodes: \
                 who is behind others is not told"
            );
        }
        self.memory.set(Holder::Peers, self.peers.memory_bytes());
        if !changes.is_empty() {
            // Without the coordinator nobody wants to know.
            let _ = self.tell(&News::Peers(changes.into()));
        }
    }

    fn reconfigure(&mut self, change: Reconfiguration) {
        if let Some(every) = change.measure_every {
            // Without the coordinator nobody wants to know.
            let _ = self.tell(&News::Measure(every));
        }
        if let Some(spans) = change.spans {
            // Before the descriptions, whose secrets are hidden as it says.
            let _ = self.tell(&News::Configured(Box::new(spans)));
            self.watcher.look_again(&mut self.actions);
        }
        if let Some(discover) = change.discover {
            if let Err(reason) = self.selection.reconfigure(&discover.targets) {
                log::error!(
                    "the kernel side does not take the changed selection of processes: {}",
                    Visible(reason)
                );
            }
            self.watcher.reconfigure(&discover, &mut self.actions);
            // They may be called otherwise from now on.
            if !self.watcher.pods().is_empty() {
                let pods = self.watcher.pods().iter().cloned().collect();
                self.name_pods(&PodNews::All(pods));
            }
        }
    }

    fn next_at(&self) -> Instant {
        let scan_at = self.missed().then_some(self.scan_at);
        let put_off = self.put_off.iter().map(|(until, _)| *until).min();
        let next = [self.pool.next_due(), scan_at, put_off].into_iter();
        let next = next.flatten();
        next.fold(self.sweep_at, Instant::min)
    }

    fn missed(&self) -> bool {
        self.shared.missed.load(Ordering::Acquire)
    }

    fn do_what_is_due(&mut self, now: Instant) {
        for ticket in self.pool.give_up(now) {
            if let Some(under_way) = self.looks.remove(&ticket) {
                self.give_up(ticket, under_way);
            }
        }
        for (_, mut look) in self.put_off.extract_if(.., |(until, _)| now >= *until) {
            look.after = Duration::ZERO;
            self.actions.push(Action::Look(look));
        }
        if now >= self.scan_at && self.shared.missed.swap(false, Ordering::AcqRel) {
            log::warn!("too many processes come and go at once: looking at all of them");
            // Without the coordinator nobody wants to know.
            let _ = self.tell(&News::Missed);
            self.watcher.scan(&mut self.actions);
            self.scan_at = Instant::now() + SCAN_PAUSE;
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            self.watcher.sweep(&mut self.actions);
        }
    }

    fn give_up(&mut self, ticket: LookTicket, UnderWay { look, first }: UnderWay) {
        self.health.lose(Loss::LookGivenUp, 1);
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(process) => {
                log::warn!(
                    "pid {}: reading {} takes too long (a file system that does not answer?): its \
                     language is not known",
                    look.pid,
                    Visible(process.executable.display())
                );
                self.watcher.looked(&look, Some(process), &mut self.actions);
            }
            None => {
                log::warn!(
                    "pid {}: its arguments and environment can't be read in time: it is named by \
                     its executable",
                    look.pid
                );
                self.watcher.given_up(&look, &mut self.actions);
            }
        }
        if self.late.len() == LATE_MAX {
            self.late.pop_front();
        }
        self.late.push_back((ticket, look));
    }

    /// Has others carry out what is to be done, and pool look.
    fn answer(&mut self) -> Result<(), Alone> {
        self.shared
            .watched
            .store(self.watcher.watched(), Ordering::Release);
        let mut says_something = !self.actions.is_empty();
        // A look that is refused leads to further ones.
        while !self.actions.is_empty() {
            let actions = std::mem::take(&mut self.actions);
            // Before anybody has it watched, so that nothing that it says is taken for nameless.
            for action in &actions {
                if let Action::Look(look) = action {
                    self.tell(&News::Expect(look.pid))?;
                }
            }
            for action in actions {
                match action {
                    Action::Watch(pid) => self.order(Answer::Watch(pid))?,
                    Action::Unwatch(pid) => self.order(Answer::Unwatch(pid))?,
                    Action::Refuse(pid) => self.order(Answer::Refuse(pid))?,
                    Action::ForgetRefusals => self.order(Answer::ForgetRefusals)?,
                    Action::Began(pid) => self.order(Answer::Began(pid))?,
                    Action::Look(look) => self.look_in_time(look),
                    Action::Described(process) => self.tell(&News::Described(process))?,
                    Action::Placed(process) => self.tell(&News::Placed(process))?,
                }
            }
        }
        if self.settling && self.looks.is_empty() && self.put_off.is_empty() {
            self.settling = false;
            says_something = true;
            self.order(Answer::Settled)?;
        }
        if says_something {
            self.shards.iter().for_each(Mailbox::wake);
        }
        Ok(())
    }

    fn look_in_time(&mut self, look: Look) {
        // Beyond the bound it is looked at as it is.
        if look.after.is_zero() || self.put_off.len() >= PUT_OFF_MAX {
            self.look(look);
        } else {
            self.put_off.push((Instant::now() + look.after, look));
        }
    }

    fn look(&mut self, look: Look) {
        let first = Arc::new(Mutex::new(None));
        let (describer, pid) = (self.watcher.describer().clone(), look.pid);
        let of_look = Arc::clone(&first);
        let user = u64::from(self.root.user(pid));
        let ticket = self
            .pool
            .look(user, move || look_at(&describer, pid, &of_look));
        match ticket {
            Ok(ticket) => {
                self.looks.insert(ticket, UnderWay { look, first });
            }
            Err(_) => {
                self.health.lose(Loss::LookGivenUp, 1);
                self.watcher.given_up(&look, &mut self.actions);
            }
        }
    }

    /// Tells each shard; the coordinator's last, so that what it does comes after.
    fn tell(&self, news: &News) -> Result<(), Alone> {
        for shard in self.shards.iter().skip(1) {
            // One that panicked ends the others too.
            let _ = shard.put(Answer::News(news.clone()));
        }
        self.order(Answer::News(news.clone()))
    }

    fn order(&self, answer: Answer) -> Result<(), Alone> {
        match self.shards.first() {
            Some(coordinator) => coordinator.put(answer),
            None => Err(Alone),
        }
    }
}

fn look_at(describer: &Describer, pid: u32, first: &Mutex<Option<Process>>) -> Option<Process> {
    describer.describe_in_steps(pid, |process| {
        *first.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
    })
}
