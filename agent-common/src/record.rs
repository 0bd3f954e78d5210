//! Records: what the kernel tells user space, one fact each. It does not interpret payloads.
//!
//! A record is a [`Header`], a body that its [`Kind`] decides, and, for some kinds, a payload that
//! fills the rest. `Header::len` counts all three, so records can be laid end to end in a file.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`), stream positions are bytes
//! since the kernel side first saw the connection.

mod caller;
mod task;

use core::mem::size_of;

pub use caller::{
    CALLER_BY_OPTION, CALLER_DECIDED, CALLER_KNOWN, CALLER_RANDOM, CALLER_SAMPLED, Caller,
};
pub use task::{ANCESTORS_MAX, Ancestors, Polled, TaskEvent, TaskKind, TaskNote};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record says. Travels as `u8`; an unknown value is counted and passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A connection was seen for the first time, or again after it was forgotten: [`Open`], then
    /// the path of a Unix socket.
    Open = 1,
    /// Bytes moved: [`Chunk`], then the first `captured` of them.
    Chunk = 2,
    /// How far both streams have come, and whether one of them ended: [`Progress`].
    Progress = 3,
    /// A watched process or a candidate changed: [`Life`].
    Life = 4,
    /// The offset between the monotonic and the wall clock changed: [`Clock`]. Made in user space.
    Clock = 5,
    /// What user space found out about a process: a JSON document. Made in user space.
    Process = 6,
    /// A runtime's task began, ended, or took a request over: [`TaskNote`], then the numbers of its
    /// ancestors.
    Task = 7,
    /// What was set of how spans are made, from now on: a JSON document. Made in user space.
    Settings = 8,
    /// What the agent of another node answered about the client of a request, or what a TCP option
    /// said of it: [`Caller`]. The first is made in user space.
    Caller = 9,
    /// Who is behind addresses within a cluster, from now on: a JSON document. Made in user space.
    Peers = 10,
    /// Which connections are left out from now on: [`SamplingNote`]. Made in user space.
    Sampling = 11,
}

impl TryFrom<u8> for Kind {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        Ok(match raw {
            1 => Self::Open,
            2 => Self::Chunk,
            3 => Self::Progress,
            4 => Self::Life,
            5 => Self::Clock,
            6 => Self::Process,
            7 => Self::Task,
            8 => Self::Settings,
            9 => Self::Caller,
            10 => Self::Peers,
            11 => Self::Sampling,
            unknown => return Err(unknown),
        })
    }
}

/// Which way bytes move, seen from the process that was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Read by the process.
    Ingress = 0,
    /// Written by the process.
    Egress = 1,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

impl TryFrom<u8> for Direction {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        match raw {
            0 => Ok(Self::Ingress),
            1 => Ok(Self::Egress),
            unknown => Err(unknown),
        }
    }
}

/// Begins every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Bytes of the whole record, this header included.
    pub len: u32,
    /// A [`Kind`].
    pub kind: u8,
    /// Which shard it is for, below [`crate::shard::SHARDS_MAX`]. Records of one shard are in
    /// order; of those of two, nothing is said.
    pub shard: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// When it happened; for a transfer, when the call returned.
    pub time_ns: u64,
    /// Process (thread group) in the initial pid namespace; 0 where no process is concerned.
    pub tgid: u32,
    /// Thread in the initial pid namespace; 0 where none is concerned.
    pub tid: u32,
}
const _: () = assert!(size_of::<Header>() == 24);

/// Last bytes of a transfer that was not copied whole: they often close a message
/// (`0\r\n\r\n` ends a chunked HTTP body).
pub type Tail = [u8; 8];

/// How far one stream has come.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Extent {
    /// Bytes that moved so far.
    pub position: u64,
    /// When the last of them moved; 0 if none did.
    pub last_ns: u64,
    /// The last bytes that moved; valid as far as `tail_len` says, aligned to the end:
    /// `tail[8 - tail_len..]`.
    pub tail: Tail,
    /// Valid bytes in `tail`, 0 where they were not readable (sendfile) or not looked at.
    pub tail_len: u8,
    /// Zero.
    pub reserved: [u8; 7],
}
const _: () = assert!(size_of::<Extent>() == 32);

/// Identity of a connection's one end: the inode number of its socket. It is unique among live
/// sockets of a machine, shared by every descriptor and process that holds the socket, and what
/// `/proc/<pid>/fd` shows as `socket:[…]`.
///
/// Plaintext of a TLS object has an identity of its own, see [`OBJECT_BIT`].
pub type ConnectionId = u64;

