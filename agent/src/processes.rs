//! What is known about the processes that records speak of: their resource, whether they live, how
//! much of what they said was understood. It reads no procfs: descriptions arrive as records.

mod exporting;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;

use crate::discover::Process;
use crate::enrich;
use crate::health::Coverage;
use crate::semconv;
use crate::span::Resource;
use crate::unread::{Reason, Unread};
use exporting::Exporting;

/// Processes remembered, ended ones included. Of more, the longest ended are forgotten.
pub const PROCESSES_MAX: usize = 16_384;

/// How long a description that was announced may take, in nanoseconds of record time. A look at a
/// process has one second.
pub const DESCRIBED_WITHIN_NS: u64 = 2_000_000_000;
/// What ended ones may take of the memory: so much less than all. They wait for exchanges that end
/// after them, which are few.
const ENDED_PART: usize = 4;

/// Bytes, counted.
#[derive(Clone, Debug, Default)]
struct Tally {
    seen: u64,
    understood: u64,
    unread: Unread,
    /// Records.
    lost: u64,
}

impl Tally {
    fn of(seen: u64, understood: u64, unread: Option<(Reason, u64)>) -> Self {
        let mut tally = Self {
            seen,
            understood,
            ..Self::default()
        };
        if let Some((reason, bytes)) = unread {
            tally.unread.count(reason, bytes);
        }
        tally
    }

    fn add(&mut self, other: &Self) {
        self.seen = self.seen.saturating_add(other.seen);
        self.understood = self.understood.saturating_add(other.understood);
        self.unread.merge(&other.unread);
        self.lost = self.lost.saturating_add(other.lost);
    }
}

/// Where a resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResourceSource {
    /// The process's number alone.
    Pid,
    /// The process that forked it: right until it runs another executable.
    Parent,
    /// Its own description.
    Description,
}

#[derive(Debug)]
struct RememberedProcess {
    resource: Arc<Resource>,
    source: ResourceSource,
    description: Option<Arc<Process>>,
    /// Until then, in nanoseconds of record time, a description is on its way, and what is known
    /// may be another program's.
    awaited_until_ns: u64,
    /// Since when, at the latest, all that it says is seen, in nanoseconds of record time.
    watched_since_ns: Option<u64>,
    ended: bool,
    budget_raised: bool,
    exporting: Exporting,
    /// When it was last asked to take an export of somebody's, in nanoseconds of record time.
    asked_ns: Option<u64>,
    tally: Tally,
    /// Of resource and description.
    bytes: usize,
}

impl RememberedProcess {
    fn unknown(tgid: u32) -> Self {
        let resource = enrich::process::unknown(tgid);
        Self {
            bytes: resource.memory_bytes(),
            resource: Arc::new(resource),
            source: ResourceSource::Pid,
            description: None,
            awaited_until_ns: 0,
            watched_since_ns: None,
            ended: false,
            budget_raised: false,
            exporting: Exporting::Nothing,
            asked_ns: None,
            tally: Tally::default(),
        }
    }

    fn is_awaited(&self, now_ns: u64) -> bool {
        now_ns < self.awaited_until_ns
    }

    fn expect(&mut self, now_ns: u64) {
        self.awaited_until_ns = now_ns.saturating_add(DESCRIBED_WITHIN_NS);
    }

    /// The same process with another resource. Its description may be shared with its parent.
    fn name(
        &mut self,
        resource: Resource,
        source: ResourceSource,
        description: Option<Arc<Process>>,
    ) {
        let description_bytes = description.as_deref().map_or(0, Process::memory_bytes);
        self.bytes = resource.memory_bytes() + description_bytes;
        self.resource = Arc::new(resource);
        self.source = source;
        self.description = description;
    }
}

/// What became of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    /// It is remembered.
    Whole,
    /// What names the process is; the rest took too much room.
    Cut,
    /// There was no room for it: spans of the process lack a name.
    Not,
}

/// The processes, by thread group.
#[derive(Debug)]
pub struct Processes {
    processes_max: usize,
    bytes_max: usize,
    /// Of all entries.
    bytes: usize,
    /// Of those that ended.
    ended_bytes: usize,
    entries: HashMap<u32, RememberedProcess>,
    /// Ended ones in the order of their end; some may have begun anew since.
    ended: VecDeque<u32>,
    forgotten: Tally,
    /// Of all processes for which there is no room.
    nameless: Arc<Resource>,
    /// How many export traces themselves.
    exporting: usize,
}

