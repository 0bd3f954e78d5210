//! Addresses at which other agents should be, and when to try them. It connects to nobody.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::asking::frame::AgentName;
use crate::backoff::{Backoff, jittered};

/// Addresses that are tried: as many as there may be streams.
const TARGETS_MAX: usize = 1024;
/// Connections that come about at a time.
const UNDER_WAY_MAX: usize = 16;
/// How long it is believed that an address is this agent's own: who has it may change.
const ITSELF_FOR: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug)]
enum PeerTargetState {
    /// It is tried from then on.
    Due(Instant),
    /// It is being tried.
    UnderWay,
    /// This agent is there, and a stream to it is enough, whoever made that.
    Is(AgentName),
}

#[derive(Debug)]
struct PeerTarget {
    host: Arc<str>,
    /// Of those by which it was found.
    names: BTreeSet<usize>,
    state: PeerTargetState,
    backoff: Backoff,
}

/// All of them.
#[derive(Debug, Default)]
pub struct PeerTargets(HashMap<SocketAddr, PeerTarget>);

impl PeerTargets {
    /// The name with this number, which is this host's, stands for these addresses now.
    pub fn resolved(&mut self, name: usize, host: &str, found: &[SocketAddr]) {
        let host: Arc<str> = host.into();
        for address in found {
            if self.0.len() >= TARGETS_MAX && !self.0.contains_key(address) {
                continue;
            }
            let target = self.0.entry(*address).or_insert_with(|| PeerTarget {
                host: Arc::clone(&host),
                names: BTreeSet::new(),
                state: PeerTargetState::Due(Instant::now()),
                backoff: Backoff::default(),
            });
            target.names.insert(name);
        }
        self.0.retain(|address, target| {
            if !found.contains(address) {
                target.names.remove(&name);
            }
            !target.names.is_empty()
        });
    }

    /// Those to be tried now, by address and name; `is_there` tells whether there is a stream to an
    /// agent. They are under way from then on.
    pub fn due(&mut self, is_there: impl Fn(&AgentName) -> bool) -> Vec<(SocketAddr, Arc<str>)> {
        let now = Instant::now();
        let is_under_way = |it: &&PeerTarget| matches!(it.state, PeerTargetState::UnderWay);
        let mut room = UNDER_WAY_MAX.saturating_sub(self.0.values().filter(is_under_way).count());
        let mut due = Vec::new();
        for (address, target) in &mut self.0 {
            if let PeerTargetState::Is(name) = target.state
                && !is_there(&name)
            {
                // It ended; whoever has more to do with that than this end comes back first.
                target.state = PeerTargetState::Due(now + target.backoff.failed());
            }
            if room > 0
                && let PeerTargetState::Due(at) = target.state
                && at <= now
            {
                room -= 1;
                target.state = PeerTargetState::UnderWay;
                due.push((*address, Arc::clone(&target.host)));
            }
        }
        due
    }

    /// This agent is there.
    pub fn is(&mut self, address: SocketAddr, name: AgentName) {
        if let Some(target) = self.0.get_mut(&address) {
            target.state = PeerTargetState::Is(name);
            target.backoff.succeeded();
        }
    }

    /// That is where this agent itself is.
    pub fn is_itself(&mut self, address: SocketAddr) {
        if let Some(target) = self.0.get_mut(&address) {
            target.state = PeerTargetState::Due(Instant::now() + jittered(ITSELF_FOR));
        }
    }

    /// No stream came about there, or one was cut off; whether that is news.
    pub fn failed(&mut self, address: SocketAddr) -> bool {
        let Some(target) = self.0.get_mut(&address) else {
            return false;
        };
        let is_first = target.backoff.is_fresh();
        target.state = PeerTargetState::Due(Instant::now() + target.backoff.failed());
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    #[test]
    fn what_a_name_stands_for_is_tried_until_it_stands_for_something_else() {
        let mut targets = PeerTargets::default();
        targets.resolved(0, "a", &[at(1), at(2)]);
        targets.resolved(1, "b", &[at(2)]);
        let nobody = |_: &AgentName| false;
        assert_eq!(targets.due(nobody).len(), 2);
        assert!(targets.due(nobody).is_empty(), "they are under way");
        targets.is(at(1), [1; 16]);
        assert!(targets.due(|name| *name == [1; 16]).is_empty());
        assert!(targets.failed(at(2)));
        assert!(!targets.failed(at(2)), "it was told");
        targets.resolved(0, "a", &[]);
        assert_eq!(targets.0.keys().copied().collect::<Vec<_>>(), [at(2)]);
        targets.resolved(1, "b", &[]);
        assert!(targets.0.is_empty());
        assert!(!targets.failed(at(2)), "nobody asks for it");
    }

    #[test]
    fn only_so_many_are_tried_at_a_time_and_are_there_at_all() {
        let mut targets = PeerTargets::default();
        let all: Vec<_> = (1..3000).map(at).collect();
        targets.resolved(0, "a", &all);
        assert_eq!(targets.0.len(), TARGETS_MAX);
        assert_eq!(targets.due(|_| false).len(), UNDER_WAY_MAX);
        assert!(targets.due(|_| false).is_empty());
    }
}
