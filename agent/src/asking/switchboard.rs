//! Questions of this node on their way to others, and those of others on their way to an answer:
//! who is asked, what is told, what waits. All that happens is handed in, with the time, and what
//! has to be sent is fetched: there is no socket, no clock and no thread here.
//!
//! An answer counts only if it is one to a question that was asked of the one who gives it. Whoever
//! answers what he was never asked is not listened to any longer.

mod outstanding;
mod waiting;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use wirespan_common::record::Caller;
use wirespan_protocols::heap;

use super::calls::{CallPlace, CallTable};
use super::frame::{self, AskedRequest, PeerFrame, ToldAnswer, ToldContext};
use super::routes::{ADDRESSES_MAX, Route, Routes, StreamId};
use super::tally::{AskingTally, PeerEvent};
use crate::links::{CallerContext, ForPeers, JoinKey};
use outstanding::{AnswerFault, Outstanding};
use waiting::HeldQuestions;

/// Questions to everybody, each counted as often as there is somebody, that may be asked in a
/// second. Of requests beyond that nobody is asked.
const BROADCASTS_A_SECOND: u32 = 20_000;

/// Questions of one connection that wait for what becomes of the first one; of others nobody is
/// asked.
const BEHIND_MAX: usize = 1024;

/// Questions, answers and addresses that wait for one agent to take them; who takes so little is
/// cut off.
const LINE_MAX: usize = 64 * 1024;

/// What an agent said that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It answered what it was not asked.
    Unasked,
    /// It said hello twice.
    Hello,
}

/// What is to be said on one stream.
#[derive(Debug, Default)]
struct PeerLine {
    questions: Vec<(u32, AskedRequest)>,
    answers: Vec<(u32, ToldAnswer)>,
    addresses: Vec<IpAddr>,
}

impl PeerLine {
    fn len(&self) -> usize {
        self.questions.len() + self.answers.len() + self.addresses.len()
    }
}

/// A question that waits for another one: of which shard, about which request, from where.
type QuestionBehind = (u8, JoinKey, Option<IpAddr>);

/// All of it.
#[derive(Debug)]
pub struct Switchboard {
    lines: BTreeMap<StreamId, PeerLine>,
    calls: CallTable,
    routes: Routes,
    outstanding: Outstanding,
    waiting: HeldQuestions,
    /// By connections about which everybody is being asked: what is to be asked of whoever answers.
    behind: HashMap<[u32; 2], Vec<QuestionBehind>>,
    own_addresses: HashSet<IpAddr>,
    /// What is to be told to shards.
    callers: BTreeMap<u8, Vec<Caller>>,
    broadcasts: Allowance,
    /// What happened since it was last taken.
    pub tally: AskingTally,
}

impl Switchboard {
    /// Nobody is connected. There is room for so many bytes of calls.
    #[must_use]
    pub fn new(calls_bytes_max: usize) -> Self {
        Self {
            lines: BTreeMap::new(),
            calls: CallTable::new(calls_bytes_max),
            routes: Routes::default(),
            outstanding: Outstanding::default(),
            waiting: HeldQuestions::default(),
            behind: HashMap::new(),
            own_addresses: HashSet::new(),
            callers: BTreeMap::new(),
            broadcasts: Allowance::new(BROADCASTS_A_SECOND),
            tally: AskingTally::default(),
        }
    }

    /// An agent is connected, of which nothing is known but what it may have as its address.
    pub fn joins(&mut self, stream: StreamId, from: Option<IpAddr>) {
        let line = PeerLine {
            addresses: self.own_addresses.iter().copied().collect(),
            ..PeerLine::default()
        };
        self.lines.insert(stream, line);
        self.routes.join();
        if let Some(address) = from {
            self.routes.claim(address, stream);
        }
    }

    /// The same agent is asked over another stream, which joined before: what it was asked and did
    /// not answer is asked again, and so will be what it asked.
    pub fn moves(&mut self, from: StreamId, to: StreamId) {
        self.lines.remove(&from);
        self.waiting.leave(from);
        self.routes.move_to(from, to);
        let asked_again = self.outstanding.move_to(from, to);
        if let Some(line) = self.lines.get_mut(&to) {
            let asked_again = asked_again.into_iter();
            line.questions
                .extend(asked_again.map(|(number, key)| (number, asked(&key))));
        }
    }

