//! What sockets of Unix have: who is at the other end, by which name, and how much waits.

use wirespan_common::config::Offsets;

use super::super::peek::{MemoryImage, Peek};
use super::super::search::{Undecided, only, places, places_of};
use super::super::specimens::{read, write};
use super::sockets::SOCK_LEN;
use super::{ObserveError, Own, OwnSocket};

/// Bytes of `struct unix_address` and of `struct sk_buff_head` that are looked at.
const ADDRESS_LEN: usize = 128;
const QUEUE_LEN: usize = 32;

/// Finds all of it.
///
/// # Errors
/// Something shows nowhere, or in several places.
pub fn all(
    peek: &mut impl Peek,
    at: &mut Offsets,
    sockets: &[OwnSocket],
    own: &Own,
) -> Result<(), ObserveError> {
    // In the order of `descriptors::files`.
    let [_, _, client, server, ..] = sockets else {
        let (member, places) = ("unix_sock", Vec::new());
        return Err(Undecided { member, places }.into());
    };
    let images = [client, server].map(|it| MemoryImage::take(peek, it.sk, SOCK_LEN));
    let peers = [(&images[0], server.sk), (&images[1], client.sk)];
    at.unix_sock_peer = only("unix_sock.peer", &places_of(SOCK_LEN, &peers))? as u32;
    address(peek, at, &images[1], &own.name)?;
    queue(peek, at, server.sk, own)
}

/// A server's own name is its listener's: a family, and bytes of which the first of an abstract one
/// is zero.
fn address(
    peek: &mut impl Peek,
    at: &mut Offsets,
    server: &MemoryImage,
    name: &[u8],
) -> Result<(), ObserveError> {
    let mut told = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    told.push(0);
    told.extend(name);
    let mut ways = Vec::new();
    for (offset, address) in server.pointers() {
        let address = MemoryImage::take(peek, address, ADDRESS_LEN);
        let names = places(ADDRESS_LEN, 2, |at| {
            address.bytes(*at, told.len()) == Some(&told)
        });
        let lens = places_of(ADDRESS_LEN, &[(&address, told.len() as u32)]);
        for name in names {
            // The name's own bytes are no length.
            let lens = lens.iter().filter(|len| **len < name);
            ways.extend(lens.map(|len| (offset, name, *len)));
        }
    }
    let (addr, name, len) = only("unix_sock.addr", &ways)?;
    at.unix_sock_addr = addr as u32;
    at.unix_address_name = name as u32;
    at.unix_address_len = len as u32;
    Ok(())
}

/// The queue of what waits to be read: a list that, empty, leads to itself, with a count.
fn queue(peek: &mut impl Peek, at: &mut Offsets, sk: u64, own: &Own) -> Result<(), ObserveError> {
    let told = |error| ObserveError::Own("a Unix socket", error);
    let mut images = vec![MemoryImage::take(peek, sk, SOCK_LEN)];
    for _ in 0..2 {
        write(&own.unix.client, 1, false).map_err(told)?;
        images.push(MemoryImage::take(peek, sk, SOCK_LEN));
    }
    read(&own.unix.server, 2).map_err(told)?;
    images.push(MemoryImage::take(peek, sk, SOCK_LEN));
    let is_empty = |image: &MemoryImage, offset: usize| {
        let links = [offset, offset + 8].map(|it| image.at::<u64>(it));
        links == [Some(sk + offset as u64); 2]
    };
    let queues = places(SOCK_LEN, 8, |offset| {
        let empty = images.iter().map(|image| is_empty(image, *offset));
        empty.eq([true, false, false, true])
    });
    let queue = only("sock.sk_receive_queue", &queues)?;
    at.sock_sk_receive_queue = queue as u32;
    let lens = places(QUEUE_LEN, 4, |offset| {
        let counts = images.iter().map(|image| image.at::<u32>(queue + offset));
        counts.eq([Some(0), Some(1), Some(2), Some(0)])
    });
    at.sk_buff_head_qlen = only("sk_buff_head.qlen", &lens)? as u32;
    Ok(())
}
