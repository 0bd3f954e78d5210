//! Layouts of records that earlier versions wrote, made into today's. Nothing is written in them
//! any more; what a layout did not say is told as not known.

use wirespan_common::record::{Header, Kind, Open};
use zerocopy::{FromBytes, IntoBytes};

use super::LAYOUT_VERSION;

/// The oldest layout that is read.
pub const OLDEST: u16 = 2;

/// Which layout a recording has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 2: an `Open` ended behind its addresses.
    Two,
    /// [`LAYOUT_VERSION`].
    Current,
}

/// Bytes that version 3 put between the addresses of an `Open` and the path behind them.
const ADDED: usize = 16;

impl Layout {
    /// The layout with this number; `None` if it is not known.
    pub fn of(version: u16) -> Option<Self> {
        match version {
            OLDEST => Some(Self::Two),
            // Version 3 had no shards: everything was of the first.
            3 | LAYOUT_VERSION => Some(Self::Current),
            _ => None,
        }
    }

    /// The record in today's layout; `room` is used where it has to be built.
    pub fn current<'a>(self, record: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
        const BODY: usize = size_of::<Header>();
        const ADDRESSES_END: usize = BODY + size_of::<Open>() - ADDED;
        let Ok((mut header, _)) = Header::read_from_prefix(record) else {
            return record;
        };
        if self == Self::Current || header.kind != Kind::Open as u8 || record.len() < ADDRESSES_END
        {
            return record;
        }
        header.len += ADDED as u32;
        room.clear();
        room.extend_from_slice(header.as_bytes());
        room.extend_from_slice(&record[BODY..ADDRESSES_END]);
        room.extend_from_slice(&[0; ADDED]);
        room.extend_from_slice(&record[ADDRESSES_END..]);
        room
    }
}

#[cfg(test)]
mod tests {
    use wirespan_common::record::{Body, Record};

    use super::*;

    #[test]
    fn an_open_without_sequences_is_one_whose_are_not_known() {
        let open = Open {
            connection: 7,
            local_port: 80,
            peer_address: [9; 16],
            ..Open::default()
        };
        let path = b"/run/it";
        let body = &open.as_bytes()[..size_of::<Open>() - ADDED];
        let header = Header {
            len: (size_of::<Header>() + body.len() + path.len()) as u32,
            kind: Kind::Open as u8,
            shard: 0,
            reserved: [0; 2],
            time_ns: 1,
            tgid: 2,
            tid: 3,
        };
        let old = [header.as_bytes(), body, path].concat();
        let mut room = Vec::new();
        let (record, len) = Record::decode(Layout::Two.current(&old, &mut room)).expect("a record");
        assert_eq!(len, old.len() + ADDED);
        assert_eq!(record.body, Body::Open { open, path });
        // What is cut stays cut.
        for cut in 0..size_of::<Header>() + body.len() {
            let bytes = Layout::Two.current(&old[..cut], &mut room);
            assert!(Record::decode(bytes).is_err(), "{cut}");
        }
    }
}
