//! What a process holds in the kernel's eBPF, and whether that is gone after it: programs, maps and
//! links, by the numbers that the kernel tells of each descriptor.

use std::collections::BTreeSet;

use crate::workload::eventually;

/// Numbers of eBPF objects.
#[derive(Debug, Default)]
pub struct Held {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

impl Held {
    /// Whatever that process has descriptors of.
    #[must_use]
    pub fn by(pid: u32) -> Self {
        let mut held = Self::default();
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fdinfo"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let info = std::fs::read_to_string(descriptor.path()).unwrap_or_default();
            let number = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|number| number.trim().parse::<u32>().ok())
            };
            // A link's descriptor names its program too.
            held.links.extend(number("link_id:"));
            held.programs.extend(number("prog_id:"));
            held.maps.extend(number("map_id:"));
        }
        held
    }

    /// Waits until the kernel has none of them any more: it frees them a moment after the last
    /// descriptor was closed.
    ///
    /// # Panics
    /// Some stay, or there were none to begin with.
    pub fn assert_gone(&self) {
        assert!(
            !self.programs.is_empty() && !self.maps.is_empty(),
            "the daemon held nothing to begin with: {self:?}"
        );
        eventually(
            "the daemon's programs, maps and links to leave the kernel",
            || {
                let mut programs = aya::programs::loaded_programs().flatten();
                let mut maps = aya::maps::loaded_maps().flatten();
                let mut links = aya::programs::loaded_links().flatten();
                !programs.any(|program| self.programs.contains(&program.id()))
                    && !maps.any(|map| self.maps.contains(&map.id()))
                    && !links.any(|link| self.links.contains(&link.id()))
            },
        );
    }
}
