//! Addresses of a connection's two ends, formatted once and shared by all its spans. It asks the
//! kernel for nothing: an address that was not in the record is not known.

pub mod authority;
mod via;

pub use authority::HostMemo;
pub use via::Via;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use wirespan_common::record::Open;
use wirespan_protocols::exchange::Role;
use wirespan_protocols::heap;

/// `AF_UNIX`, `AF_INET` and `AF_INET6` of `include/linux/socket.h`.
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// HTTP's port (RFC 9110 §4.2.1), which authorities leave out.
const PORT_HTTP: u16 = 80;
/// That of HTTP over TLS (RFC 9110 §4.2.2).
const PORT_HTTPS: u16 = 443;

/// Both ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// IPv4 or IPv6; an IPv4 address in an IPv6 one is told as what it is.
    Ip {
        /// The traced process's end.
        local: Option<(Arc<str>, u16)>,
        /// The other end.
        peer: Option<(Arc<str>, u16)>,
    },
    /// A Unix socket. One of its ends has a name as a rule: the server's.
    Unix {
        /// A path, or `@name` in the abstract namespace.
        path: Option<Arc<str>>,
    },
}

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// An IP address without brackets, or a Unix socket's name.
    pub address: &'a Arc<str>,
    /// `None` for Unix sockets.
    pub port: Option<u16>,
}

impl Endpoint<'_> {
    /// As it would stand in a URL with the scheme `http` or `https`; `None` for Unix sockets.
    #[must_use]
    pub fn authority(&self, scheme: &str) -> Option<String> {
        let port = self.port?;
        let bracketed = self.address.contains(':');
        let default = if scheme == "https" {
            PORT_HTTPS
        } else {
            PORT_HTTP
        };
        Some(match (bracketed, port == default) {
            (false, true) => self.address.to_string(),
            (false, false) => format!("{}:{port}", self.address),
            (true, true) => format!("[{}]", self.address),
            (true, false) => format!("[{}]:{port}", self.address),
        })
    }
}

impl Endpoints {
    /// Reads the addresses of a record. `None` for a family that is not known.
    #[must_use]
    pub fn from_open(open: &Open, path: &[u8]) -> Option<Self> {
        let ip: fn([u8; 16]) -> IpAddr = match open.family {
            AF_INET => |bytes| {
                let [a, b, c, d, ..] = bytes;
                Ipv4Addr::new(a, b, c, d).into()
            },
            AF_INET6 => |bytes| Ipv6Addr::from(bytes).to_canonical(),
            AF_UNIX => {
                return Some(Self::Unix {
                    path: unix_name(path),
                });
            }
            _ => return None,
        };
        let end = |bytes, port| {
            let address = ip(bytes);
            // An end without address is not connected, or its address could not be read.
            (!address.is_unspecified()).then(|| (address.to_string().into(), port))
        };
        Some(Self::Ip {
            local: end(open.local_address, open.local_port),
            peer: end(open.peer_address, open.peer_port),
        })
    }

    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let of = |text: &Arc<str>| heap::shared(text.len());
        match self {
            Self::Ip { local, peer } => [local, peer]
                .map(|end| end.as_ref().map_or(0, |(address, _)| of(address)))
                .iter()
                .sum(),
            Self::Unix { path } => path.as_ref().map_or(0, of),
        }
    }

    /// The address of the process's own end.
    #[must_use]
    pub fn local_address(&self) -> Option<&Arc<str>> {
        match self {
            Self::Ip { local, .. } => local.as_ref().map(|(address, _)| address),
            Self::Unix { .. } => None,
        }
    }

    /// The other end's address, if it is one of IP.
    #[must_use]
    pub fn peer_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip { peer, .. } => peer.as_ref()?.0.parse().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// Whether both ends are on this node, as far as addresses tell; `is_own` knows some of its.
    #[must_use]
    pub fn is_on_one_node(&self, is_own: impl FnOnce(&str) -> bool) -> bool {
        let Self::Ip { local, peer } = self else {
            return true;
        };
        let Some((peer, _)) = peer else {
            return false;
        };
        let is_same = local.as_ref().is_some_and(|(local, _)| local == peer);
        // As the standard library writes them.
        let is_loopback = |address: &str| address.starts_with("127.") || address == "::1";
        is_same || is_loopback(peer) || is_own(peer)
    }

    /// The server's end, seen from a process that has this role.
    #[must_use]
    pub fn server(&self, role: Role) -> Option<Endpoint<'_>> {
        match (self, role) {
            (Self::Ip { local, .. }, Role::Server) => end(local),
            (Self::Ip { peer, .. }, Role::Client) => end(peer),
            (Self::Unix { path }, _) => named(path),
        }
    }

    /// The other end than that of the process, which has this role. A Unix socket's clients have no
    /// name as a rule, so a server's peer has none here.
    #[must_use]
    pub fn peer(&self, role: Role) -> Option<Endpoint<'_>> {
        match (self, role) {
            (Self::Ip { peer, .. }, _) => end(peer),
            (Self::Unix { path }, Role::Client) => named(path),
            (Self::Unix { .. }, Role::Server) => None,
        }
    }
}

