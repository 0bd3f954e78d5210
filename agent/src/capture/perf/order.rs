//! Records of several processors, in the order in which they happened: by time, and those of one
//! time (some clocks tell it every four milliseconds) by how far their connection had come. What
//! another processor may still tell something older than is held back. It knows no buffer.

use wirespan_common::record::{Body, LifeEvent, Record};

/// Records that wait.
#[derive(Debug, Default)]
pub struct HeldRecords {
    bytes: Vec<u8>,
    waiting: Vec<HeldRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HeldRecord {
    time_ns: u64,
    /// How far its connection had come.
    progress: u64,
    /// Where in `bytes`; later ones came later.
    begin: usize,
    end: usize,
}

impl HeldRecords {
    /// One more; what can't be decoded is told at once, so that it is counted.
    pub fn add(&mut self, record: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(record);
        let (time_ns, progress) = place_of(record);
        self.waiting.push(HeldRecord {
            time_ns,
            progress,
            begin,
            end: self.bytes.len(),
        });
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands those to `take` that happened at `until_ns` or before, at most `most`, and returns how
    /// many there were.
    pub fn release(
        &mut self,
        until_ns: u64,
        most: usize,
        mut take: impl FnMut(&mut [u8]),
    ) -> usize {
        self.waiting.sort_unstable();
        let ready = self.waiting.partition_point(|it| it.time_ns <= until_ns);
        let ready = ready.min(most);
        for waiting in self.waiting.drain(..ready) {
            take(&mut self.bytes[waiting.begin..waiting.end]);
        }
        if ready > 0 {
            self.close_gaps();
        }
        ready
    }

    /// Those that wait on move together.
    fn close_gaps(&mut self) {
        if self.waiting.is_empty() {
            self.bytes.clear();
            return;
        }
        let mut kept = Vec::with_capacity(self.waiting.iter().map(|it| it.end - it.begin).sum());
        // In the order in which they came, which decides among equals.
        self.waiting.sort_unstable_by_key(|it| it.begin);
        for waiting in &mut self.waiting {
            let begin = kept.len();
            kept.extend_from_slice(&self.bytes[waiting.begin..waiting.end]);
            (waiting.begin, waiting.end) = (begin, kept.len());
        }
        self.bytes = kept;
    }
}

/// When a record happened, and how far its connection had come.
fn place_of(record: &[u8]) -> (u64, u64) {
    let Ok((decoded, _)) = Record::decode(record) else {
        return (0, 0);
    };
    let progress = match decoded.body {
        // Both directions: each chunk says how far the other one is.
        Body::Chunk { chunk, .. } => chunk.position.saturating_add(chunk.opposite.position),
        Body::Progress { progress, .. } => {
            let moved = progress.ingress.position;
            moved.saturating_add(progress.egress.position)
        }
        // A process ends behind all that it did.
        Body::Life {
            event: LifeEvent::Exit,
            ..
        } => u64::MAX,
        _ => 0,
    };
    (decoded.time_ns, progress)
}

#[cfg(test)]
mod tests {
    use wirespan_common::record::{Chunk, Direction, Extent, Header, Kind, Life};
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn record(kind: Kind, time_ns: u64, body: &[u8]) -> Vec<u8> {
        let header = Header {
            len: (size_of::<Header>() + body.len()) as u32,
            kind: kind as u8,
            shard: 0,
            reserved: [0; 2],
            time_ns,
            tgid: 1,
            tid: 1,
        };
        [header.as_bytes(), body].concat()
    }

    /// A chunk of nothing: `position` bytes came before it, and `opposite` the other way.
    fn chunk(time_ns: u64, direction: Direction, position: u64, opposite: u64) -> Vec<u8> {
        let mut chunk = Chunk::new_zeroed();
        chunk.direction = direction as u8;
        chunk.position = position;
        chunk.opposite = Extent {
            position: opposite,
            ..Extent::default()
        };
        record(Kind::Chunk, time_ns, chunk.as_bytes())
    }

    fn ended(time_ns: u64) -> Vec<u8> {
        let mut life = Life::new_zeroed();
        life.event = LifeEvent::Exit as u8;
        record(Kind::Life, time_ns, life.as_bytes())
    }

    fn released(held: &mut HeldRecords, until_ns: u64, most: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        held.release(until_ns, most, |record| all.push(record.to_vec()));
        all
    }

    #[test]
    fn records_of_two_processors_come_by_time() {
        let mut held = HeldRecords::default();
        let records = [10, 30, 50, 20, 40].map(|at| chunk(at, Direction::Ingress, at, 0));
        records.iter().for_each(|record| held.add(record));
        let [first, third, fifth, second, fourth] = records;
        assert_eq!(released(&mut held, 30, 9), [first, second, third]);
        assert_eq!(released(&mut held, 30, 9), [] as [Vec<u8>; 0]);
        // What waited stays whole, and something older comes first.
        let late = chunk(35, Direction::Ingress, 0, 0);
        held.add(&late);
        assert_eq!(released(&mut held, u64::MAX, 2), [late, fourth]);
        assert_eq!(released(&mut held, u64::MAX, 2), [fifth]);
        assert_eq!(held.bytes(), 0);
    }

    #[test]
    fn at_one_time_of_a_coarse_clock_streams_tell_the_order() {
        let mut held = HeldRecords::default();
        let request = chunk(4, Direction::Ingress, 0, 0);
        let answer = chunk(4, Direction::Egress, 0, 100);
        let next = chunk(4, Direction::Ingress, 100, 50);
        let end = ended(4);
        for record in [&end, &next, &answer, &request] {
            held.add(record);
        }
        assert_eq!(released(&mut held, 4, 9), [request, answer, next, end]);
    }
}