    /// It is gone. What it was asked, nobody else answers.
    pub fn leaves(&mut self, stream: StreamId, now_ns: u64) {
        self.lines.remove(&stream);
        self.routes.leave(stream);
        self.waiting.leave(stream);
        for (key, shard) in self.outstanding.leave(stream) {
            // It might have known.
            self.tell(shard, &key, None);
            self.ask_behind(key.starts, now_ns);
        }
    }

    /// A shard has something for others.
    pub fn hear_shard(&mut self, shard: u8, what: ForPeers, now_ns: u64) {
        match what {
            ForPeers::Asks(key, from) => self.ask(shard, key, from, now_ns),
            ForPeers::Begins(key) => {
                self.calls.set(key, CallPlace::Begun, now_ns);
                for (stream, number) in self.waiting.who(&key) {
                    self.say(stream, number, ToldAnswer::Later);
                }
            }
            ForPeers::Stands(key, context) => {
                let place = context.map_or(CallPlace::Untold, CallPlace::Stands);
                self.calls.set(key, place, now_ns);
                for (stream, number) in self.waiting.take(&key) {
                    self.answer(stream, number, &key, context.as_ref());
                }
            }
            ForPeers::Has(address) => self.has_address(address),
        }
    }

    /// This is an address of this node.
    pub fn has_address(&mut self, address: IpAddr) {
        let is_one = !address.is_loopback() && !address.is_unspecified();
        if is_one && self.own_addresses.len() < ADDRESSES_MAX && self.own_addresses.insert(address)
        {
            for line in self.lines.values_mut() {
                line.addresses.push(address);
            }
        }
    }

    fn ask(&mut self, shard: u8, key: JoinKey, from: Option<IpAddr>, now_ns: u64) {
        let route = self.routes.whom(key.starts, from);
        let is_for_all = route == Route::Everybody;
        let mut whom = match route {
            Route::To(stream) => return self.ask_one(shard, key, stream, now_ns),
            Route::Among(streams) => streams,
            Route::Everybody => {
                if let Some(behind) = self.behind.get_mut(&key.starts) {
                    if behind.len() < BEHIND_MAX {
                        return behind.push((shard, key, from));
                    }
                    self.tally.count(PeerEvent::NotAsked, 1);
                    return self.tell(shard, &key, None);
                }
                let all: Vec<_> = self.lines.keys().copied().collect();
                match self.broadcasts.take(all.len() as u32, now_ns) {
                    true => all,
                    false => {
                        self.tally.count(PeerEvent::NotAsked, 1);
                        Vec::new()
                    }
                }
            }
            Route::Nobody => Vec::new(),
        };
        whom.retain(|stream| self.lines.contains_key(stream));
        if whom.is_empty() {
            return self.tell(shard, &key, None);
        }
        let Some(number) = self.outstanding.ask(key, shard, &whom, now_ns) else {
            self.tally.count(PeerEvent::NotAsked, 1);
            return self.tell(shard, &key, None);
        };
        if is_for_all {
            self.behind.entry(key.starts).or_default();
        }
        for stream in whom {
            if let Some(line) = self.lines.get_mut(&stream) {
                line.questions.push((number, asked(&key)));
            }
        }
    }

    /// What most questions are: to the one who has to know.
    fn ask_one(&mut self, shard: u8, key: JoinKey, stream: StreamId, now_ns: u64) {
        let number = match self.lines.contains_key(&stream) {
            true => self.outstanding.ask(key, shard, &[stream], now_ns),
            false => None,
        };
        match (number, self.lines.get_mut(&stream)) {
            (Some(number), Some(line)) => line.questions.push((number, asked(&key))),
            _ => {
                self.tally.count(PeerEvent::NotAsked, 1);
                self.tell(shard, &key, None);
            }
        }
    }

