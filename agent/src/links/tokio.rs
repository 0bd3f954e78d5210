//! Tasks of tokio that do something for others: which request is it that they do it for?
//!
//! - Clients' connections are tasks of their own, and get what they send from channels. Over
//!   HTTP/1 (hyper) it is what was put there last, because nothing is put there before the answer
//!   has come; who is seen to get something before is no such task, and is nobody's.
//! - Over HTTP/2 one task takes requests from a channel and gives each a stream, and another one,
//!   made right before it by the same task, writes them. Which place of the channel was taken last
//!   when the stream got its number is read there.
//! - tower's `Buffer`, in front of it in tonic, passes on what it took last. Who else takes from a
//!   channel does with it what it likes, and nothing is known.
//! - A server over HTTP/2 makes a task for each stream; which stream that is, is known when the
//!   task answers. What it asked for until then waits.

use std::collections::VecDeque;

use hashbrown::HashMap;
use wirespan_common::record::{ConnectionId, TaskNote};
use wirespan_common::tokio::Put;
use wirespan_protocols::heap;

use super::cause::{Cause, Request};
use super::go::Goroutine;
use super::nodes::Nodes;
use super::pruning::Pruning;
use super::recent::Recent;
use super::{Begun, Node, NodeId};

/// A task, by its process.
type Tasked = (u32, u64);
/// A channel, by its process.
type Channel = (u32, u64);

/// Half of the entries that are kept of each kind.
const HALF: usize = 8 * 1024;
/// Things that wait in one channel.
const WAITING_MAX: usize = 1024;
/// Tasks that have not answered, and calls of one of them.
const HANDLERS_MAX: usize = 32 * 1024;
const CALLS_MAX: usize = 1024;
/// Answers of which it is not clear on which stream.
const UNDECIDED_MAX: usize = 1024;

/// What is known of tasks that do something for others.
#[derive(Debug, Default)]
pub struct Tokio {
    /// The last task that was made by a task, or by a thread that ran none.
    last_born: Recent<(u32, Maker), u64, HALF>,
    /// The one that was made after this one by the same.
    next_born: Recent<Tasked, u64, HALF>,
    /// Who takes from a channel.
    takers: Recent<Channel, u64, HALF>,
    /// What a task was given last.
    given: Recent<Tasked, Handed, HALF>,
    /// What waits in channels, by place.
    waiting: Recent<Channel, VecDeque<(u32, Option<Request>)>, HALF>,
    /// Whose request a task gave a stream.
    sent: Recent<(u32, u64, u64), Option<Request>, HALF>,
    /// Who gives streams to what a task writes.
    givers: Recent<Tasked, u64, HALF>,
    /// On which connection a task reads requests on streams.
    readers: Recent<Tasked, ConnectionId, HALF>,
    handlers: HashMap<Tasked, Handler>,
    pruning: Pruning,
    /// Who answered on which stream, while it is not known which half of the number that is.
    undecided: Vec<(Tasked, u64)>,
    /// Which half of a number names the stream that is answered, by process.
    stream_half: Recent<u32, usize, HALF>,
}

/// Who makes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Maker {
    Task(u64),
    Thread(u32),
}

#[derive(Clone, Copy, Debug, Default)]
struct Handed {
    /// What for, if it was not used.
    request: Option<Request>,
    /// The call that was made of the one before.
    call: Option<NodeId>,
    /// It gets something before that is over.
    is_queue: bool,
}

/// A task that was made for a stream of a server.
#[derive(Debug)]
struct Handler {
    connection: ConnectionId,
    /// Calls that belong to the request, if also this other one proves to serve nobody else.
    calls: Vec<(NodeId, Option<Goroutine>)>,
    /// The request, once it answered it; `None` again if it answers several.
    answered: Option<Option<NodeId>>,
}

/// A request, and calls that belong to it, each if also this task proves to serve nobody else.
pub type StreamAnswer = (NodeId, Vec<(NodeId, Option<Goroutine>)>);

/// The halves of a number, one of which is a stream. Those of clients are odd (RFC 9113, 5.1.1);
/// the other half, which says where the stream is kept, is not always. In one program it is always
/// the same half.
fn halves_of(number: u64) -> [u64; 2] {
    [number & 0xffff_ffff, number >> 32]
}

/// Whose a call of a task is.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    /// That of the task itself, whatever that serves.
    Own,
    /// That of another one's request, or nobody's.
    Others(Option<Request>),
}

