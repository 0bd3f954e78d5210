//! What connections of TCP have: how far their streams are, what was counted, whose port it is, and
//! who else sits on them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt;
use wirespan_common::config::Offsets;

use super::super::features::Feature;
use super::super::peek::{MemoryImage, Peek, is_pointer};
use super::super::search::{Undecided, only, places, places_of};
use super::super::specimens::{self, SpecimenPair, TcpCounts};
use super::{ObserveError, or_lacking, sk_of};

/// Bytes of a `struct tcp_sock` that are looked at.
const TCP_LEN: usize = 3072;
/// How often a story is told again whose moments were not seen in time.
const STORIES: usize = 20;
/// Bytes of `struct inet_bind_bucket` that are looked at.
const BUCKET_LEN: usize = 64;

/// Finds all of it.
///
/// # Errors
/// Something shows nowhere, or in several places.
pub fn all(
    peek: &mut impl Peek,
    at: &mut Offsets,
    table: u64,
    lacks: &mut Vec<(Feature, String)>,
) -> Result<(), ObserveError> {
    let mut stories = Vec::new();
    let mut undecided = None;
    for _ in 0..STORIES {
        match Story::told(peek, at, table) {
            Ok(Some(story)) => stories.push(story),
            Ok(None) => continue,
            Err(error) => return Err(ObserveError::Own("a connection", error)),
        }
        match sequences(at, &stories) {
            Ok(()) => {
                let found = counts(at, &stories);
                or_lacking(found, Feature::TcpPositions, lacks);
                undecided = None;
                break;
            }
            Err(error) => undecided = Some(error),
        }
    }
    if let Some(undecided) = undecided {
        return Err(undecided.into());
    }
    if stories.is_empty() {
        let late = io::Error::from(io::ErrorKind::TimedOut);
        return Err(ObserveError::Own("a connection", late));
    }
    let found = buckets(peek, at, table);
    or_lacking(found, Feature::ServedPorts, lacks);
    let found = upper(peek, at, table);
    or_lacking(found, Feature::UpperProtocols, lacks);
    Ok(())
}

/// What happens on a connection that is made for it, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoryMoment {
    /// Nothing yet.
    New,
    /// [`SENT`] bytes arrived, and their receipt was not acknowledged.
    Arrived,
    /// [`KEPT`] bytes were written behind them, which are kept back until those are acknowledged.
    Kept,
    /// [`MORE`] bytes, which are to wait for what comes behind them.
    More,
    /// [`READ`] of what arrived were read.
    Read,
    /// One more was read.
    ReadOn,
    /// [`LOST`] bytes were sent, which do not arrive.
    Lost,
    /// What was lost was sent again.
    Again,
}

impl StoryMoment {
    /// Whether it comes before what was sent first is acknowledged.
    fn is_early(self) -> bool {
        !matches!(self, Self::Lost | Self::Again)
    }
}

const SENT: u32 = 100;
const KEPT: u32 = 30;
const MORE: u32 = 10;
const READ: u32 = 40;
const LOST: u32 = 70;

/// Both ends at one moment.
struct Scene {
    moment: StoryMoment,
    client: MemoryImage,
    server: MemoryImage,
    client_counts: TcpCounts,
    server_counts: TcpCounts,
}

/// All moments of one connection.
struct Story(Vec<Scene>);

