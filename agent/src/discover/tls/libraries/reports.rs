//! LookStep the reports of looks lead to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::super::super::runtimes;
use super::super::analysis::{self, FileFinding};
use super::super::budget::GivenUp;
use super::super::held::HeldFile;
use super::super::looks::{Done, LookReport, Opened, Whose};
use super::super::mappings::Mapping;
use super::super::verdicts::Content;
use super::super::{FileId, Finding, Library, Unreadable};
use super::process::MappingProcess;
use super::tasks::{LookStep, LookTask};
use super::{EVERY, HELD_MAX, Libraries, ROOM_AFTER};
use crate::blocking::LookTicket;

impl Libraries {
    pub(super) fn take(&mut self, report: LookReport, now: Instant) {
        match report {
            LookReport::Mapped {
                whose,
                files,
                order,
            } => self.mapped(whose, &files, order),
            LookReport::Opened {
                whose,
                mapping,
                opened,
            } => self.opened(whose, mapping, opened),
            LookReport::Done(ticket, done) => {
                if let Some(task) = self.tasks.end(ticket) {
                    self.done(&task, ticket, done, now);
                }
            }
        }
    }

    /// The process, unless another one has its pid by now.
    fn process(&mut self, whose: Whose) -> Option<&mut MappingProcess> {
        let process = self.processes.get_mut(&whose.pid)?;
        (process.first_look <= whose.look).then_some(process)
    }

    fn mapped(&mut self, whose: Whose, files: &BTreeSet<FileId>, order: Vec<Mapping>) {
        let Some(process) = self.process(whose) else {
            return;
        };
        if process.last_look != whose.look {
            return;
        }
        process.opening = order.into();
        let gone: Vec<FileId> = process.files.difference(files).copied().collect();
        process.files.retain(|file| files.contains(file));
        for file in gone {
            self.unmapped(whose.pid, file);
        }
    }

    fn opened(&mut self, whose: Whose, mapping: Mapping, opened: Opened) {
        let held = self.held_of(&mapping);
        let Some(process) = self.process(whose) else {
            return;
        };
        if process.last_look == whose.look {
            process.opening.pop_front();
        }
        // A look that was given up found it late.
        if process.files.contains(&mapping.file) {
            return;
        }
        let pid = whose.pid;
        match opened {
            Opened::Known(content, held) => {
                process.files.insert(mapping.file);
                self.settle(pid, &mapping, held, &content, None);
            }
            Opened::Unknown(waiting) => {
                process.files.insert(mapping.file);
                process.waiting.push_back((mapping, waiting));
                self.busy.insert(pid);
            }
            Opened::NotAsked(reason) => self.give_up(pid, &mapping, reason),
            Opened::Refused(_) | Opened::Vanished if held.is_some() => {
                process.files.insert(mapping.file);
                self.readable(pid, held);
            }
            Opened::Refused(error) if analysis::is_tls_library(mapping.file_name()) => {
                let reason = format!("it can't be opened: {error}");
                self.unreadable(pid, &mapping, reason, None);
            }
            Opened::Refused(_) | Opened::Vanished => {}
        }
    }

    fn done(&mut self, task: &LookTask, ticket: LookTicket, done: Option<Done>, now: Instant) {
        if let Some(device) = task.stalled {
            self.answers_again(task.whose, device);
        }
        if let LookStep::LookInto(_, key) = &task.what {
            self.looked_into.remove(key);
        }
        let whose = task.whose;
        let Some(process) = self.process(whose) else {
            return;
        };
        if process.opens == Some(ticket) {
            process.opens = None;
        }
        if process.looks_into == Some(ticket) {
            process.looks_into = None;
        }
        match done {
            Some(Done::Opened { is_all: true }) => {}
            Some(Done::Opened { is_all: false }) => {
                process.is_part = true;
                self.due.insert((now + ROOM_AFTER, whose.pid, whose.look));
            }
            Some(Done::Gone) => self.forget(whose.pid),
            Some(Done::LookedInto {
                mapping,
                held,
                content,
                given_up,
                cost,
            }) => {
                process.spent = process.spent.plus(cost);
                if task.stalled.is_some() {
                    process.files.insert(mapping.file);
                }
                // Or it was unmapped meanwhile.
                if process.files.contains(&mapping.file) {
                    self.settle(whose.pid, &mapping, held, &content, given_up);
                }
            }
            // It panicked, which was printed.
            None => {
                if let LookStep::LookInto(mapping, _) = &task.what {
                    let reason = "looking into it failed".to_owned();
                    self.unreadable(whose.pid, mapping, reason, None);
                }
            }
        }
        self.busy.insert(whose.pid);
    }

    /// Something hangs: the file that it has to do with is not waited for.
    pub(super) fn has_stalled(&mut self, ticket: LookTicket) {
        let Some(task) = self.tasks.get(ticket) else {
            return;
        };
        let (whose, what) = (task.whose, task.what.clone());
        let process = self.process(whose);
        let mapping = match what {
            LookStep::LookInto(mapping, key) => {
                self.looked_into.remove(&key);
                Some(mapping)
            }
            LookStep::Open => process.and_then(|process| process.opening.front().cloned()),
        };
        let device = mapping.as_ref().map(|mapping| mapping.file.device);
        self.tasks.mark(ticket, device);
        if let Some(device) = device {
            *self.stalled.entry(device).or_default() += 1;
        }
        let Some(process) = self.process(whose) else {
            return;
        };
        process.stalls += 1;
        if process.opens == Some(ticket) {
            process.opens = None;
            process.again = true;
        }
        if process.looks_into == Some(ticket) {
            process.looks_into = None;
        }
        self.busy.insert(whose.pid);
        match mapping {
            Some(mapping) => self.give_up(whose.pid, &mapping, GivenUp::Stalled),
            None => self.give_up_process(whose.pid),
        }
    }

