//! Connections that have become unfit to be enrolled, as the programs name them: they are left
//! alone at once, and taken out here, because no program may.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aya::maps::{HashMap as KernelMap, Map, MapData};

use crate::capture::reason::one_line;

/// How often they are looked for.
const EVERY: Duration = Duration::from_millis(200);

/// Handle to the map that they are named in.
pub struct UnfitConnections {
    named: KernelMap<MapData, u64, u8>,
    look_at: Option<Instant>,
}

impl UnfitConnections {
    /// Those that are named from now on.
    ///
    /// # Errors
    /// The map is not among these, or can't be had.
    pub fn of(maps: &HashMap<String, OwnedFd>) -> Result<Self, String> {
        let map = maps.get("LEAVING").ok_or("the object has no map LEAVING")?;
        let map = map.try_clone().map_err(|error| error.to_string())?;
        let map = MapData::from_fd(map).map_err(|error| one_line(&error))?;
        let named = KernelMap::try_from(Map::LruHashMap(map)).map_err(|error| one_line(&error))?;
        Ok(Self {
            named,
            look_at: None,
        })
    }

    /// Has each that was named taken out by `release`, if it is time to look.
    pub fn turn(&mut self, now: Instant, release: impl Fn(u64)) {
        if self.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_at = Some(now + EVERY);
        let cookies: Vec<u64> = self.named.keys().filter_map(Result::ok).collect();
        for cookie in cookies {
            release(cookie);
            // It gives way by itself otherwise.
            let _: Result<(), _> = self.named.remove(&cookie);
        }
    }
}
