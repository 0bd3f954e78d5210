//! What both sides agree on where trace context is carried to other nodes: what the kernel side
//! remembers of a connection, what it counts, and how the id of a client's span follows from the
//! connection that its request is made on.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The longest head of a request that is looked into, in bytes.
pub const HEAD_MAX: u32 = 4096;
/// Length of the field that is inserted: `traceparent: 00-<32>-<16>-<2>` and the line's end.
pub const FIELD_LEN: u32 = 70;
/// Length of the field that is inserted into a block of HTTP/2: a literal that is never indexed,
/// with a new name (RFC 7541, 6.2.3).
pub const LITERAL_LEN: u32 = 69;
/// In what a request of HTTP/2 is known by, instead of where it begins: it is the number of its
/// stream.
pub const OF_STREAM: u64 = 1 << 63;
/// Connections that can be enrolled at a time.
pub const ENROLLED_MAX: u32 = 16 * 1024;

/// In the only slot of `CARRIER_MODE`: programs work for the self-test.
pub const MODE_TRIAL: u32 = 1;
/// In the only slot of `CARRIER_MODE`: header fields are inserted.
pub const MODE_HEADERS: u32 = 2;
/// In the only slot of `CARRIER_MODE`: only what was chosen among watched processes carries
/// ([`crate::watch::Watch::carries`]).
pub const MODE_CHOSEN: u32 = 4;
/// In the only slot of `CARRIER_MODE`: connections to public addresses carry, too.
pub const MODE_PUBLIC: u32 = 8;
/// The trace id that the self-test's requests get.
pub const TRIAL_TRACE_ID: [u8; 16] = *b"wirespan's trial";

/// Length of the TCP option that carries a trace: kind, length, two bytes by which it is known
/// among experiments (RFC 6994), the trace's id, the lowest 24 bits of the position at which the
/// request begins, and the trace's flags. Beside time stamps 28 bytes are free.
pub const OPTION_LEN: u32 = 24;
/// How far behind the beginning of a request a segment may be that still has its option, in bytes:
/// where a card cuts segments, each piece of what was handed to it has the same options.
pub const OPTION_REACH: u32 = 64 * 1024;

/// By what the option is known, in the only slot of `OPTION_FORM`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OptionForm {
    /// Its kind: one of the two for experiments (RFC 4727), 253 or 254.
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
    /// The first bytes of its data, host byte order.
    pub magic: u16,
    /// Where the self-test listens, host byte order; else 0.
    pub trial_port: u32,
}
const _: () = assert!(size_of::<OptionForm>() == 8);

/// What is remembered of a connection that carries by the option, in its socket's storage. All of
/// it is changed with the socket's lock held.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OptionEnd {
    /// Sequence numbers of the first byte that was sent, and of the first that is received.
    pub starts: [u32; 2],
    /// Where the last request begins whose segment has the option, in bytes after the first.
    pub carried: u32,
    /// Where the last request begins that was counted.
    pub counted: u32,
    /// 1: `starts` is known, and the connection carries.
    pub is_on: u8,
    /// 1: `carried` is known, and was not acknowledged when it was looked at last.
    pub is_pending: u8,
    /// 1: `counted` is known.
    pub has_counted: u8,
    /// Zero.
    pub reserved: [u8; 5],
}
const _: () = assert!(size_of::<OptionEnd>() == 24);

/// The option, as it stands in a segment.
#[must_use]
#[inline(always)]
pub const fn option_bytes(
    form: OptionForm,
    trace_id: [u8; 16],
    position: u32,
    flags: u8,
) -> [u8; OPTION_LEN as usize] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = trace_id;
    let [first, second] = form.magic.to_be_bytes();
    let [_, x, y, z] = position.to_be_bytes();
    let (kind, len) = (form.kind, OPTION_LEN as u8);
    [
        kind, len, first, second, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, x, y, z, flags,
    ]
}

