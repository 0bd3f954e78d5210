//! The kernel side's own counters of what it could not deliver. It only reads them.

use std::collections::HashMap as Remembered;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{HashMap, MapData, PerCpuArray};
use wirespan_common::loss::KernelLoss;
use wirespan_common::share::{Ledger, ledger_key, ledger_process};

use super::StartError;
use super::object::Shared;
use super::perf::LostSamples;

/// Handles to the kernel side's maps `LOSSES` and `LEDGERS`.
pub struct KernelLosses {
    /// How many there are.
    shards: u8,
    counters: PerCpuArray<MapData, u64>,
    ledgers: HashMap<MapData, u32, Shared<Ledger>>,
    /// What perf buffers had no room for, where there are such.
    buffers: Option<Arc<LostSamples>>,
    /// What was told so far, by the ledgers' keys.
    told: Remembered<u32, u64>,
}

impl KernelLosses {
    pub(super) fn new(
        ebpf: &mut Ebpf,
        shards: u8,
        buffers: Option<Arc<LostSamples>>,
    ) -> Result<Self, StartError> {
        Ok(Self {
            shards,
            counters: super::take_map(ebpf, "LOSSES")?,
            ledgers: super::take_map(ebpf, "LEDGERS")?,
            buffers,
            told: Remembered::new(),
        })
    }

    /// How often each thing was lost so far, over all processors.
    pub fn totals(&self) -> impl Iterator<Item = (KernelLoss, u64)> + '_ {
        KernelLoss::ALL.into_iter().map(|loss| {
            let counted: u64 = self
                .counters
                .get(&(loss as u32), 0)
                .map_or(0, |per_cpu| per_cpu.iter().sum());
            let of_buffers = match (loss, &self.buffers) {
                (KernelLoss::RingFull, Some(lost)) => lost.total(),
                _ => 0,
            };
            (loss, counted + of_buffers)
        })
    }

    /// Records that processes lost since the last call, by thread group; one that lost records of
    /// several shards is there several times.
    pub fn of_processes(&mut self) -> Vec<(u32, u64)> {
        let told = &mut self.told;
        self.ledgers
            .iter()
            // An entry that was removed meanwhile ends the walk: the next one sees the rest.
            .map_while(Result::ok)
            .filter_map(|(key, Shared(ledger))| {
                if ledger.lost == 0 {
                    return None;
                }
                let before = told.insert(key, ledger.lost).unwrap_or(0);
                // Less than before is another process, or an entry that was begun anew.
                let since = match ledger.lost.checked_sub(before) {
                    Some(since) => since,
                    None => ledger.lost,
                };
                (since > 0).then_some((ledger_process(key), since))
            })
            .collect()
    }

    /// Records that a process lost since they were last asked for. It has ended: its number may be
    /// another's from now on.
    pub fn settle(&mut self, tgid: u32) -> u64 {
        let lost = (0..self.shards).map(|shard| {
            let key = ledger_key(tgid, shard);
            let lost = self.ledgers.get(&key, 0).map_or(0, |Shared(it)| it.lost);
            let _: Result<(), _> = self.ledgers.remove(&key);
            lost.saturating_sub(self.told.remove(&key).unwrap_or(0))
        });
        lost.sum()
    }
}
