//! The kernel side's own counters of what it could not deliver. It only reads them.

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use wirespan_common::loss::KernelLoss;

use super::StartError;

/// Handle to the kernel side's `LOSSES` map.
pub struct KernelLosses {
    counters: PerCpuArray<MapData, u64>,
}

impl KernelLosses {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            counters: super::take_map(ebpf, "LOSSES")?,
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
}