    fn answers_again(&mut self, whose: Whose, device: Option<u64>) {
        if let Some(device) = device
            && let Some(looks) = self.stalled.get_mut(&device)
        {
            *looks -= 1;
            if *looks == 0 {
                self.stalled.remove(&device);
            }
        }
        if let Some(process) = self.process(whose) {
            process.stalls = process.stalls.saturating_sub(1);
            process.again = true;
        }
    }

    /// Too much hangs already, so that it was not begun.
    pub(super) fn is_hopeless(&mut self, task: LookTask, now: Instant) {
        let Whose { pid, look } = task.whose;
        let Some(process) = self.process(task.whose) else {
            return;
        };
        match task.what {
            LookStep::Open => {
                process.opens = None;
                self.due.insert((now + EVERY, pid, look));
                self.give_up_process(pid);
            }
            LookStep::LookInto(mapping, key) => {
                process.looks_into = None;
                self.looked_into.remove(&key);
                self.give_up(pid, &mapping, GivenUp::Stalled);
            }
        }
    }

    /// LookStep is known about a file that a process maps.
    pub(super) fn settle(
        &mut self,
        pid: u32,
        mapping: &Mapping,
        held: HeldFile,
        content: &Content,
        given_up: Option<GivenUp>,
    ) {
        let Content { tls, tasks } = content;
        if let FileFinding::Unreadable(reason) = tls {
            self.unreadable(pid, mapping, reason.clone(), given_up);
        }
        if let runtimes::RuntimeVerdict::Unknown(reason)
        | runtimes::RuntimeVerdict::Sharing(_, reason) = tasks
        {
            let unlinkable = Unreadable {
                file: mapping.file,
                name: mapping.name.clone(),
                reason: reason.clone(),
                given_up: None,
            };
            self.tell(pid, Finding::Unlinkable(unlinkable));
        }
        let found = match tls {
            FileFinding::Readable(found) => Some(found),
            _ => None,
        };
        let tasks = tasks.tasks();
        if found.is_none() && tasks.is_none() {
            return;
        }
        let known = self.held.get(&mapping.file);
        let known = known.filter(|library| library.held.version() == held.version());
        if known.is_none() && self.held.len() >= HELD_MAX {
            return self.give_up(pid, mapping, GivenUp::TooMany);
        }
        let library = known.map_or_else(
            || {
                Arc::new(Library {
                    file: mapping.file,
                    held: Arc::new(held),
                    name: mapping.name.clone(),
                    kind: found.map(|found| found.kind),
                    functions: found.map_or_else(Vec::new, |found| found.functions.clone()),
                    tasks,
                })
            },
            Arc::clone,
        );
        self.readable(pid, Some(library));
    }

    fn readable(&mut self, pid: u32, library: Option<Arc<Library>>) {
        let Some(library) = library else { return };
        self.held.insert(library.file, Arc::clone(&library));
        self.users.entry(library.file).or_default().insert(pid);
        self.tell(pid, Finding::Readable(library));
    }

    /// LookStep was found in the file for another process, if it is certainly the same file and
    /// nobody has written to it since.
    fn held_of(&self, mapping: &Mapping) -> Option<Arc<Library>> {
        let library = self.held.get(&mapping.file)?;
        let version = library.held.version();
        // Its inode can't be another file's as long as it is held, if inodes are its device's own.
        let is_unique = version.device == mapping.file.device;
        let is_stalled = self.stalled.contains_key(&mapping.file.device);
        let is_same = is_unique && !is_stalled && library.held.is_unchanged().unwrap_or(false);
        is_same.then(|| Arc::clone(library))
    }

    /// It will be tried again when its process is looked at again.
    pub(super) fn give_up(&mut self, pid: u32, mapping: &Mapping, reason: GivenUp) {
        if let Some(process) = self.processes.get_mut(&pid)
            && reason == GivenUp::Stalled
        {
            process.files.remove(&mapping.file);
        }
        self.unreadable(pid, mapping, reason.to_string(), Some(reason));
    }

    /// Not even its mappings can be read.
    pub(super) fn give_up_process(&mut self, pid: u32) {
        let reason = GivenUp::Stalled;
        let unreadable = Unreadable {
            file: FileId {
                device: 0,
                inode: pid.into(),
            },
            name: self.root.dir(pid).join("maps"),
            reason: reason.to_string(),
            given_up: Some(reason),
        };
        self.tell(pid, Finding::Unreadable(unreadable));
    }

    fn unreadable(
        &mut self,
        pid: u32,
        mapping: &Mapping,
        reason: String,
        given_up: Option<GivenUp>,
    ) {
        let unreadable = Unreadable {
            file: mapping.file,
            name: mapping.name.clone(),
            reason,
            given_up,
        };
        self.tell(pid, Finding::Unreadable(unreadable));
    }

    fn tell(&mut self, pid: u32, finding: Finding) {
        self.found.entry(pid).or_default().push(finding);
    }
}
