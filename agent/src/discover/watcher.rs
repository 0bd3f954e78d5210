//! Who is watched: the one owner of that state. It is fed the life of processes, in the order in
//! which the kernel side saw it, and answers with actions; it carries none of them out.
//!
//! It reads of procfs only what the kernel answers by itself: links, and `stat`. A process's memory
//! and files may hang whoever reads them, so looking at those is an action too ([`Action::Look`]),
//! and what was found comes back by [`Watcher::looked`].
//!
//! - A process that matches by pid or executable, or listens on a selected port, is watched.
//! - So is one that serves a selected port, by a socket that it has from somebody else, until it
//!   runs another executable.
//! - A child of a watched process stays watched as long as it runs the executable of its parent,
//!   be it forked or run anew (workers of nginx, Node's cluster). When it runs another one, it has
//!   to match by itself.
//! - A process is its pid and its start time, so that a reused pid inherits nothing, even if the
//!   record of the first one's exit was lost.
//! - Of these, none is watched whose pod of Kubernetes is not meant ([`Admission`]); as pods become
//!   known, or change, so does that.
//! - wirespan's own process is never watched.
//!
//! Everything here is idempotent: a record that arrives twice, or a [`Watcher::scan`] after
//! records were lost, changes only what is no longer true.

mod held_back;
mod placing;

use held_back::HeldBack;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wirespan_common::record::{Life, LifeEvent};

use crate::cloud::CloudAttributes;
use crate::config::{DiscoverConfig, ServiceOverride};
use crate::discover::Process;
use crate::engine::Engines;
use crate::enrich::kubernetes::service::NamingOrder;
use crate::kubernetes::Pods;
use crate::memory::{Holder, Ledger};

use super::admission::Admission;
use super::describe::Describer;
use super::listeners::Listening;
use super::naming;
use super::proc_root::{ProcRoot, lossy};
use super::selection::Selector;

/// What others have to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have the kernel side watch this process; it may do so already.
    Watch(u32),
    /// Have the kernel side watch this process no longer; it may have stopped by itself.
    Unwatch(u32),
    /// The same, and it is selected and not meant: have the kernel side not tell that it serves.
    Refuse(u32),
    /// Have the kernel side tell of all that serve again.
    ForgetRefusals,
    /// The process is watched from now on, or runs something else than before.
    Began(u32),
    /// Look at a watched process ([`Describer::describe`]) and say what was found.
    Look(Look),
    /// This is known about a watched process, instead of what was known before.
    Described(Arc<Process>),
    /// The same, and only its place in Kubernetes differs.
    Placed(Arc<Process>),
}

/// A process that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which process.
    pub pid: u32,
    /// What the kernel calls it.
    comm: String,
    /// Path of its executable as it sees it, if it has not gone.
    executable: Option<PathBuf>,
    /// Which of all looks.
    number: u64,
    /// How long it is to be put off, because the process is about to give itself a title.
    pub after: Duration,
    /// Further looks that are worth it while it has not.
    again: usize,
    /// What it is taken for if nothing comes of the look: its parent's like.
    like_parent: Option<Arc<Process>>,
}

/// How long after its fork a child that gives itself a title is looked at, and looked at again.
/// php-fpm's have theirs within a millisecond; what they say in the meantime waits for their name.
const TITLED_AFTER: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_millis(100),
    Duration::from_millis(20),
];

/// A process that is watched.
#[derive(Debug)]
struct WatchedProcess {
    /// 0 if it had gone before anybody looked.
    start_ns: u64,
    executable: Option<PathBuf>,
    /// What is known about it by now.
    process: Option<Arc<Process>>,
    /// The look that is awaited, or was the last.
    look: u64,
}

