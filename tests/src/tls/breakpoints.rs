//! Breakpoints in the memory of a process: where the code that it runs is not that of the file.

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt as _;

use crate::workload::eventually;

/// What a probe is in memory.
const BREAKPOINT: u8 = 0xcc;

/// Offsets in the file of the breakpoints that stand in a process's code of the file whose name
/// ends so. `None` where the process does not map it, or where something else differs, as while it
/// becomes another program or its file is written to.
#[must_use]
pub fn breakpoints(pid: u32, name: &str) -> Option<Vec<u64>> {
    let maps = read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let code = maps.lines().find(|line| {
        let is_code = line
            .split(' ')
            .nth(1)
            .is_some_and(|rights| rights.contains('x'));
        is_code && line.trim_end_matches(" (deleted)").ends_with(name)
    })?;
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let mut fields = code.split(' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    let offset = hex(fields.nth(1)?)?;
    let mut stands = vec![0; (end - start) as usize];
    memory.read_exact_at(&mut stands, start).ok()?;
    let file = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}")).ok()?;
    let mut written = vec![0; stands.len()];
    let len = file.read_at(&mut written, offset).ok()?;
    let differ = (0..len).filter(|at| stands[*at] != written[*at]);
    differ
        .map(|at| (stands[at] == BREAKPOINT).then_some(offset + at as u64))
        .collect()
}

/// Waits for breakpoints in a process's code of the file whose name ends so.
///
/// # Panics
/// There are none in time.
pub fn wait_for_probes(pid: u32, name: &str) -> Vec<u64> {
    let mut found = Vec::new();
    eventually("there are probes", || {
        found = breakpoints(pid, name).unwrap_or_default();
        !found.is_empty()
    });
    found
}