impl Tokio {
    /// A task reads a request on a stream of a connection.
    pub fn reads(&mut self, task: Tasked, connection: ConnectionId) {
        self.readers.insert(task, connection);
    }

    /// A task is made on this thread. Returns what it serves from the beginning, if that is not
    /// what the one that makes it does.
    pub fn born(&mut self, tgid: u32, tid: u32, note: &TaskNote) -> Option<Cause> {
        // A process that is replaced counts from the beginning.
        let own = (tgid, note.task);
        self.given.remove(own);
        self.givers.remove(own);
        self.next_born.remove(own);
        self.readers.remove(own);
        self.handlers.remove(&own);
        let maker = match note.other {
            0 => Maker::Thread(tid),
            task => Maker::Task(task),
        };
        match self.last_born.get((tgid, maker)) {
            Some(last) => {
                let before = std::mem::replace(last, note.task);
                self.next_born.insert((tgid, before), note.task);
            }
            None => self.last_born.insert((tgid, maker), note.task),
        }
        let connection = *self.readers.get((tgid, note.other))?;
        if self.handlers.len() >= HANDLERS_MAX {
            return None;
        }
        let (calls, answered) = (Vec::new(), None);
        let handler = Handler {
            connection,
            calls,
            answered,
        };
        self.handlers.insert(own, handler);
        Some(Cause::Handler(own))
    }

    /// A task puts something into a channel, for this request. Returns who takes from that.
    pub fn puts(
        &mut self,
        nodes: &Nodes,
        tgid: u32,
        note: &TaskNote,
        numbers: &[u64],
        request: Option<Request>,
    ) -> Option<Tasked> {
        let number = |of: Put| numbers.get(of as usize).copied().unwrap_or(0);
        let channel = (tgid, note.other);
        let request = match number(Put::From) {
            0 => request,
            from => self.taken((tgid, from), number(Put::Took)).flatten(),
        };
        if let next @ 1.. = number(Put::Next) {
            self.waits(channel, next, note.part, request);
        }
        let taker = match number(Put::Taker) {
            0 => *self.takers.get(channel)?,
            taker => {
                self.takers.insert(channel, taker);
                taker
            }
        };
        let taker = (tgid, taker);
        let mut given = self.given.get(taker).copied().unwrap_or_default();
        let is_over = |call| nodes.get(call).is_none_or(Node::has_ended);
        given.is_queue |= given.call.is_some_and(|call| !is_over(call));
        given.request = request;
        self.given.insert(taker, given);
        Some(taker)
    }

    /// Something waits in a channel of which the place `next - 1` is taken next.
    fn waits(&mut self, channel: Channel, next: u64, place: u32, request: Option<Request>) {
        let own = VecDeque::new;
        if self.waiting.get(channel).is_none() {
            self.waiting.insert(channel, own());
        }
        let Some(waiting) = self.waiting.get(channel) else {
            return;
        };
        // What was taken last may be worked on.
        let first = (next as u32).wrapping_sub(2);
        let is_taken = |other: u32| first.wrapping_sub(other).cast_signed() > 0;
        waiting.retain(|(other, _)| !is_taken(*other) && *other != place);
        if waiting.len() < WAITING_MAX {
            waiting.push_back((place, request));
        }
    }

    /// What was put into a channel at the place before `end`.
    fn taken(&mut self, channel: Channel, end: u64) -> Option<Option<Request>> {
        let place = (end as u32).wrapping_sub(1);
        let waiting = self.waiting.get(channel).filter(|_| end != 0)?;
        let found = waiting.iter().find(|(other, _)| *other == place);
        found.map(|(_, request)| *request)
    }

    /// A task sends what it took from a channel as a stream.
    pub fn sends(&mut self, tgid: u32, note: &TaskNote, numbers: &[u64]) {
        let end = numbers.first().copied().unwrap_or(0);
        let request = self.taken((tgid, note.other), end).flatten();
        self.sent
            .insert((tgid, note.task, note.part.into()), request);
    }

