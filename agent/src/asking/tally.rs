//! What happens between agents, by what it is. It decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum PeerEvent {
    /// Another agent was told where a call of this node stands.
    Told,
    /// It was told that nobody here knows, or tells.
    NotKnown,
    /// The same, because too many of its questions wait.
    TooMany,
    /// A question was asked of nobody: too many are open, or were for everybody.
    NotAsked,
    /// What shards had to say came faster than it could be taken.
    Overrun,
    /// Nobody answered where an agent should be.
    Unreachable,
    /// A connection that did not become a stream: TLS refused it, or was refused.
    Handshake,
    /// The same: the other end does not know the secret.
    Unproven,
    /// A stream that was cut off, because what was said on it is not allowed.
    Malformed,
    /// The same: an answer without a question.
    Unasked,
    /// The same: the other end said nothing for too long, or read nothing.
    Silent,
    /// A connection that was closed because there were too many.
    Crowded,
}

impl PeerEvent {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::Told,
        Self::NotKnown,
        Self::TooMany,
        Self::NotAsked,
        Self::Overrun,
        Self::Unreachable,
        Self::Handshake,
        Self::Unproven,
        Self::Malformed,
        Self::Unasked,
        Self::Silent,
        Self::Crowded,
    ];

    /// As it stands in the summary and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::NotKnown => "not_known",
            Self::TooMany => "too_many",
            Self::NotAsked => "not_asked",
            Self::Overrun => "overrun",
            Self::Unreachable => "unreachable",
            Self::Handshake => "handshake",
            Self::Unproven => "unproven",
            Self::Malformed => "malformed",
            Self::Unasked => "unasked",
            Self::Silent => "silent",
            Self::Crowded => "crowded",
        }
    }
}

/// What was counted since it was last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskingTally([u32; PeerEvent::ALL.len()]);

impl AskingTally {
    /// It happened so often.
    pub fn count(&mut self, event: PeerEvent, count: u32) {
        self.0[event as usize] += count;
    }
}

/// The same for all threads, since the beginning, and how things are.
#[derive(Debug, Default)]
pub struct AskingCounts {
    events: [AtomicU64; PeerEvent::ALL.len()],
    streams: AtomicU64,
    bytes: [AtomicU64; 2],
}

impl AskingCounts {
    /// Adds what was counted.
    pub fn add(&self, tally: &AskingTally) {
        for (to, count) in self.events.iter().zip(tally.0) {
            if count > 0 {
                to.fetch_add(u64::from(count), Ordering::Relaxed);
            }
        }
    }

    /// It happened so often.
    pub fn count_many(&self, event: PeerEvent, count: usize) {
        self.events[event as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// It happened once.
    pub fn count(&self, event: PeerEvent) {
        self.events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn events(&self, event: PeerEvent) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// So many agents are connected.
    pub fn set_streams(&self, count: usize) {
        self.streams.store(count as u64, Ordering::Relaxed);
    }

    /// How many are connected.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// So many bytes were read, or written, within TLS.
    pub fn moved(&self, is_written: bool, bytes: usize) {
        self.bytes[usize::from(is_written)].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes read and written so far, within TLS.
    #[must_use]
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|way| self.bytes[way].load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_stand_in_their_places() {
        let counts = AskingCounts::default();
        for (place, event) in PeerEvent::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, place, "{}", event.name());
            counts.count(event);
            assert_eq!(counts.events(event), 1);
        }
    }
}
