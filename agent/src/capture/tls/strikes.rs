//! How often probes on tasks were struck, as the kernel side counts it in each process's runtime.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use aya::maps::{HashMap as KernelHashMap, Map, MapData};
use wirespan_common::runtime::Runtime;

use crate::capture::object::Shared;

/// What is known of a process at one moment, since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// How often probes on its tasks were struck.
    pub strikes: u64,
    /// CPU time of all its threads.
    pub cpu: Duration,
}

/// The counts.
pub struct Strikes {
    runtimes: KernelHashMap<MapData, u32, Shared<Runtime>>,
}

impl Strikes {
    /// Those that these maps hold.
    ///
    /// # Errors
    /// There is no such map, or no further descriptor of it can be had.
    pub fn new(maps: &HashMap<String, OwnedFd>) -> std::io::Result<Self> {
        let map = maps.get("RUNTIMES").ok_or(std::io::ErrorKind::NotFound)?;
        let data = MapData::from_fd(map.as_fd().try_clone_to_owned()?);
        let data = data.map_err(std::io::Error::other)?;
        let runtimes = Map::HashMap(data).try_into();
        Ok(Self {
            runtimes: runtimes.map_err(std::io::Error::other)?,
        })
    }

    /// Those of a process; `None` if its tasks are not followed.
    pub fn of(&self, pid: u32) -> Option<u64> {
        let Shared(runtime) = self.runtimes.get(&pid, 0).ok()?;
        Some(runtime.strikes)
    }
}