fn end(end: &Option<(Arc<str>, u16)>) -> Option<Endpoint<'_>> {
    end.as_ref().map(|(address, port)| Endpoint {
        address,
        port: Some(*port),
    })
}

fn named(path: &Option<Arc<str>>) -> Option<Endpoint<'_>> {
    path.as_ref().map(|address| Endpoint {
        address,
        port: None,
    })
}

/// A Unix socket's name (`unix(7)`): a path ends at its first NUL, an abstract name begins with one
/// and is told with `@` for each NUL, as the kernel does in `/proc/net/unix`.
fn unix_name(path: &[u8]) -> Option<Arc<str>> {
    let name = match path {
        [] => return None,
        [0, name @ ..] => {
            let name: Vec<u8> = name
                .iter()
                .map(|byte| if *byte == 0 { b'@' } else { *byte })
                .collect();
            if name.is_empty() {
                return None;
            }
            format!("@{}", String::from_utf8_lossy(&name))
        }
        path => {
            let end = path.iter().position(|byte| *byte == 0);
            String::from_utf8_lossy(&path[..end.unwrap_or(path.len())]).into_owned()
        }
    };
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(family: u16, local: &[u8], peer: &[u8]) -> Open {
        let fill = |bytes: &[u8]| {
            let mut address = [0; 16];
            address[..bytes.len()].copy_from_slice(bytes);
            address
        };
        Open {
            connection: 1,
            carrier: 0,
            family,
            local_port: 8080,
            peer_port: 40000,
            local_address: fill(local),
            peer_address: fill(peer),
            ..Open::default()
        }
    }

    fn texts(endpoints: &Endpoints, role: Role) -> (Option<String>, Option<String>) {
        let text = |end: Endpoint<'_>| format!("{} {:?}", end.address, end.port);
        (
            endpoints.server(role).map(text),
            endpoints.peer(role).map(text),
        )
    }

    #[test]
    fn the_server_is_local_to_servers_and_the_peer_of_clients() {
        let endpoints = Endpoints::from_open(&open(AF_INET, &[10, 0, 0, 1], &[10, 0, 0, 2]), b"")
            .expect("a known family");
        assert_eq!(
            texts(&endpoints, Role::Server),
            (
                Some("10.0.0.1 Some(8080)".into()),
                Some("10.0.0.2 Some(40000)".into())
            )
        );
        assert_eq!(
            texts(&endpoints, Role::Client),
            (
                Some("10.0.0.2 Some(40000)".into()),
                Some("10.0.0.2 Some(40000)".into())
            )
        );
    }

    #[test]
    fn ipv4_in_ipv6_is_told_as_ipv4_and_ipv6_as_itself() {
        let mapped = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets();
        let v6: Ipv6Addr = "2001:db8::1".parse().expect("an address");
        let endpoints =
            Endpoints::from_open(&open(AF_INET6, &v6.octets(), &mapped), b"").expect("known");
        let server = endpoints.server(Role::Server).expect("an address");
        assert_eq!(&**server.address, "2001:db8::1");
        assert_eq!(
            server.authority("http").as_deref(),
            Some("[2001:db8::1]:8080")
        );
        let peer = endpoints.peer(Role::Server).expect("an address");
        assert_eq!(&**peer.address, "192.0.2.7");
    }

    #[test]
    fn an_address_that_is_missing_is_not_told() {
        let endpoints = Endpoints::from_open(&open(AF_INET6, &[], &[]), b"").expect("known");
        assert_eq!(texts(&endpoints, Role::Client), (None, None));
        assert_eq!(Endpoints::from_open(&open(99, &[], &[]), b""), None);
    }

    #[test]
    fn unix_names_are_paths_or_abstract() {
        for (path, expected) in [
            (&b""[..], None),
            (b"\0", None),
            (b"/run/a.sock", Some("/run/a.sock")),
            (b"/run/a.sock\0", Some("/run/a.sock")),
            (b"\0name", Some("@name")),
            (b"\0a\0b", Some("@a@b")),
        ] {
            let endpoints = Endpoints::from_open(&open(AF_UNIX, &[], &[]), path).expect("known");
            let server = endpoints.server(Role::Server);
            assert_eq!(server.map(|end| &**end.address), expected, "{path:?}");
            assert_eq!(server.and_then(|end| end.authority("http")), None);
            assert_eq!(endpoints.peer(Role::Server), None);
            let peer = endpoints.peer(Role::Client);
            assert_eq!(peer.map(|end| &**end.address), expected, "{path:?}");
        }
    }
}
