//! The control thread: owns who is watched, and reads of procfs what that takes. The shard tells it
//! of the life of processes and carries out what it answers; neither waits for the other. What may
//! hang it, a process's memory and files, it leaves to [`Lookers`]. A changed configuration comes
//! here first, and what of it concerns spans goes on to the shard. Of the kernel side it changes
//! whom that selects by itself, and nothing else; it hears no record.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wirespan_common::record::{Life, LifeEvent};

use crate::capture::Selection;
use crate::config::{DiscoverConfig, SpanConfig};
use crate::discover::{Action, Describer, Look, ProcRoot, Process, Watcher};
use crate::health::{Health, Loss};
use crate::lookers::{Bounds, Lookers, Ticket};
use crate::visible::Visible;

/// Events that wait for the thread. What does not fit leads to a look at all processes.
const HEARS_MAX: usize = 8192;
/// Answers that wait for the shard, which fetches them every few milliseconds.
const ANSWERS_MAX: usize = 4096;
/// How long after a look at all processes the next one may come.
const SCAN_PAUSE: Duration = Duration::from_secs(1);
/// How often processes are looked for whose end was not seen.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Looks that were given up and are still remembered, for the case that they end.
const LATE_MAX: usize = 64;

/// Looks that are put off at once.
const PUT_OFF_MAX: usize = 1024;

/// What the shard has to do.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Watch this process.
    Watch(u32),
    /// Watch it no longer.
    Unwatch(u32),
    /// It is watched from now on, or runs something else than before.
    Began(u32),
    /// It was heard that this process ran another program. All before this was about the program
    /// before.
    Ran(u32),
    /// A description of it is on its way.
    Expect(u32),
    /// This is known about it.
    Described(Arc<Process>),
    /// All processes that were there already are watched and described: so many.
    Settled,
    /// Spans are made in this way from now on.
    Configured(SpanConfig),
    /// What is counted elsewhere is kept up to date so often from now on, or not at all.
    Measure(Option<Duration>),
}

/// What the thread is told.
enum Heard {
    Life(u32, LifeEvent, Life),
    Looked(Ticket, Option<Option<Box<Process>>>),
    Configured(Box<Reconfiguration>),
}

/// What changes of what the thread and the shard work by.
#[derive(Clone, Debug, Default)]
pub struct Reconfiguration {
    /// Whom to watch, and how they are named.
    pub discover: Option<DiscoverConfig>,
    /// How spans are made.
    pub spans: Option<SpanConfig>,
    /// How often what is counted elsewhere is kept up to date, if it is.
    pub measure_every: Option<Option<Duration>>,
}

/// Tells the control thread of another configuration, from any thread but the shard's.
#[derive(Clone)]
pub struct Reconfigure(SyncSender<Heard>);

impl Reconfigure {
    /// Has it work by this from now on; `false` if the run is over. It waits while the thread has
    /// more to do than is kept.
    pub fn reconfigure(&self, change: Reconfiguration) -> bool {
        self.0.send(Heard::Configured(Box::new(change))).is_ok()
    }
}

/// The shard's end of the thread, which ends with the process or when this is dropped.
pub struct Control {
    hears: SyncSender<Heard>,
    answers: Receiver<Answer>,
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
    /// Starts the thread, which looks at all processes first. `wake` becomes readable with its
    /// answers.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        watcher: Watcher,
        selection: Selection,
        root: ProcRoot,
        wake: OwnedFd,
        health: &Arc<Health>,
    ) -> std::io::Result<Self> {
        let (hears, heard) = sync_channel(HEARS_MAX);
        let (says, answers) = sync_channel(ANSWERS_MAX);
        let shared = Arc::new(Shared::default());
        let looked = hears.clone();
        let lookers = Lookers::new("look", Bounds::default(), move |ticket, found| {
            // Without the thread nobody wants to know.
            let found = found.map(|found: Option<Process>| found.map(Box::new));
            let _ = looked.send(Heard::Looked(ticket, found));
        });
        let now = Instant::now();
        let work = Work {
            watcher,
            selection,
            root,
            lookers,
            looks: HashMap::new(),
            late: VecDeque::new(),
            put_off: Vec::new(),
            actions: Vec::new(),
            settling: true,
            scan_at: now,
            sweep_at: now + SWEEP_EVERY,
            says,
            wake,
            shared: Arc::clone(&shared),
            health: Arc::clone(health),
        };
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || work.run(&heard))?;
        Ok(Self {
            hears,
            answers,
            shared,
        })
    }

    /// Tells it what happened to a process. `false` if it has no room, and will look at all.
    pub fn tell(&self, pid: u32, event: LifeEvent, life: Life) -> bool {
        let is_told = self.hears.try_send(Heard::Life(pid, event, life)).is_ok();
        if !is_told {
            self.shared.missed.store(true, Ordering::Release);
        }
        is_told
    }

    /// What it answered since the last call; bounded.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.answers.try_iter().take(ANSWERS_MAX)
    }

    /// Waits for an answer, for at most `longest`.
    pub fn wait(&self, longest: Duration) -> Option<Answer> {
        self.answers.recv_timeout(longest).ok()
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
    /// Whom the kernel side selects by itself.
    selection: Selection,
    root: ProcRoot,
    lookers: Lookers<Option<Process>>,
    looks: HashMap<Ticket, UnderWay>,
    late: VecDeque<(Ticket, Look)>,
    /// Looks that are put off, and until when.
    put_off: Vec<(Instant, Look)>,
    /// Reused; empty between calls.
    actions: Vec<Action>,
    /// The first look at all processes is not over.
    settling: bool,
    scan_at: Instant,
    sweep_at: Instant,
    says: SyncSender<Answer>,
    wake: OwnedFd,
    shared: Arc<Shared>,
    health: Arc<Health>,
}

