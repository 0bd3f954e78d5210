//! Whom addresses belong to, by what is heard of pods, services and nodes. An address that two
//! objects have belongs to none, until one of them is gone: the right peer, or none.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use wirespan_protocols::heap;

use super::addressed::Addressed;
use super::peer::{Peer, PeerChange, PeerKind};
use super::pod::Pod;
use super::resource::{PodNews, ResourceNews};

/// Addresses that are remembered. More than these belong to nobody.
pub const PEERS_MAX: usize = 16 * 1024;

/// Makes the name by which a pod's own spans go.
pub type NamesPods<'a> = &'a dyn Fn(&Arc<Pod>) -> Peer;

/// See the module.
#[derive(Debug, Default)]
pub struct PeerBook {
    owners: HashMap<String, Owned>,
    claims: HashMap<IpAddr, Vec<Arc<Peer>>>,
    refused: u64,
}

/// An object and what it claims.
#[derive(Debug)]
struct Owned {
    kind: PeerKind,
    peer: Arc<Peer>,
    addresses: Vec<IpAddr>,
}

impl PeerBook {
    /// Takes in what is heard of pods, which `names` names. Addresses that changed hands.
    pub fn hear_of_pods(&mut self, news: &PodNews, names: NamesPods<'_>) -> Vec<PeerChange> {
        let kept = |pod: &Arc<Pod>| Addressed {
            uid: pod.uid.clone(),
            peer: Arc::new(names(pod)),
            addresses: addresses(pod),
        };
        self.hear(
            PeerKind::Pod,
            match news {
                ResourceNews::Is(pod) => ResourceNews::Is(kept(pod)),
                ResourceNews::Gone(uid) => ResourceNews::Gone(uid.clone()),
                ResourceNews::All(pods) => ResourceNews::All(pods.iter().map(kept).collect()),
                ResourceNews::Silence => ResourceNews::Silence,
            },
        )
    }

    /// Takes in what is heard of services, or of nodes. Addresses that changed hands.
    pub fn hear(&mut self, kind: PeerKind, news: ResourceNews<Addressed>) -> Vec<PeerChange> {
        let mut touched = BTreeSet::new();
        match news {
            ResourceNews::Is(object) => self.put(object, &mut touched),
            ResourceNews::Gone(uid) => self.remove(&uid, &mut touched),
            ResourceNews::All(objects) => {
                let kept: BTreeSet<&str> = objects.iter().map(|it| it.uid.as_str()).collect();
                let owners = self.owners.iter();
                let gone = owners.filter(|(uid, it)| it.kind == kind && !kept.contains(&***uid));
                let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
                for uid in gone {
                    self.remove(&uid, &mut touched);
                }
                for object in objects {
                    self.put(object, &mut touched);
                }
            }
            // What is known stays.
            ResourceNews::Silence => {}
        }
        let changes = touched.into_iter();
        changes
            .map(|address| PeerChange {
                peer: self.behind(address),
                address,
            })
            .collect()
    }

    fn behind(&self, address: IpAddr) -> Option<Arc<Peer>> {
        match self.claims.get(&address).map(Vec::as_slice) {
            Some([only]) => Some(Arc::clone(only)),
            _ => None,
        }
    }

    fn put(&mut self, object: Addressed, touched: &mut BTreeSet<IpAddr>) {
        let is_known = self
            .owners
            .get(&object.uid)
            .is_some_and(|it| it.peer == object.peer && it.addresses == object.addresses);
        if is_known {
            return;
        }
        self.remove(&object.uid, touched);
        let mut addresses = Vec::new();
        for address in object.addresses {
            if self.claims.len() >= PEERS_MAX && !self.claims.contains_key(&address) {
                self.refused += 1;
                continue;
            }
            let claims = self.claims.entry(address).or_default();
            claims.push(Arc::clone(&object.peer));
            touched.insert(address);
            addresses.push(address);
        }
        if !addresses.is_empty() {
            let owned = Owned {
                kind: object.peer.kind,
                peer: object.peer,
                addresses,
            };
            self.owners.insert(object.uid, owned);
        }
    }

    fn remove(&mut self, uid: &str, touched: &mut BTreeSet<IpAddr>) {
        let Some(former) = self.owners.remove(uid) else {
            return;
        };
        for address in former.addresses {
            touched.insert(address);
            if let Some(claims) = self.claims.get_mut(&address) {
                let own = claims.iter().position(|it| Arc::ptr_eq(it, &former.peer));
                own.map(|at| claims.swap_remove(at));
                if claims.is_empty() {
                    self.claims.remove(&address);
                }
            }
        }
    }

