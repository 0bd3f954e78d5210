//! Who is watched: the one owner of that state. It is fed the life of processes, in the order in
//! which the kernel side saw it, and answers with actions; it carries none of them out.
//!
//! - A process that matches by pid or executable, or listens on a selected port, is watched.
//! - So is one that serves a selected port, by a socket that it has from somebody else, until it
//!   runs another executable.
//! - A child of a watched process stays watched as long as it runs the executable of its parent,
//!   be it forked or run anew (workers of nginx, Node's cluster). When it runs another one, it has
//!   to match by itself.
//! - A process is its pid and its start time, so that a reused pid inherits nothing, even if the
//!   record of the first one's exit was lost.
//! - wirespan's own process is never watched.
//!
//! Everything here is idempotent: a record that arrives twice, or a [`Watcher::scan`] after
//! records were lost, changes only what is no longer true.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wirespan_common::record::{Life, LifeEvent};

use crate::config::{ServiceOverride, Targets};
use crate::discover::Process;
use crate::memory::{Holder, Ledger};

use super::describe::Describer;
use super::listeners::Listening;
use super::proc_root::ProcRoot;
use super::selection::Selector;

/// What others have to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have the kernel side watch this process; it may do so already.
    Watch(u32),
    /// Have the kernel side watch this process no longer; it may have stopped by itself.
    Unwatch(u32),
    /// This is known about a watched process, instead of what was known before.
    Described(Arc<Process>),
}

/// See the module.
#[derive(Debug)]
pub struct Watcher {
    root: ProcRoot,
    selector: Selector,
    describer: Describer,
    listening: Listening,
    watched: HashMap<u32, Arc<Process>>,
    /// Descriptions outlive their process, because its last exchanges are still on their way.
    departed: HashMap<u32, Arc<Process>>,
    /// Pids of `departed`, oldest first; at most [`DEPARTED_MAX`].
    departures: VecDeque<u32>,
    /// Of all descriptions.
    bytes: usize,
    memory: Ledger,
}

/// Descriptions that are kept of processes that are no longer watched.
const DEPARTED_MAX: usize = 1024;

