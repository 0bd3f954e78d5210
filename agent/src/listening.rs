//! Sockets on which others ask this daemon.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

/// As the standard library has it.
const BACKLOG: i32 = 128;

/// Listens on an address, without blocking whoever accepts. `::` stands for all addresses of both
/// families, whatever `net.ipv6.bindv6only` says, and on a kernel without IPv6 for those of IPv4:
/// one manifest serves nodes of each kind.
///
/// # Errors
/// What `socket(2)`, `bind(2)` and `listen(2)` say: the address is taken, or not this machine's.
pub fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let is_any = address.is_ipv6() && address.ip().is_unspecified();
    match bound(address, is_any) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if is_any => Ok(bound(
            (Ipv4Addr::UNSPECIFIED, address.port()).into(),
            false,
        )?),
        bound => Ok(bound?),
    }
    .map(TcpListener::from)
}

fn bound(address: SocketAddr, of_both_families: bool) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A daemon that is started again does not wait for the old one's connections to be forgotten.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if of_both_families {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn all_addresses_are_those_of_both_families() {
        let listener = listen_on((Ipv6Addr::UNSPECIFIED, 0).into()).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        if listener.local_addr().is_ok_and(|it| it.is_ipv6()) {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("it listens");
        }
    }

    #[test]
    fn of_one_address_it_is_that_one() {
        let listener = listen_on((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = listener.local_addr().expect("an address");
        assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
        let taken = listen_on(address).expect_err("it is taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