/// Processes whose last look is remembered when they are no longer watched.
const DEPARTED_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub struct Watcher {
    root: ProcRoot,
    selector: Selector,
    describer: Describer,
    listening: Listening,
    pods: Pods,
    /// What the user said of every service.
    service: ServiceOverride,
    /// What the host's cloud says of it.
    cloud: CloudAttributes,
    watched: HashMap<u32, WatchedProcess>,
    held_back: HeldBack,
    looks: u64,
    /// The last look at processes that ended before it did.
    departed: HashMap<u32, u64>,
    /// Pids of `departed`, oldest first; at most [`DEPARTED_MAX`], some of them twice.
    departures: VecDeque<u32>,
    /// Of all descriptions.
    bytes: usize,
    memory: Ledger,
}

impl Watcher {
    /// Watches nobody until [`Watcher::scan`] or [`Watcher::observe`] is called.
    #[must_use]
    pub fn new(root: ProcRoot, config: DiscoverConfig) -> Self {
        Self {
            selector: Selector::new(config.targets),
            describer: Describer::new(root.clone(), config.service.clone()),
            root,
            listening: Listening::default(),
            pods: Pods::default(),
            service: config.service,
            cloud: CloudAttributes::new(),
            watched: HashMap::new(),
            held_back: HeldBack::default(),
            looks: 0,
            departed: HashMap::new(),
            departures: VecDeque::new(),
            bytes: 0,
            memory: Ledger::default(),
        }
    }

    /// The same, which shares this bound over memory.
    #[must_use]
    pub fn within(mut self, memory: Ledger) -> Self {
        self.memory = memory;
        self
    }

    /// The same, which will be told of pods ([`Watcher::hear_of_pods`]).
    #[must_use]
    pub fn awaiting_pods(mut self) -> Self {
        self.pods = Pods::awaited();
        self
    }

    /// The same, which has these asked of containers.
    #[must_use]
    pub fn asking(mut self, engines: Engines) -> Self {
        self.describer = self.describer.asking(engines);
        self
    }

    /// By whose order services in pods are named.
    #[must_use]
    pub fn naming_order(&self) -> NamingOrder {
        self.service.pods.order
    }

    /// The pods that are known.
    #[must_use]
    pub fn pods(&self) -> &Pods {
        &self.pods
    }

    /// The bound over memory that it shares.
    #[must_use]
    pub fn memory(&self) -> &Ledger {
        &self.memory
    }

    /// Who looks at processes, on whatever thread.
    #[must_use]
    pub fn describer(&self) -> &Describer {
        &self.describer
    }

    /// Looks at all processes. To be called once the kernel side reports the life of processes,
    /// so that none starts unseen between the two; and again when records of it were lost.
    pub fn scan(&mut self, actions: &mut Vec<Action>) {
        self.sweep(actions);
        self.watch_selected(actions);
    }

    fn watch_selected(&mut self, actions: &mut Vec<Action>) -> HashSet<u32> {
        let (selected, turned_away) = self.selected();
        for (pid, admission) in turned_away {
            self.hold_back(pid, &admission, false, actions);
        }
        self.watch_all(&selected, actions);
        selected
    }

    fn watch_all(&mut self, selected: &HashSet<u32>, actions: &mut Vec<Action>) {
        for pid in selected.iter().copied() {
            if !self.watched.contains_key(&pid)
                && let Some(stat) = self.root.stat(pid)
            {
                actions.push(Action::Watch(pid));
                self.look(pid, stat.comm, actions);
            }
        }
    }