/// Where the request begins that an option in a segment at `segment` speaks of, both in bytes
/// modulo 2^32; `None` where no segment that far away would have it.
#[must_use]
#[inline(always)]
pub const fn option_position(option: &[u8; OPTION_LEN as usize], segment: u32) -> Option<u32> {
    let low = u32::from_be_bytes([0, option[20], option[21], option[22]]);
    let before = segment.wrapping_sub(low) & 0xff_ffff;
    if before < OPTION_REACH {
        Some(segment.wrapping_sub(before))
    } else {
        None
    }
}

/// What of a socket is no offset that all programs need: where it says of itself that it is not to
/// be enrolled, in bytes from the start of `struct tcp_sock`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UnfitPlaces {
    /// `sk_flags`, 64 bits.
    pub flags: u32,
    /// Number of the bit `SOCK_ZEROCOPY` in them; 0: nothing of this is known, and nothing is
    /// enrolled.
    pub zero_copy: u32,
    /// `is_mptcp`, a byte; 0: this kernel has no Multipath TCP.
    pub multipath: u32,
    /// Zero.
    pub reserved: u32,
}

/// What is remembered of a connection whose process is watched, in its socket's storage. All of it
/// is changed with the socket's lock held.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Talk {
    /// Key of the connection in `ENROLLED`; 0 of those of the self-test.
    pub cookie: u64,
    /// The first 16 bytes of the field's name that is being read, in lower case, the last one
    /// lowest.
    pub name: [u64; 2],
    /// What Content-Length says, in bytes.
    pub length: u64,
    /// Bytes of the body that are still to come.
    pub body_left: u64,
    /// Sequence numbers of the first byte that was sent, and of the first that is received.
    pub starts: [u32; 2],
    /// Where the request begins that is being read, in bytes after the first that was sent.
    pub position: u32,
    /// Where the present message is being read.
    pub cursor: u32,
    /// Where the empty line begins in it, or [`NOWHERE`].
    pub empty_line: u32,
    /// Bytes of the head that came in earlier messages.
    pub head_len: u32,
    /// Length of the field's name so far.
    pub name_len: u32,
    /// Digits of Content-Length.
    pub digits: u32,
    /// A [`HeadPhase`].
    pub phase: u8,
    /// 1: `starts` is known.
    pub has_starts: u8,
    /// 1: the request names a trace already.
    pub has_context: u8,
    /// 1: what follows the head is not HTTP, or nobody counts how long it is.
    pub is_last: u8,
    /// 1: the head is over.
    pub is_over: u8,
    /// How often Content-Length was met.
    pub lengths: u8,
    /// 1: SETTINGS has come, with which HTTP/2 begins.
    pub has_settings: u8,
    /// Zero.
    pub reserved: u8,
    /// Of HTTP/2 the last stream that began.
    pub stream: u32,
    /// Of HTTP/2 where the block of the request's fields ends, in the present message.
    pub block_end: u32,
}
const _: () = assert!(size_of::<Talk>() == 88);

/// In [`Talk::empty_line`]: not in this message.
pub const NOWHERE: u32 = u32::MAX;

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HeadPhase {
    /// A request.
    Start = 0,
    /// The rest of its first line.
    Line = 1,
    /// The name of a field, or the empty line.
    Name = 2,
    /// The rest of a field's line.
    Value = 3,
    /// The value of Content-Length.
    Length = 4,
    /// The second byte of the empty line.
    End = 5,
    /// The body.
    Body = 6,
    /// Whatever it is, it is left alone.
    Blind = 7,
    /// Of HTTP/2: the head of a frame.
    Frame = 8,
    /// Of HTTP/2: what a frame carries.
    Payload = 9,
    /// Of HTTP/2: the block of a request's fields.
    Block = 10,
}

