//! The maps through which user space tells the kernel side whom to watch and what to leave alone,
//! and the one that it reads to learn how far streams have come. It decides nothing.

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use wirespan_common::connection::Connection;
use wirespan_common::record::{ConnectionId, TaskKind};
use wirespan_common::runtime::Runtime;
use wirespan_common::watch::{
    LATER_BYTES_RAISED, OPENING_BYTES_RAISED, Verdict, VerdictValue, Watch, hint_slot,
};

use super::StartError;
use super::object::Shared;

/// Replaces what is there, adds nothing (include/uapi/linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// Handles to the kernel side's maps.
pub struct WatchList {
    watched: HashMap<MapData, u32, Shared<Watch>>,
    hints: Array<MapData, u8>,
    connections: HashMap<MapData, ConnectionId, Shared<Connection>>,
    verdicts: HashMap<MapData, ConnectionId, Shared<VerdictValue>>,
    runtimes: HashMap<MapData, u32, Shared<Runtime>>,
    /// Kinds of probes that are attached anywhere: a new process is supposed to map such a library
    /// until it is looked at, so that nothing of its first call is missed.
    probes: u32,
}

impl WatchList {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            watched: super::take_map(ebpf, "WATCHED")?,
            hints: super::take_map(ebpf, "WATCHED_HINTS")?,
            connections: super::take_map(ebpf, "CONNECTIONS")?,
            verdicts: super::take_map(ebpf, "VERDICTS")?,
            runtimes: super::take_map(ebpf, "RUNTIMES")?,
            probes: 0,
        })
    }

    /// Watches a process from now on. Returns whether there was room.
    pub fn watch(&mut self, pid: u32) -> bool {
        let watch = Watch {
            probes: self.probes,
            ..Watch::default()
        };
        // First, so that the kernel side never finds the one without the other.
        if self.hints.set(hint_slot(pid), 1, 0).is_err() {
            return false;
        }
        // The kernel side may watch it already, as a child of one with raised budgets or probes.
        self.watched.get(&pid, 0).is_ok() || self.watched.insert(pid, Shared(watch), 0).is_ok()
    }

    /// Watches a process no longer.
    pub fn unwatch(&mut self, pid: u32) {
        // It may have ended, and then the kernel side has removed it.
        let _: Result<(), _> = self.watched.remove(&pid);
        let _: Result<(), _> = self.runtimes.remove(&pid);
    }

    /// Tells the kernel side how the tasks of a watched process's runtime are found. Of several
    /// runtimes in a process the first stays, but that any goes before threads. Returns
    /// whether it was told.
    pub fn set_runtime(&mut self, pid: u32, kind: TaskKind, runtime: Runtime) -> bool {
        let Ok(Shared(watch)) = self.watched.get(&pid, 0) else {
            return false;
        };
        let gives_way = [0, kind as u16, TaskKind::Thread as u16];
        if !gives_way.contains(&watch.tasks) {
            return false;
        }
        // First, so that the kernel side never finds the one without the other.
        if self.runtimes.insert(pid, Shared(runtime), 0).is_err() {
            return false;
        }
        self.change(pid, |watch| watch.tasks = kind as u16);
        true
    }

    /// Lets transfers of a watched process be copied further than usual.
    pub fn raise_budget(&mut self, pid: u32) {
        self.change(pid, |watch| {
            watch.opening_bytes_max = OPENING_BYTES_RAISED;
            watch.later_bytes_max = LATER_BYTES_RAISED;
        });
    }

    /// Tells the kernel side that probes of this kind (`PROBES_*`) see plaintext in a process.
    pub fn add_probes(&mut self, pid: u32, probes: u32) {
        self.probes |= probes;
        self.change(pid, |watch| watch.probes |= probes);
    }

    fn change(&mut self, pid: u32, change: impl FnOnce(&mut Watch)) {
        let Ok(Shared(before)) = self.watched.get(&pid, 0) else {
            return;
        };
        let mut watch = before;
        change(&mut watch);
        if watch != before {
            // It may have ended by now.
            let _: Result<(), _> = self.watched.insert(pid, Shared(watch), BPF_EXIST);
        }
    }

    /// Tells the kernel side what a connection carries. Of HTTP/2 it may be told again, to say of
    /// later boundaries.
    pub fn set_verdict(&mut self, connection: ConnectionId, verdict: Verdict) {
        // A full map evicts; the worst is that bytes are copied that nobody wants.
        let _: Result<(), _> = self.verdicts.insert(connection, Shared(verdict.into()), 0);
    }

    /// Lets the kernel side forget a connection: if it goes on, it is announced anew.
    pub fn forget(&mut self, connection: ConnectionId) {
        // The kernel side may have forgotten it first.
        let _: Result<(), _> = self.connections.remove(&connection);
        let _: Result<(), _> = self.verdicts.remove(&connection);
    }

    /// What the kernel side remembers of a connection, if it still does.
    #[must_use]
    pub fn connection(&self, connection: ConnectionId) -> Option<Connection> {
        self.connections
            .get(&connection, 0)
            .ok()
            .map(|Shared(found)| found)
    }
}
