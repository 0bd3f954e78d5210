//! Whom to ask about a request: who answered for its connection before, else who says that the
//! address is one of his node's, else, if it is an address that networks translate into, everybody.
//! It knows streams by number and asks nobody.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use wirespan_protocols::heap;

/// A stream to another agent.
pub type StreamId = u64;

/// Addresses that one agent may say are its node's.
pub const ADDRESSES_MAX: usize = 4096;
/// Agents that may say so of the same address: the latest. Of more it says nothing, as those that
/// each node has for its containers.
const CLAIMS_MAX: usize = 4;
/// Connections of which it is remembered who answered.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// So many times nobody knew a connection, and only now and then is it asked for again: its client
/// is somewhere where nobody watches.
const MISSES_MAX: u8 = 2;
/// That is: at one of so many requests.
const TRIED_AGAIN: u8 = 32;

/// What is known of a connection's client.
#[derive(Clone, Copy, Debug, Default)]
struct ClientPlace {
    stream: Option<StreamId>,
    /// How often nobody knew it, up to [`MISSES_MAX`], and then requests that nobody was asked
    /// about.
    misses: u8,
}

/// What is known of where others are.
#[derive(Debug, Default)]
pub struct Routes {
    claims: HashMap<IpAddr, Vec<StreamId>>,
    /// How many addresses each says are its own.
    claimed: HashMap<StreamId, usize>,
    connections: HashMap<[u32; 2], ClientPlace>,
    order: VecDeque<[u32; 2]>,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// This one.
    To(StreamId),
    /// These.
    Among(Vec<StreamId>),
    /// All there are.
    Everybody,
    /// Nobody would know.
    Nobody,
}

impl Route {
    fn among(streams: &[StreamId]) -> Self {
        match streams {
            [stream] => Self::To(*stream),
            several => Self::Among(several.to_vec()),
        }
    }
}

impl Routes {
    /// An agent says that an address is one of its node's. Whether that was taken note of.
    pub fn claim(&mut self, address: IpAddr, stream: StreamId) -> bool {
        let count = self.claimed.entry(stream).or_default();
        let claims = self.claims.entry(address).or_default();
        if claims.contains(&stream) {
            return true;
        }
        if *count >= ADDRESSES_MAX {
            if claims.is_empty() {
                self.claims.remove(&address);
            }
            return false;
        }
        *count += 1;
        // One more than is believed tells that there are too many.
        if claims.len() > CLAIMS_MAX {
            claims.remove(0);
        }
        claims.push(stream);
        true
    }

    /// There is another agent, which may know what nobody knew before.
    pub fn join(&mut self) {
        let places = self.connections.values_mut();
        places.for_each(|place| place.misses = 0);
    }

    /// An agent is on another stream.
    pub fn move_to(&mut self, to_be_left: StreamId, to: StreamId) {
        let here = |stream: &mut StreamId| {
            if *stream == to_be_left {
                *stream = to;
            }
        };
        for claims in self.claims.values_mut() {
            if claims.contains(&to) {
                claims.retain(|it| *it != to_be_left);
            }
            claims.iter_mut().for_each(here);
        }
        self.claimed.remove(&to_be_left);
        let claims = self.claims.values().filter(|it| it.contains(&to));
        self.claimed.insert(to, claims.count());
        for place in self.connections.values_mut() {
            place.stream.iter_mut().for_each(here);
        }
    }

    /// An agent is gone, with all that it said.
    pub fn leave(&mut self, stream: StreamId) {
        self.claimed.remove(&stream);
        self.claims.retain(|_, claims| {
            claims.retain(|it| *it != stream);
            !claims.is_empty()
        });
        for place in self.connections.values_mut() {
            place.stream = place.stream.filter(|it| *it != stream);
        }
    }

    /// Whom to ask about a request on the connection that begins so, from this address.
    pub fn whom(&mut self, starts: [u32; 2], from: Option<IpAddr>) -> Route {
        let misses = match self.connections.get_mut(&starts) {
            None => 0,
            Some(ClientPlace {
                stream: Some(stream),
                ..
            }) => return Route::To(*stream),
            Some(place) if place.misses >= MISSES_MAX => {
                place.misses += 1;
                if place.misses < MISSES_MAX + TRIED_AGAIN {
                    return Route::Nobody;
                }
                place.misses = MISSES_MAX;
                0
            }
            Some(place) => place.misses,
        };
        let claims = from.and_then(|it| self.claims.get(&it));
        let claims = claims.filter(|it| it.len() <= CLAIMS_MAX);
        match claims {
            // Who has the address may be who translates into it.
            Some(claims) if misses == 0 => Route::among(claims),
            _ if from.is_none_or(is_translated) => Route::Everybody,
            Some(claims) => Route::among(claims),
            None => Route::Nobody,
        }
    }

    /// This one knew a connection's client.
    pub fn found(&mut self, starts: [u32; 2], stream: StreamId) {
        let place = self.connection(starts);
        *place = ClientPlace {
            stream: Some(stream),
            misses: 0,
        };
    }

