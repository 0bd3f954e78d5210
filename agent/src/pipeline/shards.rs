//! Several pipelines, one for each shard, that know nothing of each other: what one record says
//! goes through one of them, by the shard that it is for. A live run has one in each thread; a
//! replay takes the records of all of them as they come.

use std::sync::Arc;

use wirespan_common::record::Record;
use wirespan_common::shard::SHARDS_MAX;

use super::{Pipeline, PipelineConfig};
use crate::health::{Health, Loss};
use crate::outlet::Outlet;

/// An odd number near 2^64 divided by the golden ratio: multiples of it are far from each other.
const FAR: u64 = 0x9e37_79b9_7f4a_7c15;

impl PipelineConfig {
    /// What the pipeline of one of `shards` shards is told. Ids of none are given out by another,
    /// with or without a seed, and the first one's are those that there would be without others.
    #[must_use]
    pub fn of_shard(&self, shard: u8, shards: u8) -> Self {
        let apart = FAR.wrapping_mul(shard.into());
        Self {
            seed: self.seed.map(|seed| seed ^ apart),
            memory: self.memory.divided(shards.into()),
            ..self.clone()
        }
    }
}

/// The pipelines of a recording, begun as their shards are met.
#[derive(Debug)]
pub struct Pipelines {
    config: PipelineConfig,
    health: Arc<Health>,
    shards: Vec<Pipeline>,
}

impl Pipelines {
    /// Those of as many shards as there will be; none has seen anything.
    #[must_use]
    pub fn new(config: PipelineConfig, health: Arc<Health>) -> Self {
        let first = Pipeline::new(config.clone(), Arc::clone(&health));
        Self {
            config,
            health,
            shards: vec![first],
        }
    }

    /// Takes one record, as [`Pipeline::record`] does. One of a shard that can't be is counted.
    pub fn record(&mut self, record: &Record<'_>, out: &mut dyn Outlet) {
        let shard = usize::from(record.shard);
        if shard >= self.shards.len() && !self.begin(record.shard) {
            return self.health.lose(Loss::Undecodable, 1);
        }
        if let Some(pipeline) = self.shards.get_mut(shard) {
            pipeline.record(record, out);
        }
    }

    /// There will be no more records; see [`Pipeline::finish`].
    pub fn finish(&mut self, out: &mut dyn Outlet) {
        for pipeline in &mut self.shards {
            pipeline.finish(out);
        }
    }

    /// Discards what the kernel side should be told.
    pub fn tell_nobody(&mut self) {
        for pipeline in &mut self.shards {
            drop(pipeline.drain_to_kernel());
        }
    }

    /// The pipeline of a shard that is there.
    #[must_use]
    pub fn of(&self, shard: u8) -> Option<&Pipeline> {
        self.shards.get(usize::from(shard))
    }

    /// Begins those up to this shard's. Memory is divided among more from here on.
    #[cold]
    fn begin(&mut self, shard: u8) -> bool {
        if usize::from(shard) >= SHARDS_MAX {
            return false;
        }
        let shards = shard + 1;
        for pipeline in &mut self.shards {
            pipeline.memory = self.config.memory.divided(shards.into());
        }
        for new in self.shards.len() as u8..shards {
            let config = self.config.of_shard(new, shards);
            let pipeline = Pipeline::new(config, Arc::clone(&self.health));
            self.shards.push(pipeline);
        }
        true
    }
}
