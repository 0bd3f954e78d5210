//! Which connections are to hear that something was lost: nobody knows whose record had no room in
//! a perf buffer, so the next chunk of each connection says so.

use std::collections::HashSet;
use std::mem::offset_of;

use wirespan_common::record::{CHUNK_AFTER_LOSS, Chunk, ConnectionId, Header, Kind, Open};
use zerocopy::FromBytes as _;

/// Connections that are remembered to have heard. Where there are more, the others don't.
const HEARD_MAX: usize = 65_536;

/// Since the last loss.
#[derive(Debug, Default)]
pub struct LossMarks {
    /// Those that have heard, or began since. `None` while nothing was lost.
    heard: Option<HashSet<ConnectionId>>,
}

impl LossMarks {
    /// Something was lost.
    pub fn lost(&mut self) {
        self.heard.get_or_insert_default().clear();
    }

    /// LossMarks the record if it is the first chunk of its connection since.
    pub fn mark(&mut self, record: &mut [u8]) {
        let Some(heard) = &mut self.heard else {
            return;
        };
        let Ok((header, body)) = Header::read_from_prefix(record) else {
            return;
        };
        if header.kind == Kind::Open as u8 {
            if let Ok((open, _)) = Open::read_from_prefix(body) {
                heard.insert(open.connection);
            }
        } else if header.kind == Kind::Chunk as u8
            && let Ok((chunk, _)) = Chunk::read_from_prefix(body)
            && heard.insert(chunk.connection)
            && let Some(flags) = record.get_mut(size_of::<Header>() + offset_of!(Chunk, flags))
        {
            *flags |= CHUNK_AFTER_LOSS;
        }
        if heard.len() >= HEARD_MAX {
            self.heard = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn record(kind: Kind, body: &[u8]) -> Vec<u8> {
        let mut header = Header::new_zeroed();
        header.len = (size_of::<Header>() + body.len()) as u32;
        header.kind = kind as u8;
        [header.as_bytes(), body].concat()
    }

    fn is_marked(marks: &mut LossMarks, connection: ConnectionId) -> bool {
        let mut chunk = Chunk::new_zeroed();
        chunk.connection = connection;
        let before = record(Kind::Chunk, chunk.as_bytes());
        let mut after = before.clone();
        marks.mark(&mut after);
        chunk.flags = CHUNK_AFTER_LOSS;
        assert!(after == before || after == record(Kind::Chunk, chunk.as_bytes()));
        after != before
    }

    #[test]
    fn each_connection_hears_once_of_each_loss_and_new_ones_do_not() {
        let mut marks = LossMarks::default();
        assert!(!is_marked(&mut marks, 1));
        marks.lost();
        assert!(is_marked(&mut marks, 1) && is_marked(&mut marks, 2));
        assert!(!is_marked(&mut marks, 1));
        let mut open = Open::new_zeroed();
        open.connection = 3;
        marks.mark(&mut record(Kind::Open, open.as_bytes()));
        assert!(!is_marked(&mut marks, 3));
        marks.lost();
        assert!(is_marked(&mut marks, 1) && is_marked(&mut marks, 3));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut marks = LossMarks::default();
        marks.lost();
        let marked = (0..HEARD_MAX as u64 + 9).filter(|&id| is_marked(&mut marks, id));
        assert_eq!(marked.count(), HEARD_MAX);
        assert!(marks.heard.is_none());
    }
}
