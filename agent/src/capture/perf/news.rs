//! Fetches news that came up in an interrupt, or in a process that ends, and that no system call
//! told: the kernel side leaves them in a map (`agent-ebpf/src/maps/outbox.rs`).

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use wirespan_common::legacy;
use wirespan_common::legacy::{NEWS_MAX, NewsKey};
use zerocopy::IntoBytes as _;

use super::sample::records;
use crate::capture::StartError;
use crate::capture::object::Shared;

/// A handle to the map.
pub struct StateNews {
    map: HashMap<MapData, Shared<NewsKey>, Shared<legacy::NewsRecord>>,
}

impl StateNews {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, StartError> {
        Ok(Self {
            map: crate::capture::take_map(ebpf, "NEWS")?,
        })
    }

    /// Takes out what is there, and hands each record to `take`.
    pub fn sweep(&mut self, mut take: impl FnMut(&[u8])) {
        let keys = self.map.keys().map_while(Result::ok);
        let keys: Vec<_> = keys.take(NEWS_MAX as usize).collect();
        for key in keys {
            let Ok(Shared(news)) = self.map.get(&key, 0) else {
                continue;
            };
            // Who takes it out tells it: a system call may have ended meanwhile.
            if self.map.remove(&key).is_ok() {
                records(news.record.as_bytes(), &mut take);
            }
        }
    }
}