    /// Watches whom `config` selects, from now on, and describes those that are watched as it says.
    /// The kernel side is to know of it before, so that nobody begins unseen between the two.
    ///
    /// Who was selected and is not any more is watched no longer. Who never was, as a child or as
    /// one that serves by a socket of somebody else, stays watched unless ports were taken away:
    /// then it has to serve again.
    pub fn reconfigure(&mut self, config: &DiscoverConfig, actions: &mut Vec<Action>) {
        self.service.clone_from(&config.service);
        self.rename(actions);
        if config.targets == *self.selector.targets() {
            return;
        }
        self.sweep(actions);
        let (before, _) = self.selected();
        let former = std::mem::replace(&mut self.selector, Selector::new(config.targets.clone()));
        self.held_back.clear();
        actions.push(Action::ForgetRefusals);
        self.turn_away(None, actions);
        let selected = self.watch_selected(actions);
        let keeps_ports = self.selector.selects_ports_of(&former);
        let is_left = |pid: &u32| !selected.contains(pid) && (before.contains(pid) || !keeps_ports);
        let left: Vec<u32> = self.watched.keys().copied().filter(is_left).collect();
        for pid in left {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    /// Takes in what the host's cloud says of it, where the user does not say it.
    pub fn hear_of_host(&mut self, cloud: CloudAttributes, actions: &mut Vec<Action>) {
        self.cloud = cloud;
        self.rename(actions);
    }

    /// Has what is said of every service told with each description, those of before included.
    fn rename(&mut self, actions: &mut Vec<Action>) {
        let mut service = self.service.clone();
        for (name, value) in &self.cloud {
            let attributes = &mut service.resource_attributes;
            attributes
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        if service != *self.describer.service() {
            self.describer.reconfigure(&service);
            self.look_again(actions);
        }
    }

    /// Has all watched processes looked at again, because they are to be told of otherwise.
    pub fn look_again(&mut self, actions: &mut Vec<Action>) {
        let mut pids: Vec<u32> = self.watched.keys().copied().collect();
        pids.sort_unstable();
        for pid in pids {
            let Some(stat) = self.root.stat(pid) else {
                continue;
            };
            let look = self.look_from_now(pid, stat.comm);
            if let Some(watched) = self.watched.get_mut(&pid) {
                watched.look = look.number;
                actions.push(Action::Look(look));
            }
        }
    }

    /// Takes in what happened to process `pid` (thread group, in the initial pid namespace).
    pub fn observe(&mut self, pid: u32, event: LifeEvent, life: &Life, actions: &mut Vec<Action>) {
        let subject = match event {
            LifeEvent::Fork => life.other,
            LifeEvent::Exec | LifeEvent::Listen | LifeEvent::Serve | LifeEvent::Exit => pid,
        };
        if subject == self.root.own_pid() {
            // The kernel side watches every child of a watched process, and a user may well start
            // wirespan from a watched shell.
            if life.watched != 0 {
                actions.push(Action::Unwatch(subject));
            }
            return;
        }
        match event {
            LifeEvent::Exec => self.ran(pid, life, actions),
            LifeEvent::Fork => self.forked(pid, life, actions),
            LifeEvent::Listen => self.listened(pid, life, actions),
            LifeEvent::Serve => self.served(pid, life, actions),
            LifeEvent::Exit => self.ended(pid, actions),
        }
    }

    /// Drops processes of which the end was not reported. Cheap; once a minute is plenty.
    pub fn sweep(&mut self, actions: &mut Vec<Action>) {
        let root = &self.root;
        let gone: Vec<u32> = self
            .watched
            .iter()
            .filter(|(pid, watched)| {
                let stat = root.stat(**pid);
                stat.is_none_or(|stat| watched.start_ns != stat.start_ns)
            })
            .map(|(pid, _)| *pid)
            .collect();
        for pid in gone {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
        self.held_back.sweep(&self.root);
    }

    /// What came of a look, `None` if the process had gone. It may come late, or more than once.
    pub fn looked(&mut self, look: &Look, found: Option<Process>, actions: &mut Vec<Action>) {
        let like_parent = || look.like_parent.as_deref().cloned();
        let found = found
            .or_else(like_parent)
            .unwrap_or_else(|| self.describer.vanished(look.pid, &look.comm));
        self.found(look, found, actions);
    }

    /// Nothing came of a look, for want of time or room: what is known without has to do.
    pub fn given_up(&mut self, look: &Look, actions: &mut Vec<Action>) {
        let unseen = || {
            let executable = look.executable.as_deref();
            self.describer.unseen(look.pid, executable, &look.comm)
        };
        let like_parent = look.like_parent.as_deref().cloned();
        self.found(look, like_parent.unwrap_or_else(unseen), actions);
    }

    /// How many processes are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    fn found(&mut self, look: &Look, process: Process, actions: &mut Vec<Action>) {
        let process = self.placed(process);
        let Some(watched) = self.watched.get(&look.pid) else {
            // It has ended since, and what it said is on its way. An earlier look than its last
            // one was at what it was before it ran something else.
            if self.departed.get(&look.pid) == Some(&look.number) {
                actions.push(Action::Described(Arc::new(process)));
            }
            return;
        };
        // Else it runs something else by now, or is another process.
        if watched.look == look.number {
            if let Some(again) = look.again.checked_sub(1)
                && process.awaits_title()
            {
                actions.push(Action::Look(Look {
                    after: TITLED_AFTER[again],
                    again,
                    ..look.clone()
                }));
                return;
            }
            // It is known by now where it runs, perhaps.
            let admission = self.admission_of(&process);
            if matches!(admission, Admission::Refused(_)) {
                self.hold_back(look.pid, &admission, false, actions);
                return;
            }
            let process = self.within_bound(process);
            self.keep(look.pid, &process);
            actions.push(Action::Described(process));
        }
    }

    /// A description as far as there is room for it.
    fn within_bound(&self, mut process: Process) -> Arc<Process> {
        if self.bytes + process.own_memory_bytes() > self.memory.of_descriptions() {
            process.cut();
        }
        Arc::new(process)
    }

    /// Remembers what is known about a watched process.
    fn keep(&mut self, pid: u32, process: &Arc<Process>) {
        let Some(watched) = self.watched.get_mut(&pid) else {
            return;
        };
        let former = watched.process.replace(Arc::clone(process));
        self.bytes += process.own_memory_bytes();
        self.bytes -= former.map_or(0, |former| former.own_memory_bytes());
        self.memory.set(Holder::Descriptions, self.bytes);
    }

    fn forget(&mut self, pid: u32) {
        let Some(watched) = self.watched.remove(&pid) else {
            return;
        };
        self.depart(pid, watched.look);
        let former = watched.process;
        self.bytes -= former.map_or(0, |former| former.own_memory_bytes());
        self.memory.set(Holder::Descriptions, self.bytes);
    }

    fn depart(&mut self, pid: u32, look: u64) {
        if self.departed.insert(pid, look).is_none() {
            self.departures.push_back(pid);
        }
        if self.departures.len() > DEPARTED_MAX
            && let Some(oldest) = self.departures.pop_front()
        {
            self.departed.remove(&oldest);
        }
    }

    fn ran(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        let is_known = self.is_still_watched(pid);
        let Some(executable) = self.root.executable(pid) else {
            // It has gone already, so there is nobody to watch. If it sent something, its spans
            // need a name.
            if life.watched != 0 || is_known {
                self.look(pid, comm(life), actions);
            }
            return;
        };
        let before = self.watched.get(&pid);
        let same_executable =
            before.is_some_and(|watched| watched.executable.as_ref() == Some(&executable));
        let selected = same_executable
            || self.selector.selects(pid, &executable)
            || self
                .selector
                .selects_listener(&self.root, &mut self.listening, pid);
        if selected {
            if self.admits(pid, Some(&executable), false, actions) {
                actions.push(Action::Watch(pid));
                self.look(pid, comm(life), actions);
            }
            return;
        }
        self.held_back.forget(pid);
        if is_known || life.watched != 0 {
            self.forget(pid);
            self.departed.remove(&pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    fn forked(&mut self, parent: u32, life: &Life, actions: &mut Vec<Action>) {
        let child = life.other;
        if child == parent {
            return;
        }
        let parent = self.watched.get(&parent);
        if parent.is_none() && life.watched == 0 {
            return;
        }
        if life.watched == 0 {
            actions.push(Action::Watch(child));
        }
        if let Some(parent) = parent
            && let Some(executable) = &parent.executable
            && naming::titles_children(executable)
        {
            let like_parent = parent.process.as_deref();
            let like_parent = like_parent.map(|parent| self.describer.child(parent, child));
            self.look_at_child(child, comm(life), like_parent, actions);
            return;
        }
        match parent.and_then(|parent| parent.process.as_deref()) {
            Some(parent) => {
                let process = self.within_bound(self.describer.child(parent, child));
                self.forget(child);
                let watched = WatchedProcess {
                    start_ns: process.start_ns,
                    executable: Some(process.executable.clone()),
                    process: None,
                    look: 0,
                };
                self.watched.insert(child, watched);
                self.keep(child, &process);
                actions.push(Action::Began(child));
                actions.push(Action::Described(process));
            }
            // Its parent's record was lost, or it began before the scan came to it, or its parent
            // itself is being looked at.
            None => self.look(child, comm(life), actions),
        }
    }

    fn listened(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        let selects = self.selector.selects_port(life.port);
        if selects {
            self.listening.began(pid);
        }
        if (selects || life.watched != 0) && !self.is_still_watched(pid) {
            let executable = self.root.executable(pid);
            if selects && !self.admits(pid, executable.as_deref(), false, actions) {
                return;
            }
            if life.watched == 0 {
                actions.push(Action::Watch(pid));
            }
            self.look(pid, comm(life), actions);
        }
    }

    fn served(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        let executable = self.root.executable(pid);
        if !self.admits(pid, executable.as_deref(), true, actions) {
            return;
        }
        // The kernel side may have been told, since it began, to watch it no longer: an exec that
        // came before was answered after.
        actions.push(Action::Watch(pid));
        if !self.is_still_watched(pid) {
            self.look(pid, comm(life), actions);
        }
    }

    fn ended(&mut self, pid: u32, actions: &mut Vec<Action>) {
        // The kernel side has forgotten it, but may have been told to watch it only after that;
        // and a process that has the pid by now is not to suffer.
        if self.is_still_watched(pid) {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    /// Whether the process of that pid that is watched is the one that has the pid now. One that
    /// has gone counts as still the same, for want of a better one; another one's is forgotten.
    fn is_still_watched(&mut self, pid: u32) -> bool {
        let Some(watched) = self.watched.get(&pid) else {
            return false;
        };
        let stat = self.root.stat(pid);
        let is_same = stat.is_none_or(|stat| watched.start_ns == stat.start_ns);
        if !is_same {
            self.forget(pid);
        }
        is_same
    }

    /// Has a process looked at that is watched from now on, or runs something else.
    fn look(&mut self, pid: u32, comm: String, actions: &mut Vec<Action>) {
        let look = self.look_from_now(pid, comm);
        self.begin(look, actions);
    }

    /// The same for a child that is about to give itself a title.
    fn look_at_child(
        &mut self,
        pid: u32,
        comm: String,
        like_parent: Option<Process>,
        actions: &mut Vec<Action>,
    ) {
        let again = TITLED_AFTER.len() - 1;
        let look = Look {
            after: TITLED_AFTER[again],
            again,
            like_parent: like_parent.map(Arc::new),
            ..self.look_from_now(pid, comm)
        };
        self.begin(look, actions);
    }

    fn look_from_now(&mut self, pid: u32, comm: String) -> Look {
        self.looks += 1;
        Look {
            pid,
            comm,
            executable: self.root.executable(pid),
            number: self.looks,
            after: Duration::ZERO,
            again: 0,
            like_parent: None,
        }
    }

    fn begin(&mut self, look: Look, actions: &mut Vec<Action>) {
        self.forget(look.pid);
        let watched = WatchedProcess {
            start_ns: self.root.stat(look.pid).map_or(0, |stat| stat.start_ns),
            executable: look.executable.clone(),
            process: None,
            look: look.number,
        };
        self.watched.insert(look.pid, watched);
        actions.push(Action::Began(look.pid));
        actions.push(Action::Look(look));
    }
}

/// What the kernel calls a process (`TASK_COMM_LEN` bytes, NUL-padded).
fn comm(life: &Life) -> String {
    lossy(
        life.comm
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default(),
    )
}
