//! From a socket to its `struct sock`, and what all of them have: addresses, family, type,
//! protocol.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{Shutdown, shutdown};
use wirespan_common::config::Offsets;

use super::super::peek::{MemoryImage, Peek, is_pointer};
use super::super::search::{only, places, places_of};
use super::super::specimens::{self, SpecimenPair};
use super::{ObserveError, OwnSocket, sk_of};

/// `struct sock_common`, with which a `struct sock` begins, is no longer than this.
const COMMON_LEN: usize = 128;
/// Bytes of a `struct sock` that are looked at.
pub const SOCK_LEN: usize = 1024;

/// Finds all of it.
///
/// # Errors
/// Something shows nowhere, or in several places.
pub fn all(
    peek: &mut impl Peek,
    at: &mut Offsets,
    sockets: &mut [OwnSocket],
    table: u64,
) -> Result<(), ObserveError> {
    let len = at.socket_to_inode as usize;
    let images: Vec<_> = sockets
        .iter()
        .map(|it| MemoryImage::take(peek, it.socket, len))
        .collect();
    let files: Vec<_> = images
        .iter()
        .zip(sockets.iter().map(|it| it.file))
        .collect();
    at.socket_file = only("socket.file", &places_of(len, &files))? as u32;
    let mut ways = Vec::new();
    for offset in (0..len).step_by(8) {
        let commons = images.iter().map(|socket| {
            let sk = socket.at::<u64>(offset).filter(|sk| is_pointer(*sk))?;
            Some(MemoryImage::take(peek, sk, COMMON_LEN))
        });
        if let Some(commons) = commons.collect::<Option<Vec<_>>>()
            && let Ok(common) = Common::find(sockets, &commons)
        {
            ways.push((offset, common));
        }
    }
    let (sk_at, common) = only("socket.sk", &ways)?;
    at.socket_sk = sk_at as u32;
    common.tell(at);
    for (one, image) in sockets.iter_mut().zip(&images) {
        one.sk = image.at(sk_at).unwrap_or_default();
    }
    let images: Vec<_> = sockets
        .iter()
        .map(|it| MemoryImage::take(peek, it.sk, SOCK_LEN))
        .collect();
    kinds(at, sockets, &images)?;
    ends(peek, at, table)
}

/// Where a `struct sock_common` has what connections differ by.
#[derive(Clone, Copy, Debug)]
struct Common {
    num: usize,
    dport: usize,
    daddr: usize,
    rcv_saddr: usize,
    /// Peer's and own.
    v6: Option<[usize; 2]>,
}

impl Common {
    fn find(sockets: &[OwnSocket], images: &[MemoryImage]) -> Result<Self, ObserveError> {
        let of_tcp = || {
            let each = sockets.iter().zip(images);
            each.filter_map(|(socket, image)| Some((image, socket.ends?)))
        };
        let nums: Vec<_> = of_tcp()
            .map(|(image, (own, _))| (image, own.port()))
            .collect();
        let ports: Vec<_> = of_tcp()
            .map(|(image, (_, peer))| (image, peer.port().to_be()))
            .collect();
        let v4 = |of: fn((SocketAddr, SocketAddr)) -> SocketAddr| -> Vec<_> {
            let each = of_tcp().filter_map(|(image, ends)| match of(ends).ip() {
                IpAddr::V4(ip) => Some((image, ip.octets())),
                IpAddr::V6(_) => None,
            });
            each.collect()
        };
        let v6 = |of: fn((SocketAddr, SocketAddr)) -> SocketAddr| -> Vec<_> {
            let each = of_tcp().filter_map(|(image, ends)| match of(ends).ip() {
                IpAddr::V4(_) => None,
                IpAddr::V6(ip) => Some((image, ip.octets())),
            });
            each.collect()
        };
        let (own, peer) = (v6(|(own, _)| own), v6(|(_, peer)| peer));
        let wide = (!own.is_empty()).then(|| {
            let peer = only("sock_common.skc_v6_daddr", &wide_places(&peer))?;
            let own = only("sock_common.skc_v6_rcv_saddr", &wide_places(&own))?;
            Ok::<_, ObserveError>([peer, own])
        });
        Ok(Self {
            num: only("sock_common.skc_num", &places_of(COMMON_LEN, &nums))?,
            dport: only("sock_common.skc_dport", &places_of(COMMON_LEN, &ports))?,
            daddr: only(
                "sock_common.skc_daddr",
                &narrow_places(&v4(|(_, peer)| peer)),
            )?,
            rcv_saddr: only(
                "sock_common.skc_rcv_saddr",
                &narrow_places(&v4(|(own, _)| own)),
            )?,
            v6: wide.transpose()?,
        })
    }

