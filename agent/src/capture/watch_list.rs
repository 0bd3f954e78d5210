//! The maps through which user space tells the kernel side whom to watch. It decides nothing but
//! whose turn it is among shards.

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use wirespan_common::record::TaskKind;
use wirespan_common::runtime::Runtime;
use wirespan_common::watch::{LATER_BYTES_RAISED, OPENING_BYTES_RAISED, Watch, hint_slot};

use super::StartError;
use super::object::Shared;
use crate::wall_clock::monotonic_ns;

/// Replaces what is there, adds nothing (include/uapi/linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// Handles to the kernel side's maps.
pub struct WatchList {
    watched: HashMap<MapData, u32, Shared<Watch>>,
    hints: Array<MapData, u8>,
    /// When anything in `watched` changed last, in nanoseconds of `CLOCK_MONOTONIC`.
    changed: Array<MapData, u64>,
    runtimes: HashMap<MapData, u32, Shared<Runtime>>,
    refused: HashMap<MapData, u32, u8>,
    /// Kinds of probes that are attached anywhere: a new process is supposed to map such a library
    /// until it is looked at, so that nothing of its first call is missed.
    probes: u32,
    /// How many there are.
    shards: u8,
    /// Whose turn it is: which shard hears of the next process that begins to be watched.
    next_shard: u8,
}

impl WatchList {
    pub(super) fn new(ebpf: &mut Ebpf, shards: u8) -> Result<Self, StartError> {
        Ok(Self {
            watched: super::take_map(ebpf, "WATCHED")?,
            hints: super::take_map(ebpf, "WATCHED_HINTS")?,
            changed: super::take_map(ebpf, "WATCHED_CHANGED")?,
            runtimes: super::take_map(ebpf, "RUNTIMES")?,
            refused: super::take_map(ebpf, "REFUSED")?,
            probes: 0,
            shards,
            next_shard: 0,
        })
    }

    /// Watches a process from now on. Returns whether there was room.
    pub fn watch(&mut self, pid: u32) -> bool {
        let watch = Watch {
            probes: self.probes,
            shard: self.next_shard,
            ..Watch::default()
        };
        // It need not have been refused.
        let _: Result<(), _> = self.refused.remove(&pid);
        // First, so that the kernel side never finds the one without the other.
        if self.hints.set(hint_slot(pid), 1, 0).is_err() {
            return false;
        }
        // The kernel side may watch it already, as a child of one with raised budgets or probes.
        if self.watched.get(&pid, 0).is_ok() {
            return true;
        }
        self.next_shard = (self.next_shard + 1) % self.shards.max(1);
        let is_watched = self.watched.insert(pid, Shared(watch), 0).is_ok();
        self.tell_of_change();
        is_watched
    }

    /// Watches a process no longer.
    pub fn unwatch(&mut self, pid: u32) {
        // It may have ended, and then the kernel side has removed it.
        let _: Result<(), _> = self.watched.remove(&pid);
        self.tell_of_change();
        let _: Result<(), _> = self.runtimes.remove(&pid);
    }

    /// Does not watch a process from now on though it serves a selected port, until it runs another
    /// program, or ends. Where there is no room, the least recently refused is told of again.
    pub fn refuse(&mut self, pid: u32) {
        // Without it the process is told of whenever it serves, which costs time and nothing else.
        let _: Result<(), _> = self.refused.insert(pid, 1, 0);
    }

    /// Refuses nobody any longer.
    pub fn forget_refusals(&mut self) {
        let refused: Vec<u32> = self.refused.keys().filter_map(Result::ok).collect();
        for pid in refused {
            // It may have ended.
            let _: Result<(), _> = self.refused.remove(&pid);
        }
    }

    /// Tells the kernel side how the tasks of a watched process's runtime are found. Of several
    /// runtimes in a process the first stays, but that any goes before threads. Returns
    /// whether it was told.
    pub fn set_runtime(&mut self, pid: u32, kind: TaskKind, runtime: Runtime) -> bool {
        let Ok(Shared(watch)) = self.watched.get(&pid, 0) else {
            return false;
        };
        let gives_way = [0, kind as u8, TaskKind::Thread as u8];
        if !gives_way.contains(&watch.tasks) {
            return false;
        }
        // First, so that the kernel side never finds the one without the other.
        if self.runtimes.insert(pid, Shared(runtime), 0).is_err() {
            return false;
        }
        self.change(pid, |watch| watch.tasks = kind as u8);
        true
    }

    /// The tasks of a process are not told apart any longer.
    pub fn clear_runtime(&mut self, pid: u32) {
        self.change(pid, |watch| watch.tasks = 0);
        // It may have ended.
        let _: Result<(), _> = self.runtimes.remove(&pid);
    }

    /// Whether calls of a watched process may carry their trace, where only chosen ones do.
    pub fn set_carries(&mut self, pid: u32, carries: bool) {
        self.change(pid, |watch| watch.carries = carries.into());
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
            self.tell_of_change();
        }
    }

    /// The kernel side looks up anew whom it has at hand.
    fn tell_of_change(&mut self) {
        // The only element is always there.
        let _: Result<(), _> = self.changed.set(0, monotonic_ns(), 0);
    }
}