/// What was done, or declined, and why. An index into the `CARRIED` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Carried {
    /// A connection was enrolled.
    Enrolled = 0,
    /// A request got a field.
    Inserted = 1,
    /// Nobody knows in time on whose behalf a request is made.
    NoContext = 2,
    /// A request names a trace already.
    HasContext = 3,
    /// A head is longer than [`HEAD_MAX`]: the connection is left alone.
    HeadTooLong = 4,
    /// Bytes are no request of HTTP/1.x, and no frame of HTTP/2: the connection is left alone.
    Unknown = 5,
    /// What follows a head has no length, or is another protocol: the connection is left alone.
    Unbounded = 6,
    /// The empty line came in two messages.
    SplitEnd = 7,
    /// The kernel had no memory to show or to widen a message.
    NoMemory = 8,
    /// A message could not be put right, and was refused to the program that sent it.
    Refused = 9,
    /// The destination is not a private address.
    PublicPeer = 10,
    /// No room to enrol another connection.
    Full = 11,
    /// Bytes were sent before the connection was enrolled: it is left alone.
    EarlyBytes = 12,
    /// A request's head was not read whole, or names a trace in another way than expected.
    UnknownHead = 13,
    /// The connection may send without copying (`SO_ZEROCOPY`, io_uring): an enrolled one would be
    /// told of that wrongly, or could not. It is left alone.
    ZeroCopy = 14,
    /// The connection is a part of one of Multipath TCP.
    Multipath = 15,
    /// The process that connects is watched, and not among those that were chosen to carry.
    NotChosen = 16,
    /// A request of HTTP/2 got a field.
    Literal = 17,
    /// Fields of a request of HTTP/2 did not come whole in one message, or one frame: what is told
    /// of them later by number alone is not known, and the connection is left alone.
    SplitBlock = 18,
    /// On a connection of HTTP/2 somebody names traces already: it is left alone.
    NamesTraces = 19,
    /// A connection carries by the TCP option.
    OptionConnection = 20,
    /// The first segment of a request got the option.
    Optioned = 21,
    /// Other options left no room for it.
    NoOptionRoom = 22,
    /// An option came, and says of which trace a request is.
    OptionRead = 23,
    /// An option came that is not as ours are, or not where ours could be.
    OptionIgnored = 24,
    /// Whoever connects may have sent something already (TCP Fast Open).
    FastOpen = 25,
}

impl Carried {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 26] = [
        Self::Enrolled,
        Self::Inserted,
        Self::NoContext,
        Self::HasContext,
        Self::HeadTooLong,
        Self::Unknown,
        Self::Unbounded,
        Self::SplitEnd,
        Self::NoMemory,
        Self::Refused,
        Self::PublicPeer,
        Self::Full,
        Self::EarlyBytes,
        Self::UnknownHead,
        Self::ZeroCopy,
        Self::Multipath,
        Self::NotChosen,
        Self::Literal,
        Self::SplitBlock,
        Self::NamesTraces,
        Self::OptionConnection,
        Self::Optioned,
        Self::NoOptionRoom,
        Self::OptionRead,
        Self::OptionIgnored,
        Self::FastOpen,
    ];

    /// What it is called in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Inserted => "inserted",
            Self::NoContext => "no_context",
            Self::HasContext => "has_context",
            Self::HeadTooLong => "head_too_long",
            Self::Unknown => "not_http",
            Self::Unbounded => "unbounded",
            Self::SplitEnd => "split_end",
            Self::NoMemory => "no_memory",
            Self::Refused => "refused",
            Self::PublicPeer => "public_peer",
            Self::Full => "full",
            Self::EarlyBytes => "early_bytes",
            Self::UnknownHead => "unknown_head",
            Self::ZeroCopy => "zero_copy",
            Self::Multipath => "multipath",
            Self::NotChosen => "not_chosen",
            Self::Literal => "literal",
            Self::SplitBlock => "split_block",
            Self::NamesTraces => "names_traces",
            Self::OptionConnection => "option_connection",
            Self::Optioned => "optioned",
            Self::NoOptionRoom => "no_option_room",
            Self::OptionRead => "option_read",
            Self::OptionIgnored => "option_ignored",
            Self::FastOpen => "fast_open",
        }
    }
}

