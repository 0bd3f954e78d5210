//! Who shares what is learnt from each other: connections of one executable with one server,
//! by direction. It keeps what was learnt and knows nothing of what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_protocols::conversation::Direction;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;
use wirespan_protocols::learnt::Learnt;

use crate::endpoints::Endpoints;

/// Pairs of programs, by direction, of which something is remembered. There are no more: who comes
/// later is told nothing, which is no loss of anything that was sent.
pub const LEARNT_MAX: usize = 1024;

/// Where what was learnt by a connection stands, by direction, once it was looked for.
pub type Places = [Option<u32>; 2];

#[derive(Debug, PartialEq, Eq, Hash)]
struct LearntKey {
    executable: PathBuf,
    role: Role,
    direction: Direction,
    server: (Arc<str>, Option<u16>),
    /// For servers, whose clients may be different programs: where those run.
    client: Option<Arc<str>>,
}

/// All that was learnt.
#[derive(Debug)]
pub struct LearntStore {
    bytes_max: usize,
    places: HashMap<LearntKey, u32>,
    pairs: Vec<Weighed>,
    /// Of what was learnt, but for what was learnt since they were weighed, and of the keys.
    bytes: usize,
    /// Handed out since it was weighed.
    in_use: Option<u32>,
}

#[derive(Debug)]
struct Weighed {
    learnt: Learnt,
    bytes: usize,
}

impl LearntKey {
    fn heap_bytes(&self) -> usize {
        let client = self.client.as_ref();
        heap::block(self.executable.as_os_str().len())
            + heap::shared(self.server.0.len())
            + heap::remembered(client)
    }
}

impl LearntStore {
    /// Nothing was learnt yet, and no more than `bytes_max` of memory will be taken by it.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            places: HashMap::new(),
            pairs: Vec::new(),
            bytes: 0,
            in_use: None,
        }
    }

    /// It may take so many bytes of memory from now on.
    pub fn bound(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes
            + heap::table::<(LearntKey, u32)>(self.places.capacity())
            + heap::vec::<Weighed>(self.pairs.capacity())
    }

    /// Keeps the bound, after something may have been learnt: the largest are forgotten first.
    /// Returns how many were.
    pub fn settle(&mut self) -> u64 {
        self.weigh();
        let mut forgotten = 0;
        while self.bytes > self.bytes_max {
            let largest = self.pairs.iter_mut().max_by_key(|it| it.bytes);
            let Some(largest) = largest.filter(|it| it.bytes > 0) else {
                break;
            };
            largest.learnt.forget();
            self.bytes -= std::mem::take(&mut largest.bytes);
            forgotten += 1;
        }
        forgotten
    }

    /// Counts what was learnt by the one that was handed out.
    fn weigh(&mut self) {
        if let Some(place) = self.in_use.take()
            && let Some(used) = self.pairs.get_mut(place as usize)
        {
            let bytes = used.learnt.heap_bytes();
            self.bytes = self.bytes - std::mem::replace(&mut used.bytes, bytes) + bytes;
        }
    }

    /// Where what was learnt by such connections stands; `None` if there is no room for it, or if
    /// the server has no address.
    pub fn place(
        &mut self,
        executable: &Path,
        endpoints: &Endpoints,
        role: Role,
        direction: Direction,
    ) -> Option<u32> {
        let server = endpoints.server(role)?;
        let client = match role {
            Role::Server => endpoints.peer(role).map(|peer| Arc::clone(peer.address)),
            Role::Client => None,
        };
        let key = LearntKey {
            executable: executable.to_owned(),
            role,
            direction,
            server: (Arc::clone(server.address), server.port),
            client,
        };
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        let bytes = key.heap_bytes();
        if self.pairs.len() >= LEARNT_MAX || self.memory_bytes() + bytes > self.bytes_max {
            return None;
        }
        self.bytes += bytes;
        let place = u32::try_from(self.pairs.len()).ok()?;
        self.pairs.push(Weighed {
            learnt: Learnt::default(),
            bytes: 0,
        });
        self.places.insert(key, place);
        Some(place)
    }

    /// What was learnt, in a place that was handed out.
    pub fn at(&mut self, place: u32) -> Option<&mut Learnt> {
        // Connections take turns, each with its own.
        if self.in_use != Some(place) {
            self.weigh();
            self.in_use = Some(place);
        }
        Some(&mut self.pairs.get_mut(place as usize)?.learnt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(peer: &str) -> Endpoints {
        Endpoints::Ip {
            local: Some(("10.0.0.1".into(), 40_000)),
            peer: Some((peer.into(), 50_051)),
        }
    }

    #[test]
    fn connections_of_one_program_to_one_server_share_what_they_learn() {
        let mut learnt = LearntStore::new(1 << 20);
        let mut place = |file: &str, peer: &str, direction| {
            learnt.place(Path::new(file), &endpoints(peer), Role::Client, direction)
        };
        let first = place("/bin/shop", "10.0.0.2", Direction::Egress);
        assert!(first.is_some());
        assert_eq!(place("/bin/shop", "10.0.0.2", Direction::Egress), first);
        assert_ne!(place("/bin/shop", "10.0.0.2", Direction::Ingress), first);
        assert_ne!(place("/bin/cart", "10.0.0.2", Direction::Egress), first);
        assert_ne!(place("/bin/shop", "10.0.0.3", Direction::Egress), first);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut learnt = LearntStore::new(usize::MAX);
        for number in 0..LEARNT_MAX {
            let file = format!("/bin/{number}");
            let place = learnt.place(
                Path::new(&file),
                &endpoints("10.0.0.2"),
                Role::Client,
                Direction::Egress,
            );
            assert!(place.is_some());
        }
        let file = Path::new("/bin/late");
        let late = learnt.place(
            file,
            &endpoints("10.0.0.2"),
            Role::Client,
            Direction::Egress,
        );
        assert_eq!(late, None);
    }
}
