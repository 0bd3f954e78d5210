//! Processor time as the kernel counts it for each thread, which holds on a busy machine: what
//! others take of it falls on none of these. It measures nothing by itself.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Time of all threads that a process has, on a processor: the first number of
/// `/proc/<pid>/task/<tid>/schedstat` (Documentation/scheduler/sched-stats.rst), in nanoseconds.
pub fn cpu_of(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).context(folder)?;
    let mut all = 0;
    for thread in threads {
        // One that ends meanwhile has no more to say.
        let told = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        all += on_processor(&told).unwrap_or(0);
    }
    Ok(Duration::from_nanos(all))
}

/// The same of several processes.
pub fn cpu_of_all(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| cpu_of(*pid)).sum()
}

/// A process and its children.
pub fn family(pid: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    Ok(std::iter::once(pid).chain(children).collect())
}

/// How much more the second one is, in per cent of the first.
pub fn more(without: f64, with: f64) -> f64 {
    100.0 * (with / without - 1.0)
}

/// Microseconds of each of `count`.
pub fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

fn on_processor(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_time_on_a_processor() {
        assert_eq!(on_processor("3456789 12 7\n"), Some(3_456_789));
        assert_eq!(on_processor(""), None);
    }

    #[test]
    fn more_is_in_per_cent_of_what_it_is_without() {
        assert!((more(50.0, 55.0) - 10.0).abs() < 1e-9);
    }
}