/// Set in the identity of a connection that is a TLS object: what a library reads from it and
/// writes to it in plain. No inode number has it. The socket underneath is its carrier.
pub const OBJECT_BIT: u64 = 1 << 63;

/// Whether this is a TLS object and not a socket.
#[must_use]
pub const fn is_object(connection: ConnectionId) -> bool {
    connection & OBJECT_BIT != 0
}

/// Set in the identity of a TLS object that its library moves about in memory and never says that
/// it is gone (rustls): at its address another one may be by now, whose socket is not this one's.
pub const OBJECT_MOVES: u64 = 1 << 8;

/// Whether it is certain which socket a TLS object is on.
#[must_use]
pub const fn has_certain_carrier(object: ConnectionId) -> bool {
    object & OBJECT_MOVES == 0
}

/// Body of [`Kind::Open`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Open {
    /// Whose addresses these are.
    pub connection: ConnectionId,
    /// The socket that carries it encrypted, for a TLS object; else 0. Chunks of an object may come
    /// before the record that tells this.
    pub carrier: ConnectionId,
    /// `AF_INET` (2), `AF_INET6` (10) or `AF_UNIX` (1).
    pub family: u16,
    /// Host byte order; 0 for Unix sockets.
    pub local_port: u16,
    /// Host byte order; 0 for Unix sockets.
    pub peer_port: u16,
    /// Tells sockets apart that have the same inode number one after the other: a few bits of where
    /// the kernel keeps this one; 0 if that was not told.
    pub socket: u16,
    /// Network byte order; an IPv4 address fills the first four bytes.
    pub local_address: [u8; 16],
    /// Network byte order; an IPv4 address fills the first four bytes.
    pub peer_address: [u8; 16],
    /// Sequence numbers (TCP) of the first byte of either stream, ingress first, where `flags` says
    /// so. A connection that was forgotten and goes on begins where it was.
    pub first_sequences: [u32; 2],
    /// Bytes that moved on the TCP connection before the first byte of either stream, ingress
    /// first, where `flags` says so: both are 0 of one that was seen from its beginning. Less than
    /// a sequence number by the number of the stream's very first byte, which both ends of a
    /// connection compute alike.
    pub first_positions: [u64; 2],
    /// Of a Unix socket, the inode number of the socket at its other end; else 0.
    pub peer: ConnectionId,
    /// A bit set of `OPEN_*`.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 7],
}
const _: () = assert!(size_of::<Open>() == 96);

/// `first_sequences` are known.
pub const OPEN_SEQUENCED: u8 = 1;

/// Nothing begins with this record: the socket of a TLS object was found, whose plaintext came
/// before.
pub const OPEN_LATE: u8 = 2;

/// `first_positions` are known.
pub const OPEN_COUNTED: u8 = 4;

/// The connection was left out, and is followed from here on: what it said before is not known.
pub const OPEN_RESUMED: u8 = 8;

/// Body of [`Kind::Chunk`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Chunk {
    /// Which connection.
    pub connection: ConnectionId,
    /// Where in its stream the first byte stands.
    pub position: u64,
    /// Bytes that moved.
    pub len: u32,
    /// Bytes of them that follow this body: `captured <= len`.
    pub captured: u32,
    /// A [`Direction`].
    pub direction: u8,
    /// A bit set of `CHUNK_*`.
    pub flags: u8,
    /// Valid bytes in `tail`.
    pub tail_len: u8,
    /// A [`TaskKind`], or 0 if no task is known.
    pub task_kind: u8,
    /// Which part of `task` it is, where its kind has parts; else 0.
    pub task_part: u32,
    /// The task that made the call, by the number that its kind has; 0 if none is known.
    pub task: u64,
    /// Of a TLS object that a TCP socket carries, where `flags` says so: sequence numbers of the
    /// next bytes that are read from and written to that socket, as of the end of the call. Or, of
    /// a connection into whose requests fields are inserted, and where `flags` says that: zero, and
    /// how many bytes were inserted before this transfer, modulo 2^32.
    pub carrier_sequences: [u32; 2],
    /// Last bytes of this transfer, where `captured < len`; laid out as in [`Extent`].
    pub tail: Tail,
    /// How far the stream of the other direction had come by then, so that what was only counted
    /// needs no record of its own.
    pub opposite: Extent,
}
const _: () = assert!(size_of::<Chunk>() == 88);

