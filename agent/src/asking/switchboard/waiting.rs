//! Questions of others that can't be answered yet: those about calls of which it is not known where
//! they stand, and, for a moment, those about calls that are not known at all. Records of a client
//! may be read later than its request is at the server's.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use wirespan_protocols::heap;

use super::StreamId;
use crate::links::JoinKey;

/// How long a call may be unknown that is asked about: as long as its records may be late.
const UNSEEN_FOR: Duration = Duration::from_millis(250);
/// How long it may be unknown where one stands: longer than anybody waits.
const BEGUN_FOR: Duration = Duration::from_secs(20);
/// Questions of one agent that wait at a time, and of all.
const OF_STREAM_MAX: usize = 16 * 1024;
const ALL_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
struct WaitingTurn {
    until_ns: u64,
    key: JoinKey,
    stream: StreamId,
    number: u32,
}

impl WaitingTurn {
    fn waits(&self, by_call: &HashMap<JoinKey, Vec<(StreamId, u32)>>) -> bool {
        let waited = by_call.get(&self.key);
        waited.is_some_and(|waited| waited.contains(&(self.stream, self.number)))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct HeldQuestions {
    by_call: HashMap<JoinKey, Vec<(StreamId, u32)>>,
    by_stream: HashMap<StreamId, usize>,
    count: usize,
    unseen: VecDeque<WaitingTurn>,
    begun: VecDeque<WaitingTurn>,
}

impl HeldQuestions {
    /// A question waits; `false` if there is no room.
    pub fn add(
        &mut self,
        key: JoinKey,
        stream: StreamId,
        number: u32,
        is_begun: bool,
        now_ns: u64,
    ) -> bool {
        // Turns of what was answered stay until their time has come.
        let turns = |it: &Self| it.unseen.len() + it.begun.len();
        if turns(self) >= ALL_MAX && self.count < ALL_MAX / 2 {
            self.forget_answered();
        }
        if turns(self) >= ALL_MAX {
            return false;
        }
        let of_stream = self.by_stream.entry(stream).or_default();
        if *of_stream >= OF_STREAM_MAX {
            return false;
        }
        *of_stream += 1;
        self.count += 1;
        self.by_call.entry(key).or_default().push((stream, number));
        let (queue, span) = match is_begun {
            true => (&mut self.begun, BEGUN_FOR),
            false => (&mut self.unseen, UNSEEN_FOR),
        };
        queue.push_back(WaitingTurn {
            until_ns: now_ns.saturating_add(span.as_nanos() as u64),
            key,
            stream,
            number,
        });
        true
    }

    /// It is known where a call stands: who waits for that.
    pub fn take(&mut self, key: &JoinKey) -> Vec<(StreamId, u32)> {
        if self.count == 0 {
            return Vec::new();
        }
        let waited = self.by_call.remove(key).unwrap_or_default();
        for (stream, _) in &waited {
            self.count_out(*stream);
        }
        waited
    }

    /// Who waits to hear of a call.
    pub fn who(&self, key: &JoinKey) -> Vec<(StreamId, u32)> {
        match self.count {
            0 => Vec::new(),
            _ => self.by_call.get(key).cloned().unwrap_or_default(),
        }
    }

    /// One who asked is gone.
    pub fn leave(&mut self, stream: StreamId) {
        self.by_stream.remove(&stream);
        self.by_call.retain(|_, waited| {
            let before = waited.len();
            waited.retain(|(it, _)| *it != stream);
            self.count -= before - waited.len();
            !waited.is_empty()
        });
    }

    /// Those that have waited long enough; of a call that was begun meanwhile, which `is_begun`
    /// tells, it is waited on.
    pub fn tick(
        &mut self,
        now_ns: u64,
        is_begun: impl Fn(&JoinKey) -> bool,
    ) -> Vec<(JoinKey, StreamId, u32)> {
        let mut over = Vec::new();
        while let Some(&turn) = self.unseen.front()
            && turn.until_ns <= now_ns
        {
            self.unseen.pop_front();
            if !turn.waits(&self.by_call) {
                continue;
            }
            if is_begun(&turn.key) {
                let until_ns = now_ns.saturating_add(BEGUN_FOR.as_nanos() as u64);
                self.begun.push_back(WaitingTurn { until_ns, ..turn });
            } else {
                self.give_up(&turn, &mut over);
            }
        }
        while let Some(&turn) = self.begun.front()
            && (turn.until_ns <= now_ns || !turn.waits(&self.by_call))
        {
            self.begun.pop_front();
            self.give_up(&turn, &mut over);
        }
        over
    }

    fn forget_answered(&mut self) {
        let Self {
            by_call,
            unseen,
            begun,
            ..
        } = self;
        for queue in [unseen, begun] {
            queue.retain(|turn| turn.waits(by_call));
        }
    }

    fn give_up(&mut self, turn: &WaitingTurn, over: &mut Vec<(JoinKey, StreamId, u32)>) {
        let Some(waited) = self.by_call.get_mut(&turn.key) else {
            return;
        };
        let it = (turn.stream, turn.number);
        let Some(place) = waited.iter().position(|other| *other == it) else {
            return;
        };
        waited.swap_remove(place);
        if waited.is_empty() {
            self.by_call.remove(&turn.key);
        }
        self.count_out(turn.stream);
        over.push((turn.key, turn.stream, turn.number));
    }

    fn count_out(&mut self, stream: StreamId) {
        self.count = self.count.saturating_sub(1);
        if let Some(count) = self.by_stream.get_mut(&stream) {
            *count = count.saturating_sub(1);
        }
    }

    /// When the first of them has waited long enough, in nanoseconds.
    pub fn until_ns(&self) -> Option<u64> {
        let firsts = [self.unseen.front(), self.begun.front()];
        firsts.into_iter().flatten().map(|it| it.until_ns).min()
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        heap::table::<(JoinKey, Vec<(StreamId, u32)>)>(self.by_call.capacity())
            + self.count * heap::vec::<(StreamId, u32)>(4)
            + heap::vec::<WaitingTurn>(self.unseen.capacity())
            + heap::vec::<WaitingTurn>(self.begun.capacity())
    }
}
