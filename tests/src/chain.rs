//! A chain of servers on nodes that a router lies between, each of which asks the next one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::cgroup::SocketGroup;
use crate::nodes::{Nodes, Way};
use crate::tls::Certificates;
use crate::workload::{Nginx, eventually};

const ANSWER: &str = "location / { return 200 \"answered\\n\"; }";
/// Where servers listen on their nodes.
pub const PORT: u16 = 8080;

/// What servers say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.1, also what comes from outside.
    Http1,
    /// HTTP/2, also what comes from outside.
    Http2,
    /// HTTP/2; what comes from outside is HTTP/1.1.
    Http2Inside,
    /// HTTP/1.1 over TLS; what comes from outside is plain.
    Https,
}

impl Speech {
    /// How a node's server listens.
    fn heard_by(self, node: u8) -> &'static str {
        match self {
            Self::Https if node > 0 => "ssl",
            Self::Http2 => "http2",
            Self::Http2Inside if node > 0 => "http2",
            Self::Http1 | Self::Https | Self::Http2Inside => "",
        }
    }
}

/// A server on each node.
#[derive(Debug)]
pub struct Chain {
    servers: Vec<Nginx>,
}

impl Chain {
    /// One on each of three nodes, that are found by this way.
    ///
    /// # Panics
    /// One does not come up.
    #[must_use]
    pub fn new(nodes: &Nodes, way: Way, speech: Speech) -> Self {
        Self::within(nodes, way, speech, &[])
    }

    /// The same, each in a control group of its own, as far as there are any.
    ///
    /// # Panics
    /// One does not come up.
    #[must_use]
    pub fn within(nodes: &Nodes, way: Way, speech: Speech, groups: &[SocketGroup]) -> Self {
        let certificates = Arc::new(Certificates::create());
        let server = |node: u8| {
            let own = nodes.address(node, Way::Routed);
            let (upstream, location) = match node {
                2 => (String::new(), ANSWER.to_owned()),
                _ => asks(nodes.address(node + 1, way), speech),
            };
            let certificates = Arc::clone(&certificates);
            // Sockets belong to the group of who makes them: those that listen, too.
            let _entered = groups.get(usize::from(node)).map(SocketGroup::enter);
            nodes.host(node).run(move || {
                let how = speech.heard_by(node);
                let listen = format!("listen {own}:{PORT} {how};\n{location}");
                match how {
                    "ssl" => Nginx::start_tls(&certificates, &upstream, &listen),
                    "http2" => Nginx::http2(1, &upstream, &listen),
                    _ => Nginx::start(1, &upstream, &listen),
                }
            })
        };
        let servers: Vec<_> = (0..3).map(server).collect();
        for server in &servers {
            eventually("workers", || !server.workers().is_empty());
        }
        Self { servers }
    }

    /// Process ids of a node's workers.
    #[must_use]
    pub fn workers(&self, node: u8) -> Vec<u32> {
        self.servers[usize::from(node)].workers()
    }
}

/// A server that asks another one over connections that it keeps.
fn asks(next: IpAddr, speech: Speech) -> (String, String) {
    let upstream = format!("upstream behind {{ server {next}:{PORT}; keepalive 16; }}");
    let location = match speech {
        Speech::Http2 | Speech::Http2Inside => "location / { grpc_pass grpc://behind; }".to_owned(),
        Speech::Http1 | Speech::Https => {
            let scheme = if speech == Speech::Https {
                "https"
            } else {
                "http"
            };
            format!(
                "location / {{ proxy_pass {scheme}://behind; proxy_http_version 1.1; \
                 proxy_set_header Connection ''; }}"
            )
        }
    };
    (upstream, location)
}