impl Story {
    /// Lets it happen; `None` if something came between, such as a segment that was sent again
    /// before its time.
    fn told(peek: &mut impl Peek, at: &Offsets, table: u64) -> io::Result<Option<Self>> {
        let pair = SpecimenPair::tcp(false)?;
        let (client, server) = (&pair.client, &pair.server);
        let sks = [client, server].map(|it| sk_of(peek, at, table, it).unwrap_or_default());
        // Neighbours in memory would show what the other end has.
        let apart = sks[0].abs_diff(sks[1]) as usize;
        let len = TCP_LEN.min(apart);
        let mut scenes = Vec::new();
        let mut take = |moment, unsent| -> io::Result<bool> {
            let before = (specimens::counts(client)?, specimens::counts(server)?);
            let [client_image, server_image] = sks.map(|sk| MemoryImage::take(peek, sk, len));
            let after = (specimens::counts(client)?, specimens::counts(server)?);
            scenes.push(Scene {
                moment,
                client: client_image,
                server: server_image,
                client_counts: before.0,
                server_counts: before.1,
            });
            Ok(before == after && specimens::unsent(client)? == unsent)
        };
        // What arrives is not acknowledged at once, so that what is written next is kept back.
        sockopt::set_tcp_quickack(server, false)?;
        let mut is_whole = take(StoryMoment::New, 0)?;
        specimens::write(client, SENT as usize, false)?;
        specimens::wait_until_unread(server, SENT)?;
        is_whole &= take(StoryMoment::Arrived, 0)?;
        specimens::write(client, KEPT as usize, false)?;
        is_whole &= take(StoryMoment::Kept, KEPT)?;
        specimens::write(client, MORE as usize, true)?;
        is_whole &= take(StoryMoment::More, KEPT + MORE)?;
        specimens::read(server, READ as usize)?;
        is_whole &= take(StoryMoment::Read, KEPT + MORE)?;
        specimens::read(server, 1)?;
        is_whole &= take(StoryMoment::ReadOn, KEPT + MORE)?;
        if !is_whole {
            return Ok(None);
        }
        // Where nothing can be lost it is not known what is sent again, and no more than that.
        specimens::wait_until_acknowledged(client)?;
        if before_again(client)?.is_some() && specimens::mute(server).is_ok() {
            specimens::write(client, LOST as usize, false)?;
            is_whole &= take(StoryMoment::Lost, 0)?;
            specimens::wait_until(|| Ok(before_again(client)?.is_none_or(|count| count > 0)))?;
            is_whole &= take(StoryMoment::Again, 0)?;
        }
        Ok(is_whole.then_some(Self(scenes)))
    }

    /// Scenes before anything is acknowledged.
    fn early(&self) -> impl Iterator<Item = &Scene> {
        self.0.iter().filter(|it| it.moment.is_early())
    }
}

fn before_again(client: &OwnedFd) -> io::Result<Option<u64>> {
    Ok(specimens::counts(client)?.retransmitted)
}

/// Aligned words of one end that have moved as far as `moved` says since the first moment, in all
/// stories.
fn moved(
    stories: &[Story],
    end: fn(&Scene) -> &MemoryImage,
    moved: impl Fn(StoryMoment) -> u32,
) -> Vec<usize> {
    places(TCP_LEN, 4, |offset| {
        stories.iter().all(|story| {
            let mut words = story
                .early()
                .map(|scene| (scene.moment, end(scene).at::<u32>(*offset)));
            let Some((_, Some(first))) = words.next() else {
                return false;
            };
            words.all(|(moment, word)| word == Some(first.wrapping_add(moved(moment))))
        })
    })
}

/// Of these places, those with the sequence number with which the client begins to write.
fn beginning_with(
    stories: &[Story],
    end: fn(&Scene) -> &MemoryImage,
    places: &[usize],
    begin: usize,
) -> Vec<usize> {
    let begins = |place: &usize| {
        let mut firsts = stories.iter().filter_map(|story| story.0.first());
        firsts.all(|scene| end(scene).at::<u32>(*place) == scene.client.at::<u32>(begin))
    };
    places.iter().copied().filter(begins).collect()
}

/// Finds the numbers of the next bytes: read, received, sent and written.
fn sequences(at: &mut Offsets, stories: &[Story]) -> Result<(), Undecided> {
    use StoryMoment::{Arrived, Kept, New, Read};
    let client: fn(&Scene) -> &MemoryImage = |scene| &scene.client;
    let server: fn(&Scene) -> &MemoryImage = |scene| &scene.server;
    let written = moved(stories, client, |moment| match moment {
        New => 0,
        Arrived => SENT,
        Kept => SENT + KEPT,
        _ => SENT + KEPT + MORE,
    });
    at.tcp_sock_write_seq = only("tcp_sock.write_seq", &written)? as u32;
    // What is counted from 0 moves likewise, but does not begin where what is written does.
    let begin = at.tcp_sock_write_seq as usize;
    let arrived = |moment| if moment == New { 0 } else { SENT };
    let sent = moved(stories, client, arrived);
    let sent = beginning_with(stories, client, &sent, begin);
    at.tcp_sock_snd_nxt = only("tcp_sock.snd_nxt", &sent)? as u32;
    let received = moved(stories, server, arrived);
    let received = beginning_with(stories, server, &received, begin);
    at.tcp_sock_rcv_nxt = only("tcp_sock.rcv_nxt", &received)? as u32;
    let read = moved(stories, server, |moment| match moment {
        StoryMoment::ReadOn => READ + 1,
        Read => READ,
        _ => 0,
    });
    at.tcp_sock_copied_seq = only("tcp_sock.copied_seq", &read)? as u32;
    Ok(())
}