    fn tell(self, at: &mut Offsets) {
        at.sock_common_skc_num = self.num as u32;
        at.sock_common_skc_dport = self.dport as u32;
        at.sock_common_skc_daddr = self.daddr as u32;
        at.sock_common_skc_rcv_saddr = self.rcv_saddr as u32;
        // Without IPv6 there are no sockets of it whose addresses could be read.
        let [peer, own] = self.v6.unwrap_or_default();
        at.sock_common_skc_v6_daddr = peer as u32;
        at.sock_common_skc_v6_rcv_saddr = own as u32;
    }
}

fn wide_places(images: &[(&MemoryImage, [u8; 16])]) -> Vec<usize> {
    places(COMMON_LEN, 4, |offset| {
        let mut each = images.iter();
        each.all(|(image, address)| image.bytes(*offset, 16) == Some(address))
    })
}

/// Those of IPv4, but for the ends of the same in the clothes of IPv6.
fn narrow_places(images: &[(&MemoryImage, [u8; 4])]) -> Vec<usize> {
    const CLOTHES: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    places(COMMON_LEN, 4, |offset| {
        let mut each = images.iter();
        each.all(|(image, address)| image.bytes(*offset, 4) == Some(address))
            && images.iter().all(|(image, _)| {
                let before = offset.checked_sub(12);
                before.and_then(|before| image.bytes(before, 12)) != Some(&CLOTHES)
            })
    })
}

/// Numbers that the kernel's headers for programs give (include/linux/socket.h, uapi/linux/in.h).
struct SocketKind {
    family: u16,
    socket_type: u16,
    protocol: u8,
}

/// In the order of `descriptors::files`.
fn kind(index: usize) -> SocketKind {
    let (family, socket_type, protocol) = match index {
        0 | 1 => (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        2 | 3 => (libc::AF_UNIX, libc::SOCK_STREAM, 0),
        4 => (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        _ => (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    };
    SocketKind {
        family: family as u16,
        socket_type: socket_type as u16,
        protocol: protocol as u8,
    }
}

fn kinds(
    at: &mut Offsets,
    sockets: &[OwnSocket],
    images: &[MemoryImage],
) -> Result<(), ObserveError> {
    let backwards: Vec<_> = images
        .iter()
        .zip(sockets.iter().map(|it| it.socket))
        .collect();
    let all = || {
        images
            .iter()
            .enumerate()
            .map(|(index, it)| (it, kind(index)))
    };
    let families: Vec<_> = all().map(|(image, it)| (image, it.family)).collect();
    let types: Vec<_> = all().map(|(image, it)| (image, it.socket_type)).collect();
    let protocols: Vec<_> = all().map(|(image, it)| (image, it.protocol)).collect();
    let found = |member, places: &[usize]| only(member, places).map(|it| it as u32);
    at.sock_sk_socket = found("sock.sk_socket", &places_of(SOCK_LEN, &backwards))?;
    at.sock_common_skc_family = found("sock_common.skc_family", &places_of(COMMON_LEN, &families))?;
    at.sock_sk_type = found("sock.sk_type", &places_of(SOCK_LEN, &types))?;
    at.sock_sk_protocol = found("sock.sk_protocol", &places_of(SOCK_LEN, &protocols))?;
    // Before 5.6 it is a byte, and what follows it is something else.
    let next = at.sock_sk_protocol as usize + 1;
    let is_wide = images.iter().all(|image| image.at::<u8>(next) == Some(0));
    at.sock_sk_protocol_mask = if is_wide && next % 2 == 1 {
        0xffff
    } else {
        0xff
    };
    Ok(())
}

/// Which directions of a socket are over: what changes as both sides of a Unix one end theirs.
fn ends(peek: &mut impl Peek, at: &mut Offsets, table: u64) -> Result<(), ObserveError> {
    let told = |error: rustix::io::Errno| ObserveError::Own("shutdown", error.into());
    let end = |socket: &OwnedFd| shutdown(socket, Shutdown::Write).map_err(told);
    let pair = SpecimenPair::unix(&specimens::name())
        .map_err(|error| ObserveError::Own("a Unix socket", error))?;
    let state = |peek: &mut _| {
        let sk = sk_of(peek, at, table, &pair.server);
        MemoryImage::take(peek, sk.unwrap_or_default(), SOCK_LEN)
    };
    let open = state(peek);
    end(&pair.server)?;
    let half = state(peek);
    end(&pair.client)?;
    let over = state(peek);
    let steps = [(&open, 0u8), (&half, 2), (&over, 3)];
    let found = only("sock.sk_shutdown", &places_of(SOCK_LEN, &steps))?;
    at.sock_sk_shutdown = found as u32;
    Ok(())
}
