//! Who shares what is learnt of header compression: connections of one executable with one server,
//! by direction. It keeps the lore and knows nothing of what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_protocols::conversation::Direction;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::http2::hpack::Lore;

use crate::endpoints::Endpoints;

/// Pairs of programs, by direction, of which something is remembered. There are no more: who comes
/// later is told nothing, which is no loss of anything that was sent.
pub const LORES_MAX: usize = 1024;

/// Where the lore of a connection stands, by direction, once it was looked for.
pub type Places = [Option<u32>; 2];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    executable: PathBuf,
    role: Role,
    direction: Direction,
    server: (Arc<str>, Option<u16>),
    /// For servers, whose clients may be different programs: where those run.
    client: Option<Arc<str>>,
}

/// All that was learnt.
#[derive(Debug, Default)]
pub struct Lores {
    places: HashMap<Key, u32>,
    lores: Vec<Lore>,
}

impl Lores {
    /// Where the lore of such connections stands; `None` if there is no room for it, or if the
    /// server has no address.
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
        let key = Key {
            executable: executable.to_owned(),
            role,
            direction,
            server: (Arc::clone(server.address), server.port),
            client,
        };
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        if self.lores.len() >= LORES_MAX {
            return None;
        }
        let place = u32::try_from(self.lores.len()).ok()?;
        self.lores.push(Lore::new());
        self.places.insert(key, place);
        Some(place)
    }

    /// The lore in a place that was handed out.
    pub fn at(&mut self, place: u32) -> Option<&mut Lore> {
        self.lores.get_mut(place as usize)
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
        let mut lores = Lores::default();
        let mut place = |file: &str, peer: &str, direction| {
            lores.place(Path::new(file), &endpoints(peer), Role::Client, direction)
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
        let mut lores = Lores::default();
        for number in 0..LORES_MAX {
            let file = format!("/bin/{number}");
            let place =
                lores.place(Path::new(&file), &endpoints("10.0.0.2"), Role::Client, Direction::Egress);
            assert!(place.is_some());
        }
        let file = Path::new("/bin/late");
        let late = lores.place(file, &endpoints("10.0.0.2"), Role::Client, Direction::Egress);
        assert_eq!(late, None);
    }
}
