//! How a connection with streams begins: at its start, in its middle, or where another protocol
//! leaves off. What it says then is read elsewhere.

use super::super::parser::Frames;
use super::streams::Streams;
use super::{Multiplex, RESET_MAX};
use crate::exchange::{Role, Ticket};
use crate::family::Family;
use crate::family::http::{HttpRequest, Version};
use crate::listener::Listener;
use crate::parser::Flow;
use crate::reader::Reader;
use crate::session::{Inheritance, MultiplexedStart, Notes, Session, direction_of, role_of};
use crate::stream::{Moved, Stream};
use crate::transport::{Chunk, Direction};

/// The stream that answers the request which asked for HTTP/2 (RFC 7540 §3.2).
const UPGRADED_STREAM: u64 = 1;

/// What both streams hold is looked at: it may begin with frames.
pub fn open(start: MultiplexedStart<'_>, listener: &mut dyn Listener) -> Box<dyn Session> {
    let direction = start.direction;
    let role = start.flow.map(|flow| role_of(direction, flow));
    let mut multiplex = Box::new(Multiplex::new(role, start.ingress, start.egress));
    multiplex.join(direction, start.is_whole, listener);
    // What of this call was not captured.
    multiplex.extent_of(start.chunk, listener);
    multiplex
}

/// Goes on where HTTP/1 asked for this protocol.
pub fn inherit(from: Inheritance, listener: &mut dyn Listener) -> Option<Box<dyn Session>> {
    let Inheritance {
        role,
        requests,
        responses,
        asked,
    } = from;
    let Family::Http(http) = asked.family else {
        return None;
    };
    let is_framed = [requests.is_framed, responses.is_framed];
    let (ingress, egress) = match role {
        Role::Server => (requests.stream, responses.stream),
        Role::Client => (responses.stream, requests.stream),
    };
    let mut multiplex = Box::new(Multiplex::new(Some(role), ingress, egress));
    for (flow, is_framed) in [Flow::Requests, Flow::Responses].into_iter().zip(is_framed) {
        multiplex.begin(direction_of(role, flow), is_framed);
    }
    multiplex.adopt(UPGRADED_STREAM, http.request, asked.start, asked.ticket);
    multiplex.look(listener);
    Some(multiplex)
}

impl Multiplex {
    /// Neither stream's bytes have been looked at; what they hold will be.
    fn new(role: Option<Role>, ingress: Stream, egress: Stream) -> Self {
        let reader = |stream| Reader::new(Frames::default(), stream, false);
        Self {
            role,
            readers: [reader(ingress), reader(egress)],
            streams: Streams::default(),
            highest: 0,
            reset: [0; RESET_MAX],
            next_reset: 0,
            uncertain_until_ns: None,
            invalid: 0,
            framings: 0,
            notes: Notes::default(),
        }
    }

    /// All that a reader will be shown is everything that was sent: the connection begins here.
    fn begin(&mut self, direction: Direction, is_framed: bool) {
        let reader = &mut self.readers[direction as usize];
        reader.parser.begin();
        reader.is_framed = is_framed;
    }

    /// Frames were found in `direction`, whose stream holds them. If they are the beginning of the
    /// connection, so is what the other one holds, which `is_whole` if nothing of it was missed.
    fn join(&mut self, direction: Direction, is_whole: bool, listener: &mut dyn Listener) {
        self.readers[direction as usize].is_framed = true;
        self.framings += 1;
        self.offer(direction, &[], true, listener);
        let other = direction.opposite();
        if self.readers[direction as usize].parser.has_begun() {
            self.begin(other, is_whole);
        }
        self.offer(other, &[], true, listener);
    }

    /// What of a call was not captured, behind bytes that are held already.
    fn extent_of(&mut self, chunk: &Chunk<'_>, listener: &mut dyn Listener) {
        let direction = chunk.direction;
        let reader = &mut self.readers[direction as usize];
        if let Some(gap) = reader.stream.chunk(chunk).after {
            self.cross(direction, gap, listener);
        }
    }

    /// A request was made in another protocol whose response this one carries, on this stream.
    fn adopt(&mut self, stream: u64, mut request: Box<HttpRequest>, start: Moved, ticket: Ticket) {
        request.version = Version::Http2;
        let body_size = request.body_size;
        self.highest = stream;
        self.streams.ask(stream, request, start, ticket);
        if let Some(open) = self.streams.get(stream) {
            open.was_asked_elsewhere(body_size);
        }
    }

    /// Looks at what the streams hold.
    fn look(&mut self, listener: &mut dyn Listener) {
        for direction in [Direction::Egress, Direction::Ingress] {
            self.offer(direction, &[], true, listener);
        }
    }
}
