//! The service at the other end of a connection, by its address, as a cluster tells who has which.
//!
//! An address that changed hands names nobody in what began before: the right one, or none.

use std::sync::Arc;

use hashbrown::HashMap;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;

use super::{Ends, Value};
use crate::kubernetes::PEERS_MAX;
use crate::kubernetes::peer::{Peer, PeerChange};
use crate::semconv;

/// See the module.
#[derive(Debug, Default)]
pub struct PeerNames {
    behind: HashMap<Box<str>, Behind>,
    /// Of all texts in it.
    text_bytes: usize,
}

/// Who is behind an address.
#[derive(Debug)]
struct Behind {
    /// Nobody, as far as is known: it was somebody's.
    who: Option<(Arc<str>, Option<Arc<str>>)>,
    /// From when on; 0 of the first who had it.
    since_ns: u64,
}

impl PeerNames {
    /// Takes in what changed at `time_ns`.
    pub fn change(&mut self, changes: Vec<PeerChange>, time_ns: u64) {
        for PeerChange { address, peer } in changes {
            let address = address.to_string().into_boxed_str();
            let named = |peer: &Peer| {
                let namespace = peer.namespace.as_deref().map(Arc::from);
                (!peer.name.is_empty()).then(|| (Arc::from(&*peer.name), namespace))
            };
            let who = peer.as_deref().and_then(named);
            match self.behind.get_mut(&address) {
                // Nothing that is told has changed.
                Some(behind) if behind.who == who => {}
                Some(behind) => {
                    self.text_bytes -= behind.text_bytes();
                    behind.who = who;
                    behind.since_ns = time_ns;
                    self.text_bytes += behind.text_bytes();
                }
                None if who.is_none() => {}
                None => {
                    if self.behind.len() >= 2 * PEERS_MAX {
                        self.forget_nobodys();
                    }
                    let behind = Behind { who, since_ns: 0 };
                    self.text_bytes += behind.text_bytes() + heap::block(address.len());
                    self.behind.insert(address, behind);
                }
            }
        }
    }

    /// Forgets addresses that were somebody's.
    fn forget_nobodys(&mut self) {
        let text_bytes = &mut self.text_bytes;
        self.behind.retain(|address, behind| {
            let is_somebodys = behind.who.is_some();
            if !is_somebodys {
                *text_bytes -= heap::block(address.len());
            }
            is_somebodys
        });
    }

    /// Adds what is known of the other end of an exchange that began at `start_ns`.
    #[inline]
    pub fn tell(
        &self,
        role: Role,
        start_ns: u64,
        ends: Ends<'_>,
        attributes: &mut Vec<(&'static str, Value)>,
    ) {
        if self.behind.is_empty() {
            return;
        }
        let Some(address) = other_end(role, ends) else {
            return;
        };
        let Some(Behind {
            who: Some((name, namespace)),
            since_ns,
        }) = self.behind.get(&**address)
        else {
            return;
        };
        if start_ns < *since_ns {
            return;
        }
        let names = match role {
            Role::Client => [
                semconv::SERVER_SERVICE_NAME,
                semconv::SERVER_SERVICE_NAMESPACE,
            ],
            Role::Server => [
                semconv::CLIENT_SERVICE_NAME,
                semconv::CLIENT_SERVICE_NAMESPACE,
            ],
        };
        attributes.push((names[0], Value::Shared(Arc::clone(name))));
        if let Some(namespace) = namespace {
            attributes.push((names[1], Value::Shared(Arc::clone(namespace))));
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(Box<str>, Behind)>(self.behind.capacity()) + self.text_bytes
    }
}

impl Behind {
    fn text_bytes(&self) -> usize {
        self.who.as_ref().map_or(0, |(name, namespace)| {
            let namespace = namespace.as_ref().map_or(0, |it| heap::shared(it.len()));
            heap::shared(name.len()) + namespace
        })
    }
}

/// The address of who is at the other end of the connection; of one that a relay opened for a
/// client that it names, that client's. At the end of a tunnel is somebody else.
fn other_end<'a>(role: Role, ends: Ends<'a>) -> Option<&'a Arc<str>> {
    let relayed = ends.via.and_then(|via| via.client.as_ref());
    let tunnelled = ends.via.and_then(|via| via.server.as_ref());
    match (role, relayed, tunnelled) {
        (Role::Server, Some((client, _)), _) => Some(client),
        (Role::Client, _, Some(server)) => Some(&server.host),
        _ => ends.addresses?.peer(role).map(|peer| peer.address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::{Endpoints, Via};
    use crate::kubernetes::peer::PeerKind;

    const A: &str = "10.0.0.1";

    fn change(name: Option<&str>, namespace: Option<&str>) -> Vec<PeerChange> {
        let peer = name.map(|name| Peer {
            kind: PeerKind::Pod,
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        });
        vec![PeerChange {
            address: A.parse().expect("an address"),
            peer: peer.map(Arc::new),
        }]
    }

    fn told(names: &PeerNames, role: Role, start_ns: u64, via: Option<&Via>) -> String {
        let endpoints = Endpoints::Ip {
            local: None,
            peer: Some((A.into(), 80)),
        };
        let ends = Ends {
            addresses: Some(&endpoints),
            via,
            ..Ends::default()
        };
        let mut attributes = Vec::new();
        names.tell(role, start_ns, ends, &mut attributes);
        let attributes = attributes.iter();
        let told: Vec<_> = attributes
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        told.join(" ")
    }

    #[test]
    fn the_service_at_the_other_end_is_told() {
        let mut names = PeerNames::default();
        assert_eq!(told(&names, Role::Client, 5, None), "");
        names.change(change(Some("cart"), Some("shop")), 7);
        // Its first owner had it before anybody told of it.
        assert_eq!(
            told(&names, Role::Client, 5, None),
            "server.service.name=cart server.service.namespace=shop"
        );
        assert_eq!(
            told(&names, Role::Server, 8, None),
            "client.service.name=cart client.service.namespace=shop"
        );
        let via = Via {
            client: Some(("192.0.2.1".into(), 5)),
            ..Via::default()
        };
        assert_eq!(told(&names, Role::Server, 8, Some(&via)), "");
        let mut tunnel = Via::default();
        tunnel.tunnel("shop.example:443");
        assert_eq!(told(&names, Role::Client, 8, Some(&tunnel)), "");
    }

    #[test]
    fn what_began_before_an_address_changed_hands_names_nobody() {
        let mut names = PeerNames::default();
        names.change(change(Some("cart"), None), 7);
        names.change(change(None, None), 10);
        assert_eq!(told(&names, Role::Client, 9, None), "");
        names.change(change(Some("db"), None), 20);
        assert_eq!(told(&names, Role::Client, 15, None), "");
        assert_eq!(
            told(&names, Role::Client, 20, None),
            "server.service.name=db"
        );
        // Told again, it is still the same.
        names.change(change(Some("db"), None), 30);
        assert_eq!(
            told(&names, Role::Client, 25, None),
            "server.service.name=db"
        );
        let bytes = names.memory_bytes();
        names.change(change(None, None), 40);
        assert!(names.memory_bytes() < bytes);
        names.forget_nobodys();
        assert_eq!(names.text_bytes, 0);
    }
}
