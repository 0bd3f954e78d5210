//! Connections that the kernel side neither copies nor tells of, by why, and what part of all is
//! followed.

use std::sync::atomic::{AtomicU64, Ordering};

use wirespan_common::sampling::{LeftAlone, LeftAloneCount};

use crate::governor::Share;

/// A counter for each reason, and the share.
#[derive(Debug, Default)]
pub(super) struct LeftAloneCounts {
    counts: [[AtomicU64; 2]; LeftAlone::ALL.len()],
    /// What is not followed, as a part of 1: the bits of an `f64`.
    not_followed: AtomicU64,
    /// CPU time of the daemon, in cores: the bits of an `f64`.
    cores: AtomicU64,
}

impl LeftAloneCounts {
    pub(super) fn set(&self, reason: LeftAlone, count: LeftAloneCount) {
        let [connections, bytes] = &self.counts[reason as usize];
        connections.store(count.connections, Ordering::Relaxed);
        bytes.store(count.bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self, reason: LeftAlone) -> LeftAloneCount {
        let [connections, bytes] = &self.counts[reason as usize];
        LeftAloneCount {
            connections: connections.load(Ordering::Relaxed),
            bytes: bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn set_following(&self, share: Share, cores: Option<f64>) {
        let not_followed = (1.0 - share.part()).to_bits();
        self.not_followed.store(not_followed, Ordering::Relaxed);
        let cores = cores.unwrap_or(0.0).to_bits();
        self.cores.store(cores, Ordering::Relaxed);
    }

    pub(super) fn followed(&self) -> f64 {
        1.0 - f64::from_bits(self.not_followed.load(Ordering::Relaxed))
    }

    pub(super) fn cores(&self) -> f64 {
        f64::from_bits(self.cores.load(Ordering::Relaxed))
    }
}
