//! Who is behind the ends of a connection that an intermediary made or passes on: the client of a
//! relay that says so (PROXY protocol), the server at the end of a tunnel (`CONNECT`). It keeps
//! what was said, and believes it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::authority::{self, Authority};

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// Address and port.
    pub client: Option<(Arc<str>, u16)>,
    /// As the client of the tunnel named it.
    pub server: Option<Authority>,
    /// The tunnel was made on this connection, not on what carries it. Where this one is encrypted,
    /// the tunnel is, but not by that what is said in it.
    pub begins_here: bool,
}

impl Via {
    /// The connection was opened for this client.
    pub fn relay(&mut self, source: SocketAddr) {
        self.client = Some((source.ip().to_string().into(), source.port()));
    }

    /// The connection is a tunnel to this authority from now on. What is no authority names nobody.
    pub fn tunnel(&mut self, authority: &str) {
        self.server = authority::parse(authority).map(|(host, port)| Authority {
            host: host.into(),
            port,
        });
        self.begins_here = true;
    }

    /// The same for a connection that is carried by this one.
    #[must_use]
    pub fn carried(&self) -> Self {
        Self {
            begins_here: false,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tunnel_counts_and_garbage_names_nobody() {
        let mut via = Via::default();
        via.relay("[2001:db8::9]:49153".parse().expect("an address"));
        via.tunnel("one:1");
        via.tunnel("[::1]:443");
        let server = via.server.clone().expect("an authority");
        assert_eq!((&*server.host, server.port), ("::1", Some(443)));
        assert_eq!(via.client, Some(("2001:db8::9".into(), 49153)));
        via.tunnel("a b");
        assert_eq!(via.server, None);
    }
}