    /// Nobody who was asked knew it.
    pub fn missed(&mut self, starts: [u32; 2]) {
        let place = self.connection(starts);
        if place.stream.is_none() {
            place.misses = (place.misses + 1).min(MISSES_MAX);
        }
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(IpAddr, Vec<StreamId>)>(self.claims.capacity())
            + self.claims.len() * heap::vec::<StreamId>(CLAIMS_MAX)
            + heap::table::<([u32; 2], ClientPlace)>(self.connections.capacity())
            + heap::vec::<[u32; 2]>(self.order.capacity())
    }

    fn connection(&mut self, starts: [u32; 2]) -> &mut ClientPlace {
        if !self.connections.contains_key(&starts) {
            if self.order.len() >= CONNECTIONS_MAX
                && let Some(first) = self.order.pop_front()
            {
                self.connections.remove(&first);
            }
            self.order.push_back(starts);
        }
        self.connections.entry(starts).or_default()
    }
}

/// Whether something on the way may put this address in place of a node's: those of private
/// networks (RFC 1918, RFC 6598, RFC 4193) and of links.
fn is_translated(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => {
            let [first, second, ..] = it.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            it.is_private() || it.is_link_local() || is_shared
        }
        IpAddr::V6(it) => it.is_unique_local() || it.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    const STARTS: [u32; 2] = [1, 2];

    #[test]
    fn who_answered_for_a_connection_is_asked_and_else_whose_address_it_is() {
        let mut routes = Routes::default();
        let from = ip("10.0.0.1");
        assert_eq!(routes.whom(STARTS, from), Route::Everybody);
        assert!(routes.claim(from.expect("one"), 7));
        assert!(routes.claim(from.expect("one"), 7), "it is");
        assert_eq!(routes.whom(STARTS, from), Route::To(7));
        routes.found(STARTS, 8);
        assert_eq!(routes.whom(STARTS, from), Route::To(8));
        assert_eq!(routes.whom([3, 4], from), Route::To(7));
        routes.leave(8);
        assert_eq!(routes.whom(STARTS, from), Route::To(7));
        routes.leave(7);
        assert_eq!(routes.whom(STARTS, from), Route::Everybody);
    }

    #[test]
    fn of_an_address_outside_nobody_is_asked_unless_it_is_a_nodes() {
        let mut routes = Routes::default();
        let outside = ip("192.0.2.1");
        assert_eq!(routes.whom(STARTS, outside), Route::Nobody);
        routes.claim(outside.expect("one"), 7);
        assert_eq!(routes.whom(STARTS, outside), Route::To(7));
        routes.missed(STARTS);
        assert_eq!(routes.whom(STARTS, outside), Route::To(7));
        for (text, route) in [
            ("100.64.0.1", Route::Everybody),
            ("100.128.0.1", Route::Nobody),
            ("fd00::1", Route::Everybody),
            ("2001:db8::1", Route::Nobody),
        ] {
            assert_eq!(routes.whom([5, 6], ip(text)), route, "{text}");
        }
    }

    #[test]
    fn a_connection_that_nobody_knows_is_asked_for_now_and_then() {
        let mut routes = Routes::default();
        let from = ip("10.0.0.1");
        routes.claim(from.expect("one"), 7);
        let mut asked = Vec::new();
        for _ in 0..100 {
            let route = routes.whom(STARTS, from);
            if route != Route::Nobody {
                routes.missed(STARTS);
                asked.push(route);
            }
        }
        let own = Route::To(7);
        assert_eq!(asked[..3], [own.clone(), Route::Everybody, own]);
        assert!((4..=6).contains(&asked.len()), "{asked:?}");
    }

    #[test]
    fn another_agent_may_know_what_nobody_knew() {
        let mut routes = Routes::default();
        for _ in 0..MISSES_MAX {
            routes.missed(STARTS);
        }
        assert_eq!(routes.whom(STARTS, ip("10.0.0.1")), Route::Nobody);
        routes.join();
        assert_eq!(routes.whom(STARTS, ip("10.0.0.1")), Route::Everybody);
    }

    #[test]
    fn an_address_that_many_have_says_nothing() {
        let mut routes = Routes::default();
        let bridge = ip("172.17.0.1");
        for stream in 0..=CLAIMS_MAX as u64 {
            routes.claim(bridge.expect("one"), stream);
        }
        assert_eq!(routes.whom(STARTS, bridge), Route::Everybody);
        routes.leave(0);
        let rest = (1..=CLAIMS_MAX as u64).collect();
        assert_eq!(routes.whom(STARTS, bridge), Route::Among(rest));
    }

    #[test]
    fn who_claims_everything_is_not_believed() {
        let mut routes = Routes::default();
        let all = 0..ADDRESSES_MAX as u32 + 1;
        let claimed = all.filter(|it| routes.claim(std::net::Ipv4Addr::from(*it).into(), 1));
        assert_eq!(claimed.count(), ADDRESSES_MAX);
        for connection in 0..2 * CONNECTIONS_MAX as u32 {
            routes.found([connection, 0], 1);
        }
        assert_eq!(routes.connections.len(), CONNECTIONS_MAX);
    }
}
