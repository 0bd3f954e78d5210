//! Nodes that a router lies between, in network namespaces of a test's own: each a machine as far
//! as addresses go. What stands between them translates addresses, loses packets and delays them,
//! as it is asked to. All processes are still those of one kernel: whoever starts a daemon for each
//! node has to select the processes of that node alone.
//!
//! ```text
//! node 0 ── 10.11.0.0/24 ──┐
//! node 1 ── 10.11.1.0/24 ──┼── router      10.11.1NN.0/24: no network, but names of the nodes
//! node 2 ── 10.11.2.0/24 ──┘               that the router translates
//! ```

use std::net::{IpAddr, Ipv4Addr};

use crate::network::Host;
use crate::process::{Process, tied};

/// Nodes, and the router between them. Everything ends when it is dropped.
#[derive(Debug)]
pub struct Nodes {
    hosts: Vec<Host>,
    router: Host,
}

/// How one node finds another, which decides what that sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// By its own address.
    Routed,
    /// By an address that the router translates into its own, as that of a service.
    Dnat,
    /// The same, and what comes by it has the router's address, as behind a balancer.
    Masqueraded,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Routed, Self::Dnat, Self::Masqueraded];

    /// The network in which a node has this address, by its third number.
    const fn network(self, node: u8) -> [u8; 4] {
        match self {
            Self::Routed => [10, 11, node, 2],
            Self::Dnat => [10, 11, 100, node + 1],
            Self::Masqueraded => [10, 11, 101, node + 1],
        }
    }
}

impl Nodes {
    /// So many nodes, at most ninety.
    ///
    /// # Panics
    /// They can't be had: it takes root, `ip` and `nft`.
    #[must_use]
    pub fn new(count: u8) -> Self {
        let router = Host::new();
        let hosts: Vec<_> = (0..count).map(|_| Host::new()).collect();
        for (host, node) in hosts.iter().zip(0u8..) {
            let device = format!("node{node}");
            let ends = [format!("10.11.{node}.1/24"), format!("10.11.{node}.2/24")];
            router.connect(host, [&ends[0], &ends[1]], &device);
            host.ip(&format!("route add default via 10.11.{node}.1"));
        }
        router.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a router"));
        let nodes = Self { hosts, router };
        nodes.router.nft(&nodes.translations());
        nodes
    }

    /// What the router translates.
    fn translations(&self) -> String {
        let to = |way: Way, node: u8| {
            let [name, own] = [way, Way::Routed].map(|it| Ipv4Addr::from(it.network(node)));
            // What is masqueraded is known by a mark, because its address is gone by then.
            let mark = match way {
                Way::Masqueraded => "ct mark set 1 ",
                Way::Routed | Way::Dnat => "",
            };
            format!("ip daddr {name} {mark}dnat to {own};\n")
        };
        let names: String = (0..self.hosts.len() as u8)
            .flat_map(|node| [Way::Dnat, Way::Masqueraded].map(|way| to(way, node)))
            .collect();
        format!(
            "table ip nat {{
                chain before {{ type nat hook prerouting priority -100; {names} }}
                chain after {{ type nat hook postrouting priority 100; ct mark 1 masquerade; }}
            }}"
        )
    }

    /// One of the nodes.
    #[must_use]
    pub fn host(&self, node: u8) -> &Host {
        &self.hosts[usize::from(node)]
    }

    /// What lies between them.
    #[must_use]
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// Where others find a node.
    #[must_use]
    pub fn address(&self, node: u8, way: Way) -> IpAddr {
        Ipv4Addr::from(way.network(node)).into()
    }

    /// From now on the router loses so many per cent of the packets between nodes, of both
    /// directions.
    pub fn lose(&self, percent: u8) {
        self.router.nft(&format!(
            "table ip loss {{ }}
            flush table ip loss
            table ip loss {{
                chain between {{ type filter hook forward priority 0;
                    numgen random mod 100 < {percent} drop; }}
            }}"
        ));
    }

    /// From now on the router hands nothing on to a node, nor from it: it is as if its cable had
    /// been pulled.
    pub fn cut_off(&self, node: u8) {
        self.router.ip(&format!("link set node{node} down"));
    }

    /// The cable is back.
    pub fn join_again(&self, node: u8) {
        self.router.ip(&format!("link set node{node} up"));
    }

    /// From now on each packet to a node takes so many milliseconds. Whether it does: a kernel
    /// without `sch_netem` can't.
    #[must_use]
    pub fn delay(&self, milliseconds: u32) -> bool {
        (0..self.hosts.len()).all(|node| {
            self.router.run(move || {
                let mut tc = tied("tc");
                tc.args(["qdisc", "replace", "dev", &format!("node{node}"), "root"]);
                tc.args(["netem", "delay", &format!("{milliseconds}ms")]);
                Process::start("tc", &mut tc).wait().success()
            })
        })
    }
}