/// A record of this connection could not be written since the last one that was: what is missing
/// before `position` was lost, not left out on purpose.
pub const CHUNK_AFTER_LOSS: u8 = 1;

/// `carrier_sequences` are known.
pub const CHUNK_CARRIED: u8 = 2;

/// Fields are inserted into what this connection sends; `carrier_sequences` tell how much that was.
pub const CHUNK_WIDENED: u8 = 4;

/// What happened to the streams of a [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Nothing: somebody asked how far they are.
    Asked = 0,
    /// The process read the end of the peer's stream.
    IngressEnded = 1,
    /// The process will write no more (`shutdown`).
    EgressEnded = 2,
    /// The process closed the socket.
    Closed = 3,
    /// The peer or the network tore the connection down.
    Reset = 4,
}

impl TryFrom<u8> for Stage {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        Ok(match raw {
            0 => Self::Asked,
            1 => Self::IngressEnded,
            2 => Self::EgressEnded,
            3 => Self::Closed,
            4 => Self::Reset,
            unknown => return Err(unknown),
        })
    }
}

/// Body of [`Kind::Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Progress {
    /// Which connection.
    pub connection: ConnectionId,
    /// A [`Stage`].
    pub stage: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// How far what the process read has come.
    pub ingress: Extent,
    /// How far what the process wrote has come.
    pub egress: Extent,
}
const _: () = assert!(size_of::<Progress>() == 80);

/// What happened in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LifeEvent {
    /// It runs a new executable.
    Exec = 1,
    /// A watched process made a child, `other`, which is watched from now on too.
    Fork = 2,
    /// It listens on `port`; if the port is among those asked for, it is watched from now on.
    Listen = 3,
    /// Its last thread ended.
    Exit = 4,
    /// It moved bytes on a connection that a peer made to `port`, which is among those asked for,
    /// whoever listens there; it is watched from now on. Told once per executable that it runs.
    Serve = 5,
}

impl TryFrom<u8> for LifeEvent {
    type Error = u8;

    fn try_from(raw: u8) -> Result<Self, u8> {
        Ok(match raw {
            1 => Self::Exec,
            2 => Self::Fork,
            3 => Self::Listen,
            4 => Self::Exit,
            5 => Self::Serve,
            unknown => return Err(unknown),
        })
    }
}

/// Body of [`Kind::Life`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Life {
    /// A [`LifeEvent`].
    pub event: u8,
    /// 1 if the kernel side watches the process as of this record, else 0.
    pub watched: u8,
    /// Host byte order; 0 but for `Listen` and `Serve`.
    pub port: u16,
    /// The child's thread group of a `Fork`; how the process ended of an `Exit`, as wait(2) has it:
    /// the signal that ended it is in the lowest seven bits. Else 0.
    pub other: u32,
    /// The thread's name (`TASK_COMM_LEN`), NUL-padded; the only name there is of a process that
    /// has gone before user space looked.
    pub comm: [u8; 16],
}
const _: () = assert!(size_of::<Life>() == 24);

/// Body of [`Kind::Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Clock {
    /// Add this to a record's time to get nanoseconds since the Unix epoch.
    pub wall_offset_ns: i64,
}
const _: () = assert!(size_of::<Clock>() == 8);

/// Body of [`Kind::Sampling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SamplingNote {
    /// Connections whose number ([`crate::sampling::draw`]) is below this one are left out; none if
    /// it is 0.
    pub left_out_below: u32,
    /// Zero.
    pub reserved: u32,
}
const _: () = assert!(size_of::<SamplingNote>() == 8);

/// A record, decoded; the payload is borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Process, in the initial pid namespace.
    pub tgid: u32,
    /// Thread, in the initial pid namespace.
    pub tid: u32,
    /// Which shard it is for.
    pub shard: u8,
    /// What it says.
    pub body: Body<'a>,
}