impl Watcher {
    /// Watches nobody until [`Watcher::scan`] or [`Watcher::observe`] is called.
    #[must_use]
    pub fn new(root: ProcRoot, targets: Targets, service: ServiceOverride) -> Self {
        Self {
            selector: Selector::new(targets),
            describer: Describer::new(root.clone(), service),
            root,
            listening: Listening::default(),
            watched: HashMap::new(),
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

    /// Looks at all processes. To be called once the kernel side reports the life of processes,
    /// so that none starts unseen between the two; and again when records of it were lost.
    pub fn scan(&mut self, actions: &mut Vec<Action>) {
        self.sweep(actions);
        for pid in self.selector.scan_keeping(&self.root, &mut self.listening) {
            if !self.watched.contains_key(&pid)
                && let Some(process) = self.describer.describe(pid)
            {
                self.watch(process, actions);
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
            .filter(|(pid, process)| {
                root.start_and_parent(**pid)
                    .is_none_or(|(start_ns, _)| process.start_ns != start_ns)
            })
            .map(|(pid, _)| *pid)
            .collect();
        for pid in gone {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    /// What is known about a process that is watched or was until recently.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&Arc<Process>> {
        self.watched.get(&pid).or_else(|| self.departed.get(&pid))
    }

    /// Whether a process is watched, or was when it last said something.
    #[must_use]
    pub fn is_watched(&self, pid: u32) -> bool {
        self.watched.contains_key(&pid)
    }

    /// How many processes are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    fn ran(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        let before = self.still_watched(pid);
        let Some(executable) = self.root.executable(pid) else {
            // It has gone already, so there is nobody to watch. If it sent something, its spans
            // need a name.
            if life.watched != 0 || before.is_some() {
                self.describe(self.describer.vanished(pid, &life.comm), actions);
            }
            return;
        };
        let same_executable = before
            .as_ref()
            .is_some_and(|process| process.executable == executable);
        let selected = same_executable
            || self.selector.selects(pid, &executable)
            || self
                .selector
                .selects_listener(&self.root, &mut self.listening, pid);
        if selected {
            let process = self.describer.describe(pid);
            let process = process.unwrap_or_else(|| self.describer.vanished(pid, &life.comm));
            self.watch(process, actions);
        } else if before.is_some() || life.watched != 0 {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    fn forked(&mut self, parent: u32, life: &Life, actions: &mut Vec<Action>) {
        let child = life.other;
        if child == parent {
            return;
        }
        let process = match self.watched.get(&parent) {
            Some(parent) => self.describer.child(parent, child),
            // Its parent's record was lost, or it began before the scan came to it.
            None if life.watched != 0 => self.describe_or_name(child, life),
            None => return,
        };
        self.watch_reported(process, life, actions);
    }

    fn listened(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        let selects = self.selector.selects_port(life.port);
        if selects {
            self.listening.began(pid);
        }
        if (selects || life.watched != 0) && self.still_watched(pid).is_none() {
            let process = self.describe_or_name(pid, life);
            self.watch_reported(process, life, actions);
        }
    }

    fn served(&mut self, pid: u32, life: &Life, actions: &mut Vec<Action>) {
        if self.still_watched(pid).is_none() {
            let process = self.describe_or_name(pid, life);
            self.watch(process, actions);
        } else {
            // The kernel side may have been told, since it began, to watch it no longer: an exec
            // that came before was answered after.
            actions.push(Action::Watch(pid));
        }
    }

    fn ended(&mut self, pid: u32, actions: &mut Vec<Action>) {
        // The kernel side has forgotten it, but may have been told to watch it only after that;
        // and a process that has the pid by now is not to suffer.
        if self.still_watched(pid).is_some() {
            self.forget(pid);
            actions.push(Action::Unwatch(pid));
        }
    }

    fn describe_or_name(&mut self, pid: u32, life: &Life) -> Process {
        let process = self.describer.describe(pid);
        process.unwrap_or_else(|| self.describer.vanished(pid, &life.comm))
    }

    /// The process of that pid that is watched, if it is the one that has the pid now. One that
    /// has gone counts as still the same, for want of a better one.
    fn still_watched(&mut self, pid: u32) -> Option<Arc<Process>> {
        let process = self.watched.get(&pid)?;
        let is_same = self
            .root
            .start_and_parent(pid)
            .is_none_or(|(start_ns, _)| process.start_ns == start_ns);
        if is_same {
            return Some(Arc::clone(process));
        }
        self.forget(pid);
        None
    }

    fn watch(&mut self, process: Process, actions: &mut Vec<Action>) {
        actions.push(Action::Watch(process.pid));
        self.describe(process, actions);
    }

    /// As [`Watcher::watch`], for what the kernel side may already have begun to watch.
    fn watch_reported(&mut self, process: Process, life: &Life, actions: &mut Vec<Action>) {
        if life.watched == 0 {
            self.watch(process, actions);
        } else {
            self.describe(process, actions);
        }
    }

    fn describe(&mut self, mut process: Process, actions: &mut Vec<Action>) {
        while self.bytes + process.memory_bytes() > self.memory.of_descriptions() {
            if !self.forget_departed() {
                process.cut();
                break;
            }
        }
        let process = Arc::new(process);
        self.bytes += process.memory_bytes();
        if let Some(former) = self.watched.insert(process.pid, Arc::clone(&process)) {
            self.bytes -= former.memory_bytes();
        }
        self.memory.set(Holder::Descriptions, self.bytes);
        actions.push(Action::Described(process));
    }

    /// Forgets the process that departed first; whether there was one.
    fn forget_departed(&mut self) -> bool {
        let Some(oldest) = self.departures.pop_front() else {
            return false;
        };
        if let Some(process) = self.departed.remove(&oldest) {
            self.bytes -= process.memory_bytes();
            self.memory.set(Holder::Descriptions, self.bytes);
        }
        true
    }

    fn forget(&mut self, pid: u32) {
        let Some(process) = self.watched.remove(&pid) else {
            return;
        };
        match self.departed.insert(pid, process) {
            Some(former) => self.bytes -= former.memory_bytes(),
            None => self.departures.push_back(pid),
        }
        if self.departures.len() > DEPARTED_MAX {
            self.forget_departed();
        }
    }
}