    /// It is known what becomes of a question about this connection: others go the same way.
    fn ask_behind(&mut self, starts: [u32; 2], now_ns: u64) {
        for (shard, key, from) in self.behind.remove(&starts).unwrap_or_default() {
            self.ask(shard, key, from, now_ns);
        }
    }

    /// An agent said something.
    ///
    /// # Errors
    /// It must not; it is to be cut off.
    pub fn hear_peer(
        &mut self,
        stream: StreamId,
        said: PeerFrame,
        now_ns: u64,
    ) -> Result<(), Violation> {
        if !self.lines.contains_key(&stream) {
            // It was cut off, and this was on its way.
            return Ok(());
        }
        match said {
            PeerFrame::Hello { .. } => return Err(Violation::Hello),
            PeerFrame::Addresses(addresses) => {
                for address in addresses {
                    self.routes.claim(address, stream);
                }
            }
            PeerFrame::Questions(questions) => {
                for (number, request) in questions {
                    self.hear_question(stream, number, &request, now_ns);
                }
            }
            PeerFrame::Answers(answers) => {
                for (number, told) in answers {
                    self.hear_answer(stream, number, told, now_ns)?;
                }
            }
        }
        Ok(())
    }

    fn hear_question(
        &mut self,
        stream: StreamId,
        number: u32,
        request: &AskedRequest,
        now_ns: u64,
    ) {
        let key = JoinKey {
            starts: request.starts,
            at: request.at,
        };
        let is_begun = match self.calls.get(&key) {
            Some(CallPlace::Stands(context)) => {
                let context = *context;
                return self.answer(stream, number, &key, Some(&context));
            }
            Some(CallPlace::Untold) => return self.answer(stream, number, &key, None),
            Some(CallPlace::Begun) => true,
            None => false,
        };
        if !self.waiting.add(key, stream, number, is_begun, now_ns) {
            self.tally.count(PeerEvent::TooMany, 1);
            self.answer(stream, number, &key, None);
        } else if is_begun {
            self.say(stream, number, ToldAnswer::Later);
        }
    }

    fn hear_answer(
        &mut self,
        stream: StreamId,
        number: u32,
        told: ToldAnswer,
        now_ns: u64,
    ) -> Result<(), Violation> {
        match self.outstanding.answered(stream, number, &told) {
            Ok(Some((key, shard))) => {
                match told {
                    ToldAnswer::Unknown => {
                        self.routes.missed(key.starts);
                        self.tell(shard, &key, None);
                    }
                    ToldAnswer::Later => self.routes.found(key.starts, stream),
                    ToldAnswer::Stands(told) => {
                        self.routes.found(key.starts, stream);
                        self.tell(shard, &key, Some(&context_of(&told, &key)));
                    }
                }
                self.ask_behind(key.starts, now_ns);
                Ok(())
            }
            // Others may know, or somebody else did.
            Ok(None) => Ok(()),
            Err(AnswerFault::Unasked) => Err(Violation::Unasked),
        }
    }

    /// Tells a shard who made a request, if that is known.
    fn tell(&mut self, shard: u8, key: &JoinKey, context: Option<&CallerContext>) {
        let callers = self.callers.entry(shard).or_default();
        callers.push(CallerContext::tell(context, key));
    }

    fn answer(
        &mut self,
        stream: StreamId,
        number: u32,
        key: &JoinKey,
        context: Option<&CallerContext>,
    ) {
        let (told, event) = match context {
            Some(context) => (ToldAnswer::Stands(told_of(context, key)), PeerEvent::Told),
            None => (ToldAnswer::Unknown, PeerEvent::NotKnown),
        };
        self.tally.count(event, 1);
        self.say(stream, number, told);
    }