    /// How often there was no room for an address.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let owners = self.owners.iter().map(|(uid, it)| {
            let peer = &it.peer;
            heap::block(uid.capacity())
                + heap::vec::<IpAddr>(it.addresses.capacity())
                + heap::boxed::<Peer>()
                + heap::block(peer.name.capacity())
                + heap::block(peer.namespace.as_ref().map_or(0, String::capacity))
        });
        let claims = self.claims.values();
        heap::table::<(String, Owned)>(self.owners.capacity())
            + heap::table::<(IpAddr, Vec<Arc<Peer>>)>(self.claims.capacity())
            + owners.sum::<usize>()
            + claims
                .map(|it| heap::vec::<Arc<Peer>>(it.capacity()))
                .sum::<usize>()
    }
}

fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let addresses = pod
        .addresses
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok());
    addresses.map(|address| address.to_canonical()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "10.0.0.1";
    const B: &str = "10.0.0.2";

    fn pod(uid: &str, address: &str) -> Arc<Pod> {
        Arc::new(Pod {
            uid: uid.to_owned(),
            name: format!("pod-{uid}"),
            addresses: vec![address.to_owned()],
            ..Pod::default()
        })
    }

    fn by_name(pod: &Arc<Pod>) -> Peer {
        Peer {
            kind: PeerKind::Pod,
            name: pod.name.clone(),
            namespace: None,
        }
    }

    fn told(changes: &[PeerChange]) -> Vec<String> {
        let changes = changes.iter();
        changes
            .map(|it| {
                let name = it.peer.as_ref().map_or("nobody", |peer| &peer.name);
                format!("{} is {name}", it.address)
            })
            .collect()
    }

    fn hear(book: &mut PeerBook, news: &PodNews) -> Vec<String> {
        told(&book.hear_of_pods(news, &by_name))
    }

    fn service(uid: &str, address: &str) -> Addressed {
        Addressed {
            uid: uid.to_owned(),
            peer: Arc::new(Peer {
                kind: PeerKind::Service,
                name: format!("service-{uid}"),
                namespace: None,
            }),
            addresses: vec![address.parse().expect("an address")],
        }
    }

    #[test]
    fn an_address_belongs_to_who_has_it_alone() {
        let mut book = PeerBook::default();
        let nothing = [""; 0];
        assert_eq!(
            hear(&mut book, &PodNews::Is(pod("1", A))),
            ["10.0.0.1 is pod-1"]
        );
        assert_eq!(hear(&mut book, &PodNews::Is(pod("1", A))), nothing);
        // Another one has it before the first is gone.
        assert_eq!(
            hear(&mut book, &PodNews::Is(pod("2", A))),
            ["10.0.0.1 is nobody"]
        );
        assert_eq!(
            hear(&mut book, &PodNews::Gone("1".into())),
            ["10.0.0.1 is pod-2"]
        );
        // It gets another one.
        assert_eq!(
            hear(&mut book, &PodNews::Is(pod("2", B))),
            ["10.0.0.1 is nobody", "10.0.0.2 is pod-2"]
        );
        assert_eq!(hear(&mut book, &PodNews::Silence), nothing);
        // A list of one kind says nothing of the others.
        let all = ResourceNews::All(vec![service("3", A)]);
        assert_eq!(
            told(&book.hear(PeerKind::Service, all)),
            ["10.0.0.1 is service-3"]
        );
        assert_eq!(
            hear(&mut book, &PodNews::All(vec![pod("4", B)])),
            ["10.0.0.2 is pod-4"]
        );
        assert_eq!(
            hear(&mut book, &PodNews::All(vec![])),
            ["10.0.0.2 is nobody"]
        );
        let all = ResourceNews::All(vec![]);
        assert_eq!(
            told(&book.hear(PeerKind::Service, all)),
            ["10.0.0.1 is nobody"]
        );
        assert!(book.owners.is_empty() && book.claims.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut book = PeerBook::default();
        let all = (0..PEERS_MAX as u32 + 5).map(|number| {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            service(&number.to_string(), &address.to_string())
        });
        let changes = book.hear(PeerKind::Service, ResourceNews::All(all.collect()));
        assert_eq!((changes.len(), book.refused()), (PEERS_MAX, 5));
        assert!(
            book.memory_bytes() < PEERS_MAX * 512,
            "{}",
            book.memory_bytes()
        );
    }
}