    /// A task makes a call. `serves_itself` is whether it read a request itself.
    pub fn asks(
        &mut self,
        task: Tasked,
        call: NodeId,
        begun: &Begun,
        serves_itself: bool,
    ) -> Asker {
        let Some(stream) = begun.stream else {
            return match self.given.get(task) {
                Some(given) if !serves_itself => {
                    given.call = Some(call);
                    let request = given.request.take();
                    Asker::Others(request.filter(|_| !given.is_queue))
                }
                _ => Asker::Own,
            };
        };
        let giver = match self.givers.get(task) {
            Some(giver) => *giver,
            None => match self.next_born.remove(task) {
                Some(next) => {
                    self.givers.insert(task, next);
                    next
                }
                None => return Asker::Others(None),
            },
        };
        let sent = self.sent.remove((task.0, giver, stream));
        Asker::Others(sent.flatten())
    }

    /// A call waits until a task has answered. Returns whether there was room.
    pub fn awaits(&mut self, task: Tasked, call: NodeId, doubt: Option<Goroutine>) -> bool {
        match self.handlers.get_mut(&task) {
            Some(handler) if handler.calls.len() < CALLS_MAX => {
                handler.calls.push((call, doubt));
                true
            }
            _ => false,
        }
    }

    /// The request that a task answered; `None` while it has answered none.
    pub fn answered(&self, task: Tasked) -> Option<Option<NodeId>> {
        match self.handlers.get(&task) {
            Some(handler) => handler.answered,
            None => Some(None),
        }
    }

    /// Whether a task was made for a stream and has not answered.
    pub fn is_awaited(&self, task: Tasked) -> bool {
        let handler = self.handlers.get(&task);
        handler.is_some_and(|handler| handler.answered.is_none())
    }

    /// A task answers on a stream, which one half of `stream` names. Returns the request, and the
    /// calls that waited for that; also of others, if it becomes clear which half it is.
    pub fn answers(
        &mut self,
        task: Tasked,
        stream: u64,
        request: impl Fn(ConnectionId, u64) -> Option<NodeId>,
    ) -> Vec<StreamAnswer> {
        let mut all = vec![(task, stream)];
        let halves = halves_of(stream);
        let half = match halves.map(|half| half & 1 == 1) {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => self.stream_half.get(task.0).copied(),
        };
        let Some(half) = half else {
            // Until it is seen in another one.
            if self.undecided.len() < UNDECIDED_MAX {
                self.undecided.push((task, stream));
            }
            return Vec::new();
        };
        if self.stream_half.get(task.0).is_none() {
            self.stream_half.insert(task.0, half);
            let of_process = |it: &mut (Tasked, u64)| it.0.0 == task.0;
            all.extend(self.undecided.extract_if(.., of_process));
        }
        let answered = all
            .into_iter()
            .filter_map(|(task, stream)| self.answers_on(task, halves_of(stream)[half], &request));
        answered.collect()
    }

    /// A task answers on this stream.
    fn answers_on(
        &mut self,
        task: Tasked,
        stream: u64,
        request: impl Fn(ConnectionId, u64) -> Option<NodeId>,
    ) -> Option<StreamAnswer> {
        let handler = self.handlers.get_mut(&task)?;
        let request = request(handler.connection, stream);
        if let Some(before) = handler.answered {
            if before != request {
                handler.answered = Some(None);
            }
            return None;
        }
        handler.answered = Some(request);
        let calls = std::mem::take(&mut handler.calls);
        request.map(|request| (request, calls))
    }

    /// Forgets those who answered long ago, or never will, if there are many.
    pub fn tidy(&mut self, nodes: &Nodes) {
        if !self.pruning.is_due(self.handlers.len(), HANDLERS_MAX / 2) {
            return;
        }
        self.handlers.retain(|_, handler| match handler.answered {
            Some(request) => request.is_some_and(|it| nodes.get(it).is_some()),
            None => handler
                .calls
                .iter()
                .any(|(call, _)| nodes.get(*call).is_some()),
        });
    }

    /// Bytes of memory that they take.
    pub fn memory_bytes(&self) -> usize {
        self.last_born.memory_bytes()
            + self.next_born.memory_bytes()
            + self.takers.memory_bytes()
            + self.given.memory_bytes()
            + self.waiting.memory_bytes()
            + self.waiting.len() * heap::vec::<(u32, Option<Request>)>(4)
            + self.sent.memory_bytes()
            + self.givers.memory_bytes()
            + self.readers.memory_bytes()
            + self.stream_half.memory_bytes()
            + heap::vec::<(Tasked, u64)>(self.undecided.capacity())
            + heap::table::<(Tasked, Handler)>(self.handlers.capacity())
    }
}
