//! The kernel side's own counters of what it could not deliver. It only reads them.

use std::collections::HashMap as Remembered;

use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray};
use wirespan_common::loss::KernelLoss;
use wirespan_common::share::Ledger;

use super::StartError;
use super::object::Shared;

/// Handles to the kernel side's maps `LOSSES` and `LEDGERS`.
pub struct KernelLosses {
    counters: PerCpuArray<MapData, u64>,
    ledgers: HashMap<MapData, u32, Shared<Ledger>>,
    /// What was told of each process so far.
    told: Remembered<u32, u64>,
}

impl KernelLosses {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            counters: super::take_map(ebpf, "LOSSES")?,
            ledgers: super::take_map(ebpf, "LEDGERS")?,
            told: Remembered::new(),
        })
    }

    /// How often each thing was lost so far, over all processors.
    pub fn totals(&self) -> impl Iterator<Item = (KernelLoss, u64)> + '_ {
        KernelLoss::ALL.into_iter().map(|loss| {
            let total = self
                .counters
                .get(&(loss as u32), 0)
                .map_or(0, |per_cpu| per_cpu.iter().sum());
            (loss, total)
        })
    }

    /// Records that processes lost since the last call, by thread group.
    pub fn of_processes(&mut self) -> Vec<(u32, u64)> {
        let told = &mut self.told;
        self.ledgers
            .iter()
            // An entry that was removed meanwhile ends the walk: the next one sees the rest.
            .map_while(Result::ok)
            .filter_map(|(tgid, Shared(ledger))| {
                if ledger.lost == 0 {
                    return None;
                }
                let before = told.insert(tgid, ledger.lost).unwrap_or(0);
                // Less than before is another process, or an entry that was begun anew.
                let since = match ledger.lost.checked_sub(before) {
                    Some(since) => since,
                    None => ledger.lost,
                };
                (since > 0).then_some((tgid, since))
            })
            .collect()
    }

    /// Records that a process lost since they were last asked for. It has ended: its number may be
    /// another's from now on.
    pub fn settle(&mut self, tgid: u32) -> u64 {
        let lost = self.ledgers.get(&tgid, 0).map_or(0, |Shared(it)| it.lost);
        let _: Result<(), _> = self.ledgers.remove(&tgid);
        lost.saturating_sub(self.told.remove(&tgid).unwrap_or(0))
    }
}