/// A record's body and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A connection was seen for the first time.
    Open {
        /// Its addresses.
        open: Open,
        /// Path of a Unix socket, empty if it has none; begins with NUL if it is abstract.
        path: &'a [u8],
    },
    /// Bytes moved.
    Chunk {
        /// Where and how many.
        chunk: Chunk,
        /// Which way.
        direction: Direction,
        /// The first `chunk.captured` of them.
        bytes: &'a [u8],
    },
    /// How far both streams have come.
    Progress {
        /// Positions and times.
        progress: Progress,
        /// What happened.
        stage: Stage,
    },
    /// A process changed.
    Life {
        /// Details.
        life: Life,
        /// What happened.
        event: LifeEvent,
    },
    /// The wall clock's offset.
    Clock(Clock),
    /// A process described, as JSON.
    Process(&'a [u8]),
    /// A task of a runtime.
    Task {
        /// Details.
        note: TaskNote,
        /// What happened.
        event: TaskEvent,
        /// Of what kind the task is.
        kind: TaskKind,
        /// Its ancestors, the nearest first.
        ancestors: Ancestors,
    },
    /// How spans are made from now on, as JSON.
    Settings(&'a [u8]),
    /// Who is behind addresses from now on, as JSON.
    Peers(&'a [u8]),
    /// Who made a request, as another node tells.
    Caller(Caller),
    /// Which connections are left out.
    Sampling(SamplingNote),
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Cut short.
    Truncated,
    /// A length contradicts another.
    Inconsistent,
    /// A kind or discriminant that this version does not know.
    Unknown,
}

impl<'a> Record<'a> {
    /// Decodes the record that begins at `bytes[0]` and returns it with its length.
    ///
    /// # Errors
    /// See [`DecodeError`]. On [`DecodeError::Unknown`], [`Record::len_of`] still tells where the
    /// next record begins.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), DecodeError> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| DecodeError::Truncated)?;
        let len = Self::len_of(bytes)?;
        let rest = bytes
            .get(size_of::<Header>()..len)
            .ok_or(DecodeError::Truncated)?;
        let kind = Kind::try_from(header.kind).map_err(|_| DecodeError::Unknown)?;
        let body = Body::decode(kind, rest)?;
        Ok((
            Self {
                time_ns: header.time_ns,
                tgid: header.tgid,
                tid: header.tid,
                shard: header.shard,
                body,
            },
            len,
        ))
    }

    /// The length that the record at `bytes[0]` claims.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if not even a header is there, [`DecodeError::Inconsistent`] if
    /// the length leaves no room for one.
    pub fn len_of(bytes: &[u8]) -> Result<usize, DecodeError> {
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| DecodeError::Truncated)?;
        let len = header.len as usize;
        if len < size_of::<Header>() {
            Err(DecodeError::Inconsistent)
        } else {
            Ok(len)
        }
    }
}

impl<'a> Body<'a> {
    fn decode(kind: Kind, rest: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match kind {
            Kind::Open => {
                let (open, path) = split::<Open>(rest)?;
                Self::Open { open, path }
            }
            Kind::Chunk => {
                let (chunk, bytes) = split::<Chunk>(rest)?;
                let direction =
                    Direction::try_from(chunk.direction).map_err(|_| DecodeError::Unknown)?;
                // Ring buffer entries are padded to eight bytes: there may be more than was said.
                let bytes = bytes
                    .get(..chunk.captured as usize)
                    .ok_or(DecodeError::Truncated)?;
                if chunk.captured > chunk.len
                    || chunk.tail_len > 8
                    || chunk.opposite.tail_len > 8
                    || chunk.position.checked_add(u64::from(chunk.len)).is_none()
                {
                    return Err(DecodeError::Inconsistent);
                }
                Self::Chunk {
                    chunk,
                    direction,
                    bytes,
                }
            }
            Kind::Progress => {
                let (progress, _) = split::<Progress>(rest)?;
                let stage = Stage::try_from(progress.stage).map_err(|_| DecodeError::Unknown)?;
                if progress.ingress.tail_len > 8 || progress.egress.tail_len > 8 {
                    return Err(DecodeError::Inconsistent);
                }
                Self::Progress { progress, stage }
            }
            Kind::Life => {
                let (life, _) = split::<Life>(rest)?;
                let event = LifeEvent::try_from(life.event).map_err(|_| DecodeError::Unknown)?;
                Self::Life { life, event }
            }
            Kind::Clock => Self::Clock(split::<Clock>(rest)?.0),
            Kind::Process => Self::Process(rest),
            Kind::Task => {
                let (note, rest) = split::<TaskNote>(rest)?;
                Self::Task {
                    event: TaskEvent::try_from(note.event).map_err(|_| DecodeError::Unknown)?,
                    kind: TaskKind::try_from(note.kind).map_err(|_| DecodeError::Unknown)?,
                    ancestors: Ancestors::read(rest, note.ancestors)?,
                    note,
                }
            }
            Kind::Settings => Self::Settings(rest),
            Kind::Peers => Self::Peers(rest),
            Kind::Caller => Self::Caller(split::<Caller>(rest)?.0),
            Kind::Sampling => Self::Sampling(split::<SamplingNote>(rest)?.0),
        })
    }
}

