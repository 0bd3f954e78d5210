//! Layouts of records that earlier versions wrote, made into today's. Nothing is written in them
//! any more; what a layout did not say is told as not known.

use wirespan_common::record::{Header, Kind};
use zerocopy::{FromBytes, IntoBytes};

use super::LAYOUT_VERSION;

/// The oldest layout that is read.
pub const OLDEST: u16 = 2;

/// Which layout a recording has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 2: an `Open` ended behind its addresses, a chunk named no task.
    Two,
    /// Version 3: an `Open` told sequence numbers, and no more.
    Three,
    /// [`LAYOUT_VERSION`].
    Current,
}

/// What was put into records of a kind since: `len` bytes, `at` so many bytes behind the header.
struct Added {
    kind: Kind,
    at: usize,
    len: usize,
}

const fn added(kind: Kind, at: usize, len: usize) -> Added {
    Added { kind, at, len }
}

impl Layout {
    /// The layout with this number; `None` if it is not known.
    pub fn of(version: u16) -> Option<Self> {
        match version {
            OLDEST => Some(Self::Two),
            3 => Some(Self::Three),
            LAYOUT_VERSION => Some(Self::Current),
            _ => None,
        }
    }

    const fn added(self) -> &'static [Added] {
        const CHUNK: Added = added(Kind::Chunk, 32, 16);
        match self {
            Self::Two => const { &[added(Kind::Open, 56, 40), CHUNK] },
            Self::Three => const { &[added(Kind::Open, 64, 24), CHUNK] },
            Self::Current => &[],
        }
    }

    /// The record in today's layout; `room` is used where it has to be built.
    pub fn current<'a>(self, record: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
        let Ok((mut header, body)) = Header::read_from_prefix(record) else {
            return record;
        };
        let of_kind = |added: &&Added| added.kind as u8 == header.kind;
        let Some(added) = self.added().iter().find(of_kind) else {
            return record;
        };
        let Some((before, behind)) = body.split_at_checked(added.at) else {
            return record;
        };
        header.len += added.len as u32;
        room.clear();
        room.extend_from_slice(header.as_bytes());
        room.extend_from_slice(before);
        room.resize(room.len() + added.len, 0);
        room.extend_from_slice(behind);
        room
    }
}

#[cfg(test)]
mod tests {
    use wirespan_common::record::{Body, Chunk, Direction, Open, Record};

    use super::*;

    fn record(kind: Kind, body: &[u8], payload: &[u8]) -> Vec<u8> {
        let header = Header {
            len: (size_of::<Header>() + body.len() + payload.len()) as u32,
            kind: kind as u8,
            shard: 0,
            reserved: [0; 2],
            time_ns: 1,
            tgid: 2,
            tid: 3,
        };
        [header.as_bytes(), body, payload].concat()
    }

    /// What is decoded of a record of that layout, and nothing of one that is cut within its body.
    fn reads(layout: Layout, kind: Kind, body: &[u8], payload: &[u8], expected: Body<'_>) {
        let old = record(kind, body, payload);
        let mut room = Vec::new();
        let (record, _) = Record::decode(layout.current(&old, &mut room)).expect("a record");
        assert_eq!(record.body, expected);
        for cut in 0..size_of::<Header>() + body.len() {
            let bytes = layout.current(&old[..cut], &mut room);
            assert!(Record::decode(bytes).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_an_open_did_not_say_is_not_known() {
        let two = Open {
            connection: 7,
            local_port: 80,
            peer_address: [9; 16],
            ..Open::default()
        };
        let three = Open {
            first_sequences: [1, 2],
            flags: 1,
            ..two
        };
        let path = b"/run/it";
        let bytes = two.as_bytes();
        let open = two;
        reads(
            Layout::Two,
            Kind::Open,
            &bytes[..56],
            path,
            Body::Open { open, path },
        );
        let bytes = [&three.as_bytes()[..64], &three.as_bytes()[88..]].concat();
        let open = three;
        reads(
            Layout::Three,
            Kind::Open,
            &bytes,
            path,
            Body::Open { open, path },
        );
    }

    #[test]
    fn a_chunk_without_a_task_has_none() {
        let chunk = Chunk {
            connection: 7,
            position: 8,
            len: 20,
            captured: 3,
            direction: Direction::Egress as u8,
            tail_len: 8,
            tail: *b"tailtail",
            ..Chunk::default()
        };
        let bytes = [&chunk.as_bytes()[..32], &chunk.as_bytes()[48..]].concat();
        let expected = Body::Chunk {
            chunk,
            direction: Direction::Egress,
            bytes: b"abc",
        };
        reads(Layout::Two, Kind::Chunk, &bytes, b"abc", expected);
        reads(Layout::Three, Kind::Chunk, &bytes, b"abc", expected);
    }
}