/// Finds what TCP counts.
fn counts(at: &mut Offsets, stories: &[Story]) -> Result<(), Undecided> {
    let all = || stories.iter().flat_map(|story| &story.0);
    let received: Vec<_> = all()
        .filter_map(|scene| Some((&scene.server, scene.server_counts.received?)))
        .collect();
    let sent: Vec<_> = all()
        .filter_map(|scene| Some((&scene.client, scene.client_counts.sent?)))
        .collect();
    let again: Vec<_> = all()
        .filter_map(|scene| Some((&scene.client, scene.client_counts.retransmitted?)))
        .collect();
    let count = |member, images: &[(&MemoryImage, u64)]| {
        let found = if images.is_empty() {
            Vec::new()
        } else {
            places_of(TCP_LEN, images)
        };
        only(member, &found).map(|it| it as u32)
    };
    at.tcp_sock_bytes_received = count("tcp_sock.bytes_received", &received)?;
    let sent = count("tcp_sock.bytes_sent", &sent)?;
    at.tcp_sock_bytes_retrans = count("tcp_sock.bytes_retrans", &again)?;
    // Without all of them, none is read: this one says so.
    at.tcp_sock_bytes_sent = sent;
    Ok(())
}

/// Finds whose a port is: what sockets on one have in common, whatever their addresses.
fn buckets(peek: &mut impl Peek, at: &mut Offsets, table: u64) -> Result<(), ObserveError> {
    let told = |error| ObserveError::Own("bound sockets", error);
    let plain = specimens::bound(specimens::SERVER, 0, false).map_err(told)?;
    let shared = specimens::bound(specimens::SERVER, 0, true).map_err(told)?;
    let port = specimens::local(&shared).map_err(told)?.port();
    let beside = specimens::bound(specimens::CLIENT, port, true).map_err(told)?;
    let (chosen, _listener) = specimens::unbound_pair().map_err(told)?;
    let all = [&plain, &shared, &beside, &chosen];
    let ports = all.map(|it| specimens::local(it).map_or(0, |local| local.port()));
    let images = all.map(|it| {
        let sk = sk_of(peek, at, table, it).unwrap_or_default();
        MemoryImage::take(peek, sk, TCP_LEN)
    });
    let mut ways = Vec::new();
    for offset in (0..TCP_LEN).step_by(8) {
        let pointers = images
            .each_ref()
            .map(|it| it.at::<u64>(offset).unwrap_or_default());
        let [a, b, c, d] = pointers;
        // One for the same port, another for each other.
        if !pointers.into_iter().all(is_pointer) || b != c || a == b || a == d || b == d {
            continue;
        }
        let buckets = pointers.map(|bucket| MemoryImage::take(peek, bucket, BUCKET_LEN));
        // A port that `connect` chose has a bucket with -1 here, and so has another count, but that
        // one tells of who shares a port.
        let [a, b, _, d] = &buckets;
        let ports: Vec<_> = buckets.iter().zip(ports).collect();
        let mut reuse = places_of(BUCKET_LEN, &[(a, 0i8), (b, 0), (d, -1)]);
        // Bytes of what is an address in one, and none or another in the other, look alike.
        reuse.retain(|place| {
            let [of_a, of_d] = [a, d].map(|it| it.at::<u64>(place / 8 * 8).unwrap_or_default());
            let is_address = is_pointer(of_d) && (of_a == 0 || is_pointer(of_a));
            let beside = b.at::<i8>(place + 1).unwrap_or_default();
            !is_address && beside != 0
        });
        for port in places_of(BUCKET_LEN, &ports) {
            ways.extend(reuse.iter().map(|reuse| (offset, port, *reuse)));
        }
    }
    let (hash, port, reuse) = only("inet_connection_sock.icsk_bind_hash", &ways)?;
    at.inet_connection_sock_icsk_bind_hash = hash as u32;
    at.inet_bind_bucket_port = port as u32;
    at.inet_bind_bucket_fastreuse = reuse as u32;
    Ok(())
}

