//! How many connections are followed, so that the daemon takes no more CPU time than it may: from
//! how much it took to which share. It reads no clock, samples nothing and tells nobody.
//!
//! What it promises, at a load that stays the same: a share that was lowered is not raised again,
//! nor lowered after it was raised. Both aim at [`AIM`] of the limit, it is lowered only above the
//! limit and raised only below [`CALM`] of it, and CPU time grows by less than the share does,
//! because some of it is taken whatever is followed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::CpuLimit;

/// Over how long CPU time is looked at.
const WINDOW: Duration = Duration::from_secs(2);
/// How long it has to stay low before more connections are followed.
const CALM_FOR: Duration = Duration::from_secs(4);
/// What a changed share is to come to, as a part of the limit.
const AIM: f64 = 0.85;
/// Below this part of the limit more connections can be followed.
const CALM: f64 = 0.7;
/// No change is by more than this factor.
const STEP_MAX: f64 = 4.0;
/// With fewer records a second nothing is left out: it is not they that take the time.
const RECORDS_MIN: f64 = 200.0;
/// One of so many connections is followed in any case, so that there is something to see.
const SHARE_MIN: f64 = 1.0 / 1024.0;
/// Samples that are remembered; more come only from who asks too often.
const SAMPLES_MAX: usize = 1024;

/// Which part of all connections is followed: more than 0, and at most 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1.0);

    /// Whether some are left out.
    #[must_use]
    pub fn leaves_out(self) -> bool {
        self.0 < 1.0
    }

    /// As a part of 1.
    #[must_use]
    pub fn part(self) -> f64 {
        self.0
    }

    /// The number below which connections are left out
    /// ([`wirespan_common::sampling::is_left_out`]).
    #[must_use]
    pub fn left_out_below(self) -> u32 {
        // Saturates, and is 0 for all of them.
        ((1.0 - self.0) * 2f64.powi(32)) as u32
    }

    fn times(self, factor: f64) -> Self {
        Self((self.0 * factor).clamp(SHARE_MIN, 1.0))
    }
}

/// What the daemon came to since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// CPU time of all its threads, in user space and in the kernel.
    pub cpu: Duration,
    /// Records that it read.
    pub records: u64,
}

/// Another share from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareChange {
    /// The share until now.
    pub from: Share,
    /// The share from now on.
    pub to: Share,
    /// CPU time that was taken before, in cores.
    pub cores: f64,
}

#[derive(Clone, Copy, Debug)]
struct CpuSample {
    at: Duration,
    spent: Spending,
}

impl CpuSample {
    /// Cores and records a second from `earlier` on.
    fn rates_since(&self, earlier: &Self) -> (f64, f64) {
        let seconds = self.at.saturating_sub(earlier.at).as_secs_f64();
        let cpu = self.spent.cpu.saturating_sub(earlier.spent.cpu);
        let records = self.spent.records.saturating_sub(earlier.spent.records);
        (cpu.as_secs_f64() / seconds, records as f64 / seconds)
    }
}

/// Since when the load is low, and the most that it took since.
#[derive(Clone, Copy, Debug)]
struct CalmSpell {
    since: Duration,
    cores_max: f64,
}

/// Keeps the share.
#[derive(Debug)]
pub struct ShareController {
    limit: Option<CpuLimit>,
    share: Share,
    /// Since the share is what it is, oldest first; one is older than the window, if there is one.
    samples: VecDeque<CpuSample>,
    calm: Option<CalmSpell>,
    cores: Option<f64>,
}

impl ShareController {
    /// All connections are followed; `None` is no limit.
    #[must_use]
    pub fn new(limit: Option<CpuLimit>) -> Self {
        Self {
            limit,
            share: Share::ALL,
            samples: VecDeque::new(),
            calm: None,
            cores: None,
        }
    }

    /// The share at present.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }

    /// CPU time over the window, in cores, once it is known.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        self.cores
    }

    /// The limit is another one from now on.
    pub fn set_limit(&mut self, limit: Option<CpuLimit>) {
        if limit != self.limit {
            self.limit = limit;
            self.begin_anew();
        }
    }

    /// By `at`, on a clock that does not go back, the daemon had come to `spent`. What is to change
    /// because of that.
    pub fn observe(&mut self, at: Duration, spent: Spending) -> Option<ShareChange> {
        let now = CpuSample { at, spent };
        let is_old = |earlier: &CpuSample| at.saturating_sub(earlier.at) >= WINDOW;
        while self.samples.get(1).is_some_and(is_old) || self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        let oldest = self.samples.front().copied();
        self.samples.push_back(now);
        let Some(limit) = self.limit else {
            let cores = self.cores.take().unwrap_or(0.0);
            return self.change(Share::ALL, cores);
        };
        let (cores, records) = now.rates_since(&oldest.filter(is_old)?);
        self.cores = Some(cores);
        let limit = limit.cores();
        if cores > limit {
            self.calm = None;
            if records < RECORDS_MIN {
                return None;
            }
            let factor = (AIM * limit / cores).max(1.0 / STEP_MAX);
            return self.change(self.share.times(factor), cores);
        }
        if cores > CALM * limit || !self.share.leaves_out() {
            self.calm = None;
            return None;
        }
        let since = at.saturating_sub(WINDOW);
        let calm = self.calm.get_or_insert(CalmSpell {
            since,
            cores_max: cores,
        });
        calm.cores_max = calm.cores_max.max(cores);
        if at.saturating_sub(calm.since) < CALM_FOR {
            return None;
        }
        let factor = (AIM * limit / calm.cores_max).min(STEP_MAX);
        self.change(self.share.times(factor), cores)
    }

    fn change(&mut self, to: Share, cores: f64) -> Option<ShareChange> {
        let from = self.share;
        if to == from {
            return None;
        }
        self.share = to;
        self.begin_anew();
        Some(ShareChange { from, to, cores })
    }

    /// What was seen until now says nothing of what follows.
    fn begin_anew(&mut self) {
        let last = self.samples.pop_back();
        self.samples.clear();
        self.samples.extend(last);
        self.calm = None;
    }
}

#[cfg(test)]
mod tests;