    fn say(&mut self, stream: StreamId, number: u32, told: ToldAnswer) {
        if let Some(line) = self.lines.get_mut(&stream) {
            line.answers.push((number, told));
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now_ns: u64) {
        self.calls.tick(now_ns);
        for key in self.outstanding.tick(now_ns) {
            self.ask_behind(key.starts, now_ns);
        }
        let calls = &self.calls;
        let is_begun = |key: &JoinKey| matches!(calls.get(key), Some(CallPlace::Begun));
        let over = self.waiting.tick(now_ns, is_begun);
        for (key, stream, number) in over {
            self.answer(stream, number, &key, None);
        }
    }

    /// When [`Switchboard::tick`] has something to do, in nanoseconds.
    #[must_use]
    pub fn until_ns(&self) -> Option<u64> {
        self.waiting.until_ns()
    }

    /// What is to be sent by now, as frames, by stream, to those that have room; the others are
    /// sent more later.
    pub fn take_frames(&mut self, has_room: impl Fn(StreamId) -> bool) -> Vec<(StreamId, Vec<u8>)> {
        let mut sent = Vec::new();
        for (stream, line) in &mut self.lines {
            if line.len() == 0 || !has_room(*stream) {
                continue;
            }
            let mut bytes = Vec::new();
            if !line.addresses.is_empty() {
                frame::put_addresses(&line.addresses, &mut bytes);
            }
            frame::put_answers(&line.answers, &mut bytes);
            frame::put_questions(&line.questions, &mut bytes);
            line.addresses.clear();
            line.answers.clear();
            line.questions.clear();
            sent.push((*stream, bytes));
        }
        sent
    }

    /// Streams for which more waits than may.
    #[must_use]
    pub fn overfull(&self) -> Vec<StreamId> {
        let lines = self.lines.iter().filter(|(_, line)| line.len() > LINE_MAX);
        lines.map(|(stream, _)| *stream).collect()
    }

    /// What shards are to be told by now.
    pub fn take_callers(&mut self) -> BTreeMap<u8, Vec<Caller>> {
        std::mem::take(&mut self.callers)
    }

    fn behind_bytes(&self) -> usize {
        let of = |behind: &Vec<QuestionBehind>| heap::vec::<QuestionBehind>(behind.capacity());
        self.behind.values().map(of).sum::<usize>()
            + heap::table::<([u32; 2], Vec<QuestionBehind>)>(self.behind.capacity())
    }

    /// How many are connected.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of memory that are taken by what others, or the traffic, make it remember.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.calls.memory_bytes()
            + self.outstanding.memory_bytes()
            + self.waiting.memory_bytes()
            + self.routes.memory_bytes()
            + self.behind_bytes()
    }
}

fn asked(key: &JoinKey) -> AskedRequest {
    AskedRequest {
        starts: key.starts,
        at: key.at,
    }
}

fn told_of(context: &CallerContext, key: &JoinKey) -> ToldContext {
    let follows = context.span_id == key.span_id();
    ToldContext {
        trace_id: context.trace_id,
        span_id: (!follows).then_some(context.span_id),
        flags: context.flags,
        decided: context.decided,
        randomness: context.randomness,
    }
}

fn context_of(told: &ToldContext, key: &JoinKey) -> CallerContext {
    CallerContext {
        trace_id: told.trace_id,
        span_id: told.span_id.unwrap_or_else(|| key.span_id()),
        flags: told.flags,
        decided: told.decided,
        randomness: told.randomness,
    }
}

/// So much may be done in a second, and be saved up for one.
#[derive(Debug)]
pub struct Allowance {
    a_second: u32,
    left: u32,
    since_ns: u64,
}

impl Allowance {
    /// All of it is left.
    #[must_use]
    pub fn new(a_second: u32) -> Self {
        Self {
            a_second,
            left: a_second,
            since_ns: 0,
        }
    }

    /// Takes some, if there is so much.
    pub fn take(&mut self, count: u32, now_ns: u64) -> bool {
        const SECOND_NS: u64 = Duration::from_secs(1).as_nanos() as u64;
        let passed_ns = now_ns.saturating_sub(self.since_ns).min(SECOND_NS);
        // Less than all of a second's, which is 32 bits.
        let grown = (u64::from(self.a_second) * passed_ns / SECOND_NS) as u32;
        if grown > 0 {
            self.left = self.left.saturating_add(grown).min(self.a_second);
            self.since_ns = now_ns;
        }
        let is_enough = count <= self.left;
        if is_enough {
            self.left -= count;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests;