/// Finds who sits between TCP and a process: what changes as the kernel's own TLS does, in the same
/// way for two connections. That is tried only where the kernel has it already: nobody's modules
/// are loaded for it.
fn upper(peek: &mut impl Peek, at: &mut Offsets, table: u64) -> Result<(), ObserveError> {
    const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_ulp";
    let told = |error| ObserveError::Own("TLS in the kernel", error);
    let names = std::fs::read_to_string(AVAILABLE).unwrap_or_default();
    if !names.split_whitespace().any(|name| name == "tls") {
        return upper_by_place(peek, at, table);
    }
    let mut images = Vec::new();
    for _ in 0..2 {
        let pair = SpecimenPair::tcp(false).map_err(told)?;
        let sk = sk_of(peek, at, table, &pair.client).unwrap_or_default();
        let before = MemoryImage::take(peek, sk, TCP_LEN);
        specimens::set_upper_protocol(&pair.client, *b"tls").map_err(told)?;
        images.push((before, MemoryImage::take(peek, sk, TCP_LEN)));
    }
    let found = places(TCP_LEN, 8, |offset| {
        let mut after = images.iter().map(|(_, after)| after.at::<u64>(*offset));
        let was_none = (images.iter()).all(|(before, _)| before.at::<u64>(*offset) == Some(0));
        let (one, other) = (after.next().flatten(), after.next().flatten());
        was_none && one == other && one.is_some_and(is_pointer)
    });
    at.inet_connection_sock_icsk_ulp_ops =
        only("inet_connection_sock.icsk_ulp_ops", &found)? as u32;
    Ok(())
}

/// The same where nobody sits on any connection. `struct inet_connection_sock` has tables of
/// functions for congestion, addresses and that, one behind the other
/// (include/net/inet_connection_sock.h, since 4.13, when the last came): the first two are seen to
/// change, and the third has to be empty. It is the one member that is believed by its place; were
/// it another, connections with TLS in the kernel would be taken for plain ones.
fn upper_by_place(peek: &mut impl Peek, at: &mut Offsets, table: u64) -> Result<(), ObserveError> {
    const MEMBER: &str = "inet_connection_sock.icsk_ulp_ops";
    let told = |error| ObserveError::Own("a connection", error);
    let congestion = congestion_changed(peek, at, table).map_err(told)?;
    // Over IPv6, functions for addresses are others once it is IPv4 in truth.
    let socket = specimens::tcp_socket(true).map_err(told)?;
    let sk = sk_of(peek, at, table, &socket).unwrap_or_default();
    let before = MemoryImage::take(peek, sk, TCP_LEN);
    let listener = specimens::connected(&socket, true).map_err(told)?;
    let after = MemoryImage::take(peek, sk, TCP_LEN);
    drop(listener);
    let word = |image: &MemoryImage, offset| image.at::<u64>(offset).unwrap_or_default();
    let found = places(TCP_LEN - 24, 8, |offset| {
        let [one, other] = [&before, &after].map(|image| word(image, offset + 8));
        let empty = [16, 24].map(|it| word(&after, offset + it));
        let changed = one != other && is_pointer(one) && is_pointer(other);
        congestion.contains(offset) && changed && empty == [0, 0]
    });
    at.inet_connection_sock_icsk_ulp_ops = only(MEMBER, &found)? as u32 + 16;
    Ok(())
}

/// Words that lead elsewhere as a connection takes another algorithm against congestion.
fn congestion_changed(peek: &mut impl Peek, at: &Offsets, table: u64) -> io::Result<Vec<usize>> {
    // Every kernel has it; the usual one is another.
    const PLAINEST: &str = "reno";
    let socket = specimens::tcp_socket(false)?;
    let sk = sk_of(peek, at, table, &socket).unwrap_or_default();
    let before = MemoryImage::take(peek, sk, TCP_LEN);
    sockopt::set_tcp_congestion(&socket, PLAINEST)?;
    let after = MemoryImage::take(peek, sk, TCP_LEN);
    Ok(places(TCP_LEN, 8, |offset| {
        let [one, other] = [&before, &after].map(|it| it.at::<u64>(*offset).unwrap_or_default());
        one != other && is_pointer(one) && is_pointer(other)
    }))
}
