//! What was carried and what was declined, by reason, as the programs count it. It only reads.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;

use aya::maps::{Map, MapData, PerCpuArray};
use wirespan_common::carriers::Carried;

use crate::capture::reason::one_line;

/// Handle to the map, and what it held when counting began.
pub struct CarriedCounts {
    counters: PerCpuArray<MapData, u64>,
    before: Vec<u64>,
}

impl CarriedCounts {
    /// Counts from now on.
    ///
    /// # Errors
    /// The map is not among these, or can't be read.
    pub fn from_now(maps: &HashMap<String, OwnedFd>) -> Result<Self, String> {
        let map = maps.get("CARRIED").ok_or("the object has no map CARRIED")?;
        let map = map.try_clone().map_err(|error| error.to_string())?;
        let map = MapData::from_fd(map).map_err(|error| one_line(&error))?;
        let counters = PerCpuArray::try_from(Map::PerCpuArray(map));
        let counters = counters.map_err(|error| one_line(&error))?;
        let mut counts = Self {
            counters,
            before: vec![0; Carried::ALL.len()],
        };
        counts.before = counts.since().map(|(_, count)| count).collect();
        Ok(counts)
    }

    /// How often each was done since.
    pub fn since(&self) -> impl Iterator<Item = (Carried, u64)> + '_ {
        Carried::ALL
            .into_iter()
            .zip(&self.before)
            .map(|(what, before)| {
                let total = self.counters.get(&(what as u32), 0);
                let total: u64 = total.map_or(0, |each| each.iter().sum());
                (what, total.saturating_sub(*before))
            })
    }
}

/// Those that happened, in words.
impl fmt::Display for CarriedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for (what, count) in self.since().filter(|(_, count)| *count > 0) {
            let comma = if is_first { "" } else { ", " };
            write!(f, "{comma}{count} {}", in_words(what))?;
            is_first = false;
        }
        if is_first {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

fn in_words(what: Carried) -> &'static str {
    match what {
        Carried::Enrolled => "connections enrolled",
        Carried::Inserted => "requests with a field",
        Carried::NoContext => "requests of which it is not known for whom they are made",
        Carried::HasContext => "requests that name a trace already",
        Carried::HeadTooLong => "heads too long",
        Carried::Unknown => "connections with something else than HTTP",
        Carried::Unbounded => "connections whose bodies have no length, or that change protocol",
        Carried::SplitEnd => "heads whose end was sent in two parts",
        Carried::NoMemory => "times no memory in the kernel",
        Carried::Refused => "messages refused",
        Carried::PublicPeer => "connections to public addresses",
        Carried::Full => "connections without room",
        Carried::EarlyBytes => "connections that had sent before",
        Carried::UnknownHead => "requests that were read and are not understood",
        Carried::ZeroCopy => "connections that may send without copying",
        Carried::Multipath => "connections of Multipath TCP",
        Carried::NotChosen => "connections of processes that were not chosen",
        Carried::Literal => "requests of HTTP/2 with a field",
        Carried::SplitBlock => "connections of HTTP/2 whose fields came in parts",
        Carried::NamesTraces => "connections of HTTP/2 on which traces are named already",
        Carried::OptionConnection => "connections that carry by the TCP option",
        Carried::Optioned => "requests with the TCP option",
        Carried::NoOptionRoom => "segments without room for the TCP option",
        Carried::OptionRead => "TCP options that came",
        Carried::OptionIgnored => "TCP options that can't be ours",
        Carried::FastOpen => "connections that sent something as they were opened",
    }
}