/// The id of a client's span, from what identifies its request among all that are made over TCP:
/// the sequence numbers of the first byte that the client sent and of the first that the server
/// did, and where the request begins, in bytes modulo 2^32, or [`OF_STREAM`]. Never 0. The numbers
/// are spread by the finalizer of MurmurHash3, twice.
#[must_use]
#[inline(always)]
pub const fn client_span_id(starts: [u32; 2], at: u64) -> u64 {
    let [client, server] = starts;
    let id = spread(spread((client as u64) << 32 | server as u64) ^ at);
    if id == 0 { 1 } else { id }
}

/// The id of the trace that begins with a request, where nobody named one: its halves, the first
/// bytes in the first. It follows from the same as [`client_span_id`], and is never 0.
#[must_use]
#[inline(always)]
pub const fn derived_trace_id(starts: [u32; 2], at: u64) -> [u64; 2] {
    /// Told apart from a span's id, which goes over the wire.
    const HALVES: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let of = client_span_id(starts, at);
    let low = spread(of ^ HALVES[1]);
    [spread(of ^ HALVES[0]), if low == 0 { 1 } else { low }]
}

#[inline(always)]
const fn spread(number: u64) -> u64 {
    let mut it = number;
    it ^= it >> 33;
    it = it.wrapping_mul(0xff51_afd7_ed55_8ccd);
    it ^= it >> 33;
    it = it.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    it ^ it >> 33
}

/// Four bytes, the first one highest, as eight hexadecimal digits, the first one lowest: as they
/// stand in memory of a machine that keeps the lowest byte first. Without a branch.
#[must_use]
#[inline(always)]
pub const fn hex(bytes: u32) -> u64 {
    const DIGITS: u64 = 0x3030_3030_3030_3030;
    /// From `9` + 1 to `a`.
    const LETTERS: u64 = 0x27;
    let mut it = bytes.swap_bytes() as u64;
    it = (it | it << 16) & 0x0000_ffff_0000_ffff;
    it = (it | it << 8) & 0x00ff_00ff_00ff_00ff;
    it = it >> 4 & 0x000f_000f_000f_000f | (it & 0x000f_000f_000f_000f) << 8;
    let letters = (it + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    it + DIGITS + letters * LETTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_as_they_are_written() {
        assert_eq!(hex(0x0123_9abf).to_le_bytes(), *b"01239abf");
        assert_eq!(hex(0xffff_0000).to_le_bytes(), *b"ffff0000");
    }

    #[test]
    fn an_option_tells_where_its_request_begins_wherever_a_card_cuts() {
        let form = OptionForm {
            kind: 253,
            magic: 0x5753,
            ..OptionForm::default()
        };
        for position in [0, 1, 0xff_fff0, 0x100_0000, u32::MAX - 3] {
            let option = option_bytes(form, TRIAL_TRACE_ID, position, 1);
            assert_eq!(option[..4], [253, 24, 0x57, 0x53]);
            assert_eq!((&option[4..20], option[23]), (&TRIAL_TRACE_ID[..], 1));
            for cut in [0, 1448, OPTION_REACH - 1] {
                let segment = position.wrapping_add(cut);
                assert_eq!(option_position(&option, segment), Some(position));
            }
            for elsewhere in [OPTION_REACH, u32::MAX] {
                let segment = position.wrapping_add(elsewhere);
                assert_eq!(option_position(&option, segment), None);
            }
        }
    }

    #[test]
    fn a_span_id_is_never_zero() {
        // spread(0) is 0.
        assert_eq!(client_span_id([0, 0], 0), 1);
        assert_ne!(client_span_id([1, 2], 3), client_span_id([2, 1], 3));
    }
}