fn split<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(bytes).map_err(|_| DecodeError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec::Vec;

    fn chunk_record(payload: &[u8]) -> Vec<u8> {
        let chunk = Chunk {
            connection: 77,
            position: 1000,
            len: payload.len() as u32 + 5,
            captured: payload.len() as u32,
            direction: Direction::Egress as u8,
            flags: CHUNK_AFTER_LOSS,
            tail_len: 8,
            task_kind: TaskKind::Tokio as u8,
            task_part: 0,
            task: 9,
            carrier_sequences: [0; 2],
            tail: *b"tailtail",
            opposite: Extent {
                position: 3,
                last_ns: 4,
                ..Extent::default()
            },
        };
        let header = Header {
            len: (size_of::<Header>() + size_of::<Chunk>() + payload.len()) as u32,
            kind: Kind::Chunk as u8,
            shard: 3,
            reserved: [0; 2],
            time_ns: 5,
            tgid: 6,
            tid: 7,
        };
        [header.as_bytes(), chunk.as_bytes(), payload].concat()
    }

    #[test]
    fn a_chunk_is_read_back_as_it_was_written() {
        let bytes = chunk_record(b"GET / HTTP/1.1\r\n");
        let (record, len) = Record::decode(&bytes).expect("decodes");
        assert_eq!(len, bytes.len());
        assert_eq!((record.time_ns, record.tgid, record.tid), (5, 6, 7));
        assert_eq!(record.shard, 3);
        let Body::Chunk {
            chunk,
            direction,
            bytes,
        } = record.body
        else {
            panic!("a chunk")
        };
        assert_eq!(direction, Direction::Egress);
        assert_eq!(bytes, b"GET / HTTP/1.1\r\n");
        assert_eq!(
            (chunk.connection, chunk.position, chunk.len),
            (77, 1000, 21)
        );
    }

    #[test]
    fn ancestors_of_a_task_are_read_up_to_a_bound() {
        let note = |ancestors: u8, told: usize| {
            let note = TaskNote {
                task: 1,
                other: 2,
                part: 3,
                event: TaskEvent::Born as u8,
                kind: TaskKind::PythonContext as u8,
                ancestors,
                after_loss: 0,
            };
            let told: Vec<u8> = (5..).take(told).flat_map(u64::to_ne_bytes).collect();
            let header = Header {
                len: (size_of::<Header>() + size_of::<TaskNote>() + told.len()) as u32,
                kind: Kind::Task as u8,
                shard: 0,
                reserved: [0; 2],
                time_ns: 5,
                tgid: 6,
                tid: 7,
            };
            [header.as_bytes(), note.as_bytes(), &told].concat()
        };
        let bytes = note(3, 3);
        let (record, _) = Record::decode(&bytes).expect("decodes");
        let Body::Task {
            event, ancestors, ..
        } = record.body
        else {
            panic!("a task")
        };
        assert_eq!(event, TaskEvent::Born);
        assert_eq!(ancestors.as_slice(), [5, 6, 7]);
        let outcome = |bytes: &[u8]| Record::decode(bytes).map(|_| ());
        assert_eq!(outcome(&note(3, 2)), Err(DecodeError::Truncated));
        let beyond = ANCESTORS_MAX as u8 + 1;
        let beyond = note(beyond, beyond.into());
        assert_eq!(outcome(&beyond), Err(DecodeError::Inconsistent));
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let bytes = chunk_record(b"abc");
        for cut in 0..bytes.len() {
            assert_eq!(
                Record::decode(&bytes[..cut]),
                Err(DecodeError::Truncated),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn an_unknown_kind_is_told_apart_and_can_be_passed_over() {
        let mut bytes = chunk_record(b"abc");
        bytes[4] = 200;
        assert_eq!(Record::decode(&bytes), Err(DecodeError::Unknown));
        assert_eq!(Record::len_of(&bytes), Ok(bytes.len()));
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let mut captured_beyond_len = chunk_record(b"abc");
        captured_beyond_len[24 + 16] = 1;
        assert_eq!(
            Record::decode(&captured_beyond_len),
            Err(DecodeError::Inconsistent)
        );

        let mut no_room_for_a_header = chunk_record(b"abc");
        no_room_for_a_header[0..4].copy_from_slice(&8u32.to_ne_bytes());
        assert_eq!(
            Record::decode(&no_room_for_a_header),
            Err(DecodeError::Inconsistent)
        );
    }
}