/// The shard is gone.
struct Alone;

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
                    // Without the shard nobody wants to know.
                    let _ = self.say(Answer::Ran(pid));
                }
                self.watcher.observe(pid, event, &life, &mut self.actions);
            }
            Heard::Configured(change) => self.reconfigure(*change),
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

    fn reconfigure(&mut self, change: Reconfiguration) {
        if let Some(every) = change.measure_every {
            // Without the shard nobody wants to know.
            let _ = self.say(Answer::Measure(every));
        }
        if let Some(spans) = change.spans {
            // Before the descriptions, whose secrets are hidden as it says.
            let _ = self.say(Answer::Configured(spans));
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
        }
    }

    fn next_at(&self) -> Instant {
        let scan_at = self.missed().then_some(self.scan_at);
        let put_off = self.put_off.iter().map(|(until, _)| *until).min();
        let next = [self.lookers.next_due(), scan_at, put_off].into_iter();
        let next = next.flatten();
        next.fold(self.sweep_at, Instant::min)
    }

    fn missed(&self) -> bool {
        self.shared.missed.load(Ordering::Acquire)
    }

    fn do_what_is_due(&mut self, now: Instant) {
        for ticket in self.lookers.give_up(now) {
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
            self.watcher.scan(&mut self.actions);
            self.scan_at = Instant::now() + SCAN_PAUSE;
        }
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            self.watcher.sweep(&mut self.actions);
        }
    }

    fn give_up(&mut self, ticket: Ticket, UnderWay { look, first }: UnderWay) {
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

    /// Has the shard carry out what is to be done, and lookers look.
    fn answer(&mut self) -> Result<(), Alone> {
        self.shared
            .watched
            .store(self.watcher.watched(), Ordering::Release);
        let mut says_something = !self.actions.is_empty();
        // A look that is refused leads to further ones.
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                let answer = match action {
                    Action::Watch(pid) => Answer::Watch(pid),
                    Action::Unwatch(pid) => Answer::Unwatch(pid),
                    Action::Began(pid) => Answer::Began(pid),
                    Action::Look(look) => {
                        let pid = look.pid;
                        self.look_in_time(look);
                        Answer::Expect(pid)
                    }
                    Action::Described(process) => Answer::Described(process),
                };
                self.say(answer)?;
            }
        }
        if self.settling && self.looks.is_empty() && self.put_off.is_empty() {
            self.settling = false;
            says_something = true;
            self.say(Answer::Settled)?;
        }
        if says_something {
            self.wake_shard();
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
            .lookers
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

    fn say(&self, answer: Answer) -> Result<(), Alone> {
        match self.says.try_send(answer) {
            Ok(()) => Ok(()),
            Err(std::sync::mpsc::TrySendError::Full(answer)) => {
                // It fetches them soon, and sooner if it is woken.
                self.wake_shard();
                self.says.send(answer).map_err(|_| Alone)
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => Err(Alone),
        }
    }

    fn wake_shard(&self) {
        // A counter that is full is readable too.
        let _: Result<usize, _> = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

fn look_at(describer: &Describer, pid: u32, first: &Mutex<Option<Process>>) -> Option<Process> {
    describer.describe_in_steps(pid, |process| {
        *first.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
    })
}
