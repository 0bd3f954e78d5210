//! Which connections the kernel side leaves out, and what it counts of those that it leaves alone.
//! It decides on none.

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use wirespan_common::sampling::{LeftAlone, LeftAloneCount};

use super::StartError;
use super::object::Shared;
use super::reason::one_line;

/// Handles to the kernel side's maps `SAMPLING` and `LEFT_ALONE`.
pub struct ConnectionSampling {
    below: Array<MapData, u32>,
    counts: PerCpuArray<MapData, Shared<LeftAloneCount>>,
}

impl ConnectionSampling {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            below: super::take_map(ebpf, "SAMPLING")?,
            counts: super::take_map(ebpf, "LEFT_ALONE")?,
        })
    }

    /// New connections whose number is below this one are left out from now on, and those that were
    /// and are not any more are followed from their next turn on.
    ///
    /// # Errors
    /// What the kernel said, in one line.
    pub fn leave_out_below(&mut self, below: u32) -> Result<(), String> {
        self.below
            .set(0, below, 0)
            .map_err(|error| one_line(&error))
    }

    /// What was left alone so far, over all processors.
    pub fn left_alone(&self) -> [(LeftAlone, LeftAloneCount); LeftAlone::ALL.len()] {
        LeftAlone::ALL.map(|reason| {
            let mut total = LeftAloneCount::default();
            if let Ok(per_cpu) = self.counts.get(&(reason as u32), 0) {
                for Shared(count) in per_cpu.iter() {
                    total.connections += count.connections;
                    total.bytes += count.bytes;
                }
            }
            (reason, total)
        })
    }
}
