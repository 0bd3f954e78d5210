//! Where shards leave what other nodes are to be told or asked, without waiting for whoever takes
//! it. What does not fit is kept until there is room, and of too much the oldest is forgotten.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::tally::PeerEvent;
use crate::health::Health;
use crate::links::ForPeers;

/// Batches that wait to be taken.
const BATCHES_MAX: usize = 256;
/// What is kept for lack of room.
const KEPT_MAX: usize = 32 * 1024;
/// How often something is left, unless there is much: who takes it is woken by it, and so is who is
/// asked, which takes as much as a hundred questions do. Spans wait for longer anyway.
const LEFT_EVERY: Duration = Duration::from_millis(25);
const MUCH: usize = 1024;

/// What a shard left at once.
#[derive(Debug)]
pub struct ShardBatch {
    /// Which shard.
    pub shard: u8,
    /// In order.
    pub what: Vec<ForPeers>,
}

/// One shard's way to those who ask.
#[derive(Debug)]
pub struct PeersDoor {
    shard: u8,
    to: mpsc::Sender<ShardBatch>,
    kept: VecDeque<ForPeers>,
    left_at: Instant,
    health: Arc<Health>,
}

/// The first shard's way, and its other end.
#[must_use]
pub fn door(health: &Arc<Health>) -> (PeersDoor, mpsc::Receiver<ShardBatch>) {
    let (to, batches) = mpsc::channel(BATCHES_MAX);
    let door = PeersDoor {
        shard: 0,
        to,
        kept: VecDeque::new(),
        left_at: Instant::now(),
        health: Arc::clone(health),
    };
    (door, batches)
}

impl PeersDoor {
    /// That of another shard.
    #[must_use]
    pub fn of_shard(&self, shard: u8) -> Self {
        Self {
            shard,
            to: self.to.clone(),
            kept: VecDeque::new(),
            left_at: Instant::now(),
            health: Arc::clone(&self.health),
        }
    }

    /// Whether something is still to be left.
    #[must_use]
    pub fn keeps_something(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Leaves all of this, if it is time, or else with the next call.
    pub fn leave(&mut self, what: impl Iterator<Item = ForPeers>) {
        self.kept.extend(what);
        if !self.kept.is_empty() {
            self.leave_at(Instant::now());
        }
    }

    /// The same of what is kept, at a time.
    fn leave_at(&mut self, now: Instant) {
        let is_due = now.duration_since(self.left_at) >= LEFT_EVERY;
        if !is_due && self.kept.len() < MUCH {
            return;
        }
        self.left_at = now;
        let batch = ShardBatch {
            shard: self.shard,
            what: std::mem::take(&mut self.kept).into(),
        };
        // If nobody takes it any more, the run is over.
        if let Err(TrySendError::Full(batch)) = self.to.try_send(batch) {
            self.kept = batch.what.into();
            let too_many = self.kept.len().saturating_sub(KEPT_MAX);
            if too_many > 0 {
                self.kept.drain(..too_many);
                self.health.asking.count_many(PeerEvent::Overrun, too_many);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_room_waits_with_what_it_has_and_not_with_its_thread() {
        let health = Arc::new(Health::default());
        let (mut door, mut batches) = door(&health);
        let has = |it: usize| ForPeers::Has(std::net::Ipv4Addr::from(it as u32).into());
        let all = BATCHES_MAX * MUCH + KEPT_MAX + 3;
        for number in 0..all {
            door.kept.push_back(has(number));
            door.leave_at(door.left_at);
        }
        assert_eq!(health.asking.events(PeerEvent::Overrun), 3);
        for number in 0..BATCHES_MAX {
            let batch = batches.try_recv().expect("one");
            assert_eq!(batch.what[0], has(number * MUCH));
        }
        door.leave_at(door.left_at);
        let batch = batches.try_recv().expect("the rest");
        assert_eq!(batch.what.len(), KEPT_MAX);
        assert_eq!(batch.what.last(), Some(&has(all - 1)));
    }
}
