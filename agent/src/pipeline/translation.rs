//! From records to what conversations hear. Nothing is decided here.

use wirespan_common::record::{
    self, CHUNK_AFTER_LOSS, CHUNK_CARRIED, CHUNK_WIDENED, Record, TaskKind,
};
use wirespan_protocols::conversation;

use crate::exchanges::Moment;
use crate::links::{Actor, Task};

pub fn direction(direction: record::Direction) -> conversation::Direction {
    match direction {
        record::Direction::Ingress => conversation::Direction::Ingress,
        record::Direction::Egress => conversation::Direction::Egress,
    }
}

pub fn extent(extent: &record::Extent) -> conversation::Extent {
    conversation::Extent {
        position: extent.position,
        last_ns: extent.last_ns,
        tail: extent.tail,
        tail_len: extent.tail_len,
    }
}

pub fn moment(record: &Record<'_>, chunk: &record::Chunk) -> Moment {
    // A kind of a later version is no kind.
    let task = TaskKind::try_from(chunk.task_kind).ok().map(|kind| Task {
        kind,
        id: chunk.task,
        part: chunk.task_part,
    });
    let is_carried = chunk.flags & CHUNK_CARRIED != 0;
    let is_widened = chunk.flags & CHUNK_WIDENED != 0;
    let [_, inserted] = chunk.carrier_sequences;
    Moment {
        time_ns: record.time_ns,
        actor: Actor {
            tgid: record.tgid,
            tid: record.tid,
            task,
        },
        carrier_sequences: is_carried.then_some(chunk.carrier_sequences),
        inserted: if is_widened { inserted } else { 0 },
    }
}

pub fn chunk<'a>(
    record: &Record<'_>,
    chunk: &record::Chunk,
    direction: record::Direction,
    bytes: &'a [u8],
) -> conversation::Chunk<'a> {
    conversation::Chunk {
        direction: self::direction(direction),
        position: chunk.position,
        len: chunk.len.into(),
        bytes,
        tail: chunk.tail,
        tail_len: chunk.tail_len,
        time_ns: record.time_ns,
        tid: record.tid,
        after_loss: chunk.flags & CHUNK_AFTER_LOSS != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_translated_without_a_loss() {
        let extent = record::Extent {
            position: 3,
            last_ns: 4,
            tail: *b"abcdefgh",
            tail_len: 5,
            reserved: [0; 7],
        };
        let told = super::extent(&extent);
        assert_eq!((told.position, told.last_ns), (3, 4));
        assert_eq!((&told.tail, told.tail_len), (b"abcdefgh", 5));

        let mut raw = record::Chunk {
            connection: 1,
            position: 20,
            len: 30,
            captured: 2,
            direction: record::Direction::Egress as u8,
            flags: CHUNK_AFTER_LOSS,
            tail_len: 6,
            tail: *b"hgfedcba",
            opposite: extent,
            ..record::Chunk::default()
        };
        let whole = Record {
            time_ns: 40,
            tgid: 50,
            tid: 60,
            shard: 0,
            body: record::Body::Process(b""),
        };
        let told = chunk(&whole, &raw, record::Direction::Egress, b"hi");
        assert_eq!(told.direction, conversation::Direction::Egress);
        assert_eq!((told.position, told.len, told.bytes), (20, 30, &b"hi"[..]));
        assert_eq!((&told.tail, told.tail_len), (b"hgfedcba", 6));
        assert_eq!((told.time_ns, told.tid, told.after_loss), (40, 60, true));
        raw.flags = !CHUNK_AFTER_LOSS;
        assert!(!chunk(&whole, &raw, record::Direction::Egress, b"hi").after_loss);
    }
}
