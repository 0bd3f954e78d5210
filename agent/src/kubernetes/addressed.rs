//! What is kept of services and nodes: their names, and the addresses that they are reached by.
//!
//! Source of the fields: Kubernetes' API reference, `Service` and `Node` v1 core.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::peer::{Peer, PeerKind};
use super::wire::{ADDRESSES_MAX, Versioned, name, or_default, wire};

/// An object with addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// `metadata.uid`.
    pub uid: String,
    /// What is told of it.
    pub peer: Arc<Peer>,
    /// Each once.
    pub addresses: Vec<IpAddr>,
}

wire! {
    WireService { metadata: Named, spec: ServiceSpec, status: ServiceStatus, }
    WireNode { metadata: Named, status: NodeStatus, }
    Named { name: String, namespace: String, uid: String, resource_version: String, }
    ServiceStatus { load_balancer: LoadBalancer, }
    LoadBalancer { ingress: Vec<Ingress>, }
    Ingress { ip: String, }
    NodeStatus { addresses: Vec<NodeAddress>, }
    NodeAddress { address: String, }
}

/// `clusterIP` is the first of `clusterIPs`, or all that an old server has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "clusterIP", deserialize_with = "or_default")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<String>,
}

/// A service. One without an address of its own (`None`: headless) has none here.
pub fn service(json: &str) -> Option<Versioned<Addressed>> {
    let WireService {
        metadata,
        spec,
        status,
    } = serde_json::from_str(json).ok()?;
    let ingress = status.load_balancer.ingress.into_iter().map(|it| it.ip);
    let addresses = [spec.cluster_ip].into_iter().chain(spec.cluster_ips);
    let addresses = addresses.chain(spec.external_ips).chain(ingress);
    metadata.kept(PeerKind::Service, addresses)
}

/// A node. Of its addresses those that are none are names.
pub fn node(json: &str) -> Option<Versioned<Addressed>> {
    let WireNode { metadata, status } = serde_json::from_str(json).ok()?;
    let addresses = status.addresses.into_iter().map(|it| it.address);
    metadata.kept(PeerKind::Node, addresses)
}

impl Named {
    /// `None` if it has no identity.
    fn kept(
        self,
        kind: PeerKind,
        texts: impl Iterator<Item = String>,
    ) -> Option<Versioned<Addressed>> {
        let (uid, called) = (name(self.uid), name(self.name));
        if uid.is_empty() || called.is_empty() {
            return None;
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in texts.filter_map(|text| text.parse::<IpAddr>().ok()) {
            let address = address.to_canonical();
            if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
                addresses.push(address);
            }
        }
        let namespace = Some(name(self.namespace)).filter(|it| !it.is_empty());
        Some(Versioned {
            object: Addressed {
                uid,
                peer: Arc::new(Peer {
                    kind,
                    name: called,
                    namespace,
                }),
                addresses,
            },
            resource_version: name(self.resource_version),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(told: Option<Versioned<Addressed>>) -> Vec<String> {
        let told = told.expect("an object").object;
        told.addresses.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_service_has_the_addresses_that_reach_it() {
        let of = |spec: &str, status: &str| {
            addresses(service(&format!(
                r#"{{"metadata":{{"uid":"1","name":"cart","namespace":"shop"}},
                    "spec":{spec},"status":{status}}}"#
            )))
        };
        assert_eq!(of(r#"{"clusterIP":"10.96.0.7"}"#, "{}"), ["10.96.0.7"]);
        assert_eq!(
            of(
                r#"{"clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7","fd00::7"],
                    "externalIPs":["192.0.2.1"]}"#,
                r#"{"loadBalancer":{"ingress":[{"ip":"192.0.2.2"},{"hostname":"lb.example"}]}}"#
            ),
            ["10.96.0.7", "fd00::7", "192.0.2.1", "192.0.2.2"]
        );
        for headless in [
            r#"{"clusterIP":"None","clusterIPs":["None"]}"#,
            r#"{"clusterIP":"","externalName":"db.example"}"#,
            "null",
        ] {
            assert_eq!(of(headless, "null"), [""; 0], "{headless}");
        }
        let told = service(r#"{"metadata":{"uid":"1","name":"cart","namespace":"shop"}}"#);
        let peer = &told.expect("a service").object.peer;
        let told = (peer.kind, &*peer.name, peer.namespace.as_deref());
        assert_eq!(told, (PeerKind::Service, "cart", Some("shop")));
    }

    #[test]
    fn a_node_has_those_of_its_addresses_that_are_some() {
        let node = node(
            r#"{"metadata":{"uid":"1","name":"node-1"},"status":{"addresses":[
                {"type":"InternalIP","address":"10.0.0.1"},{"type":"Hostname","address":"node-1"},
                {"type":"InternalIP","address":"::ffff:10.0.0.1"}],"images":[{"names":["a"]}]}}"#,
        );
        assert_eq!(addresses(node), ["10.0.0.1"]);
    }

    #[test]
    fn what_is_none_is_nothing() {
        for none in [
            "",
            "{}",
            "[]",
            r#"{"metadata":{"uid":"1"}}"#,
            r#"{"metadata":{"name":7,"uid":"1"}}"#,
            r#"{"metadata":{"uid":"1","name":"a"},"spec":{"clusterIPs":7}}"#,
        ] {
            assert!(service(none).is_none(), "{none}");
        }
        let many: Vec<_> = (0..100).map(|n| format!(r#""10.0.0.{n}""#)).collect();
        let many = format!(
            r#"{{"metadata":{{"uid":"1","name":"a"}},"spec":{{"externalIPs":[{}]}}}}"#,
            many.join(",")
        );
        assert_eq!(addresses(service(&many)).len(), ADDRESSES_MAX);
    }
}