impl Processes {
    /// No process, room for `processes_max` that take `bytes_max` of memory together.
    #[must_use]
    pub fn new(processes_max: usize, bytes_max: usize) -> Self {
        Self {
            processes_max,
            bytes_max,
            bytes: 0,
            ended_bytes: 0,
            entries: HashMap::new(),
            ended: VecDeque::new(),
            forgotten: Tally::default(),
            nameless: Arc::new(enrich::process::unknown(0)),
            exporting: 0,
        }
    }

    /// They may take so many bytes of memory from now on.
    pub fn bound(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// The resource of a process; made of its number alone while nothing else is known.
    pub fn resource(&mut self, tgid: u32) -> &Arc<Resource> {
        self.known(tgid, u64::MAX).0
    }

    /// The resource of a process, and whether a better one is on its way at `now_ns`.
    pub fn known(&mut self, tgid: u32, now_ns: u64) -> (&Arc<Resource>, bool) {
        if !self.entries.contains_key(&tgid) {
            self.touch_entry(tgid);
        }
        match self.entries.get(&tgid) {
            Some(entry) => (&entry.resource, entry.is_awaited(now_ns)),
            None => (&self.nameless, false),
        }
    }

    /// A description of the process will come, or another one than before.
    pub fn expect(&mut self, tgid: u32, now_ns: u64) {
        if let Some(entry) = self.touch_entry(tgid) {
            entry.expect(now_ns);
        }
    }

    /// The file that a process runs, if it was described.
    #[must_use]
    pub fn executable(&self, tgid: u32) -> Option<&Path> {
        let description = self.entries.get(&tgid)?.description.as_deref()?;
        Some(&description.executable)
    }

    /// An export of traces was accepted that a process sent, as a client, or took, as a server.
    /// Returns whether it is known only since then that it exports its own.
    pub fn exports(&mut self, tgid: u32, role: Role, now_ns: u64) -> bool {
        let Some(entry) = self.touch_entry(tgid) else {
            return false;
        };
        if role == Role::Client && exporting::may_be_anothers(entry.asked_ns, now_ns) {
            return false;
        }
        let after = entry.exporting.seen(role);
        self.set_exporting(tgid, after)
    }

    /// Somebody asks a process to take an export of traces, which it may pass on before it answers.
    pub fn is_asked_to_export(&mut self, tgid: u32, now_ns: u64) {
        if let Some(entry) = self.touch_entry(tgid) {
            entry.asked_ns = Some(now_ns);
        }
    }

    /// Whether a process exports traces itself.
    #[inline]
    #[must_use]
    pub fn exports_itself(&self, tgid: u32) -> bool {
        let entry = (self.exporting > 0).then(|| self.entries.get(&tgid));
        entry
            .flatten()
            .is_some_and(|entry| entry.exporting == Exporting::Itself)
    }

    /// Whether that is news of a process that exports itself.
    fn set_exporting(&mut self, tgid: u32, exporting: Exporting) -> bool {
        let Some(entry) = self.entries.get_mut(&tgid) else {
            return false;
        };
        let before = std::mem::replace(&mut entry.exporting, exporting);
        let [was, is] = [before, exporting].map(|it| it == Exporting::Itself);
        self.exporting = self.exporting + usize::from(is) - usize::from(was);
        is && !was
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
            + heap::table::<(u32, RememberedProcess)>(self.entries.capacity())
            + heap::vec::<u32>(self.ended.capacity())
    }

    /// Takes a description, which replaces what was known. One that was on its way may come after
    /// its process's end. Its arguments are not kept: no span tells them.
    pub fn describe(&mut self, mut process: Process, now_ns: u64) -> Described {
        process.command_args = Vec::new();
        let begun_anew = self.entries.get(&process.pid).is_some_and(|entry| {
            let is_awaited = entry.is_awaited(now_ns);
            entry.ended
                && match &entry.description {
                    // Of one that had gone, nobody knows when it began.
                    Some(_) if is_awaited && process.start_ns == 0 => false,
                    Some(known) => known.start_ns != process.start_ns,
                    None => !is_awaited,
                }
        });
        if begun_anew {
            self.forget(process.pid);
        }
        let mut described = if process.is_cut {
            Described::Cut
        } else {
            Described::Whole
        };
        // A resource says what its description does.
        if !self.make_room(2 * process.memory_bytes()) && process.cut() {
            described = Described::Cut;
        }
        let pid = process.pid;
        if let Some(entry) = self.touch_entry(pid) {
            if !process.awaits_place {
                entry.awaited_until_ns = 0;
            }
            let known = entry.description.as_deref();
            if !known.is_some_and(|known| known.differs_in_place_only(&process)) {
                // It may not have been watched in between.
                entry.watched_since_ns = Some(now_ns);
            }
        }
        let resource = enrich::process::resource(&process);
        if self.name(
            pid,
            resource,
            ResourceSource::Description,
            Some(Arc::new(process)),
        ) {
            described
        } else {
            Described::Not
        }
    }

    /// `child` is a copy of `parent` by now: until it is described, or runs something else, its
    /// resource is the parent's with its own number. A watched one of which nothing is known that
    /// way, or which is about to name itself, will be described.
    pub fn fork(&mut self, parent: u32, child: u32, is_watched: bool, now_ns: u64) {
        if self.entries.get(&child).is_some_and(|entry| entry.ended) {
            self.forget(child);
        }
        let parent = self.entries.get(&parent);
        let description = parent.and_then(|entry| entry.description.clone());
        let is_awaited = parent.is_some_and(|entry| entry.is_awaited(now_ns))
            || description.as_deref().is_some_and(Process::titles_children);
        let Some(entry) = self.touch_entry(child) else {
            return;
        };
        if let (ResourceSource::Pid, Some(description)) = (entry.source, description) {
            let resource = enrich::process::forked(&description, child);
            self.name(child, resource, ResourceSource::Parent, Some(description));
        }
        let Some(entry) = self.entries.get_mut(&child).filter(|_| is_watched) else {
            return;
        };
        entry.watched_since_ns = Some(now_ns);
        if is_awaited || entry.source == ResourceSource::Pid {
            entry.expect(now_ns);
        }
    }

    /// For how long, at least, all that a process says has been seen, in nanoseconds; 0 if that is
    /// not known.
    #[must_use]
    pub fn watched_for(&self, tgid: u32, now_ns: u64) -> u64 {
        let entry = self.entries.get(&tgid);
        let since_ns = entry.and_then(|entry| entry.watched_since_ns);
        since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns))
    }

    /// The process began to listen. If that is why it is watched, it will be described.
    pub fn listen(&mut self, tgid: u32, is_watched: bool, now_ns: u64) {
        // Who had the number before has ended.
        if self.entries.get(&tgid).is_some_and(|entry| entry.ended) {
            self.forget(tgid);
        }
        if is_watched
            && let Some(entry) = self.touch_entry(tgid)
            && entry.source == ResourceSource::Pid
        {
            entry.expect(now_ns);
        }
    }

    /// The process runs another executable. What it inherited is wrong now; its own description is
    /// kept until the next one, which follows soon if the process is watched.
    pub fn exec(&mut self, tgid: u32, is_watched: bool, now_ns: u64) {
        if self.entries.get(&tgid).is_some_and(|entry| entry.ended) {
            self.forget(tgid);
        }
        self.set_exporting(tgid, Exporting::Nothing);
        if is_watched {
            self.expect(tgid, now_ns);
        }
        if let Some(entry) = self.entries.get_mut(&tgid)
            && entry.source == ResourceSource::Parent
        {
            let resource = enrich::process::unknown(tgid);
            self.name(tgid, resource, ResourceSource::Pid, None);
        }
    }

    /// The process ended. Its resource is kept for exchanges that end with it.
    pub fn exit(&mut self, tgid: u32) {
        let Some(entry) = self.entries.get_mut(&tgid) else {
            return;
        };
        if !std::mem::replace(&mut entry.ended, true) {
            self.ended_bytes += entry.bytes;
            self.ended.push_back(tgid);
            if self.ended.len() > self.processes_max {
                self.forget_longest_ended();
            }
            while self.ended_bytes > self.bytes_max / ENDED_PART && !self.ended.is_empty() {
                self.forget_longest_ended();
            }
        }
    }

    /// Whether a process is known and has not ended.
    #[must_use]
    pub fn is_alive(&self, tgid: u32) -> bool {
        self.entries.get(&tgid).is_some_and(|entry| !entry.ended)
    }

    /// Whether this is the first call for this process.
    pub fn raise_budget_once(&mut self, tgid: u32) -> bool {
        self.touch_entry(tgid)
            .is_some_and(|entry| !std::mem::replace(&mut entry.budget_raised, true))
    }

    /// Counts bytes of a connection that is over.
    pub fn count(&mut self, tgid: u32, seen: u64, understood: u64, unread: Option<(Reason, u64)>) {
        self.add(tgid, &Tally::of(seen, understood, unread));
    }

    /// Counts records that the kernel side could not write.
    pub fn lose_records(&mut self, tgid: u32, count: u64) {
        let tally = Tally {
            lost: count,
            ..Tally::default()
        };
        self.add(tgid, &tally);
    }

    fn add(&mut self, tgid: u32, tally: &Tally) {
        match self.touch_entry(tgid) {
            Some(entry) => entry.tally.add(tally),
            None => self.forgotten.add(tally),
        }
    }

    /// What was counted, by process, with `open` (process, seen, understood, and what was not)
    /// added: connections that are not over. Sorted by pid; processes that moved and lost nothing
    /// are left out.
    #[must_use]
    pub fn coverage(
        &self,
        open: impl Iterator<Item = (u32, u64, u64, Option<(Reason, u64)>)>,
    ) -> Vec<Coverage> {
        let mut tallies: HashMap<u32, Tally> = HashMap::new();
        for (tgid, entry) in &self.entries {
            tallies.insert(*tgid, entry.tally.clone());
        }
        for (tgid, seen, understood, unread) in open {
            // A process that is not remembered shares the line of those forgotten.
            let tgid = if self.entries.contains_key(&tgid) {
                tgid
            } else {
                0
            };
            let tally = tallies.entry(tgid).or_default();
            tally.add(&Tally::of(seen, understood, unread));
        }
        tallies.entry(0).or_default().add(&self.forgotten);

        let mut report: Vec<Coverage> = tallies
            .into_iter()
            .filter(|(_, tally)| tally.seen > 0 || tally.lost > 0)
            .map(|(pid, tally)| Coverage {
                pid,
                service: self.service(pid).to_owned(),
                seen_bytes: tally.seen,
                understood_bytes: tally.understood,
                unread: tally.unread,
                lost_records: tally.lost,
            })
            .collect();
        report.sort_unstable_by_key(|line| line.pid);
        report
    }

    /// The name of a process's service, as far as it is known.
    #[must_use]
    pub fn service(&self, tgid: u32) -> &str {
        self.entries
            .get(&tgid)
            .and_then(|entry| entry.resource.get(semconv::SERVICE_NAME))
            .and_then(|name| name.as_str())
            .unwrap_or(semconv::UNKNOWN_SERVICE)
    }

    /// The entry of a process; `None` if there is no room for it.
    fn touch_entry(&mut self, tgid: u32) -> Option<&mut RememberedProcess> {
        if !self.entries.contains_key(&tgid) {
            if self.entries.len() >= self.processes_max {
                self.forget_longest_ended();
            }
            let entry = RememberedProcess::unknown(tgid);
            if self.entries.len() >= self.processes_max || !self.make_room(entry.bytes) {
                return None;
            }
            self.bytes += entry.bytes;
            self.entries.insert(tgid, entry);
        }
        self.entries.get_mut(&tgid)
    }

    /// Sets what is known of a process; `false` if there is no room for it.
    fn name(
        &mut self,
        tgid: u32,
        resource: Resource,
        source: ResourceSource,
        description: Option<Arc<Process>>,
    ) -> bool {
        let Some(entry) = self.touch_entry(tgid) else {
            return false;
        };
        let before = entry.bytes;
        entry.name(resource, source, description);
        let after = entry.bytes;
        if entry.ended {
            self.ended_bytes = self.ended_bytes - before + after;
        }
        self.bytes = self.bytes - before + after;
        if after <= before || self.make_room(0) {
            return true;
        }
        if let Some(entry) = self.entries.get_mut(&tgid) {
            entry.name(enrich::process::unknown(tgid), ResourceSource::Pid, None);
            if entry.ended {
                self.ended_bytes = self.ended_bytes - after + entry.bytes;
            }
            self.bytes = self.bytes - after + entry.bytes;
        }
        false
    }

    /// Forgets ended ones until there is room for so many bytes; whether there is.
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.memory_bytes() + bytes > self.bytes_max {
            let before = self.entries.len();
            self.forget_longest_ended();
            if self.entries.len() == before {
                return false;
            }
        }
        true
    }

    fn forget_longest_ended(&mut self) {
        while let Some(tgid) = self.ended.pop_front() {
            if self.entries.get(&tgid).is_some_and(|entry| entry.ended) {
                self.forget(tgid);
                return;
            }
        }
    }

    fn forget(&mut self, tgid: u32) {
        self.set_exporting(tgid, Exporting::Nothing);
        if let Some(entry) = self.entries.remove(&tgid) {
            self.bytes -= entry.bytes;
            if entry.ended {
                self.ended_bytes -= entry.bytes;
            }
            self.forgotten.add(&entry.tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(pid: u32, name: &str) -> Process {
        Process {
            pid,
            start_ns: 1,
            service_name: name.into(),
            ..Process::default()
        }
    }

    fn name(processes: &mut Processes, tgid: u32) -> String {
        let value = processes.resource(tgid).get(semconv::SERVICE_NAME).cloned();
        value.expect("always named").as_str().expect("text").into()
    }

    #[test]
    fn a_description_replaces_the_unknown_and_the_inherited() {
        let mut processes = Processes::new(8, 1 << 20);
        assert_eq!(name(&mut processes, 1), semconv::UNKNOWN_SERVICE);
        processes.describe(described(1, "shop"), 0);
        assert_eq!(name(&mut processes, 1), "shop");

        processes.fork(1, 2, false, 0);
        assert_eq!(name(&mut processes, 2), "shop");
        processes.describe(described(2, "worker"), 0);
        assert_eq!(name(&mut processes, 2), "worker");
        processes.exec(2, false, 0);
        assert_eq!(name(&mut processes, 2), "worker");

        processes.fork(1, 3, false, 0);
        processes.exec(3, false, 0);
        assert_eq!(name(&mut processes, 3), semconv::UNKNOWN_SERVICE);
    }

    #[test]
    fn a_reused_number_inherits_nothing_from_who_had_it() {
        let mut processes = Processes::new(8, 1 << 20);
        processes.describe(described(1, "shop"), 0);
        processes.count(1, 10, 10, None);
        processes.exit(1);
        assert_eq!(name(&mut processes, 1), "shop", "until it is reused");
        processes.fork(9, 1, false, 0);
        assert_eq!(name(&mut processes, 1), semconv::UNKNOWN_SERVICE);
        assert!(processes.is_alive(1));
        let report = processes.coverage(std::iter::empty());
        assert_eq!(
            (report.len(), report[0].pid, report[0].seen_bytes),
            (1, 0, 10)
        );
    }

    #[test]
    fn ended_processes_make_room_and_their_bytes_stay_counted() {
        let mut processes = Processes::new(2, 1 << 20);
        for tgid in 1..=2 {
            processes.describe(described(tgid, "shop"), 0);
            processes.count(tgid, 100, 50, None);
        }
        assert_eq!(name(&mut processes, 3), semconv::UNKNOWN_SERVICE);
        processes.describe(described(3, "late"), 0);
        assert_eq!(name(&mut processes, 3), semconv::UNKNOWN_SERVICE, "no room");
        processes.exit(1);
        processes.describe(described(4, "four"), 0);
        assert_eq!(name(&mut processes, 4), "four");
        let lines: Vec<_> = processes
            .coverage([(2, 1, 1, None), (99, 7, 0, Some((Reason::Tls, 7)))].into_iter())
            .into_iter()
            .map(|line| {
                (
                    line.pid,
                    line.service,
                    line.seen_bytes,
                    line.understood_bytes,
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                (0, semconv::UNKNOWN_SERVICE.into(), 107, 50),
                (2, "shop".into(), 101, 51)
            ]
        );
    }
}
