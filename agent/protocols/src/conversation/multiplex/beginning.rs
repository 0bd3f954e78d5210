//! How a connection with streams begins: at its start, in its middle, or where another protocol
//! leaves off. What it says then is read elsewhere.

use super::super::{Notes, role_of};
use super::lane::Lane;
use super::streams::Streams;
use super::{Chunk, Direction, Multiplex, RESET_MAX, Sink};
use crate::exchange::Role;
use crate::message::{Request, What};
use crate::parser::{AnyStreamParser, Flow};
use crate::stream::{Moved, Stream};

impl Multiplex {
    /// Neither stream's bytes have been looked at; what they hold will be.
    pub fn new(
        name: &'static str,
        parser: fn() -> AnyStreamParser,
        ingress: Stream,
        egress: Stream,
    ) -> Self {
        let lane = |stream| Lane {
            stream,
            parser: parser(),
            is_framed: false,
        };
        Self {
            name,
            role: None,
            lanes: [lane(ingress), lane(egress)],
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

    /// The roles are known.
    pub fn set_role(&mut self, role: Role) {
        self.role = Some(role);
    }

    /// All that a lane will be shown is everything that was sent: the connection begins here.
    pub fn begin(&mut self, direction: Direction, is_framed: bool) {
        let lane = &mut self.lanes[direction as usize];
        lane.parser.begin();
        lane.is_framed = is_framed;
    }

    /// Frames were found in `direction`, whose stream holds them. If they are the beginning of the
    /// connection, so is what the other one holds, which `is_whole` if nothing of it was missed.
    pub fn join(&mut self, direction: Direction, is_whole: bool, sink: &mut impl Sink) {
        self.lanes[direction as usize].is_framed = true;
        self.framings += 1;
        self.offer(direction, &[], true, sink);
        let other = direction.opposite();
        if self.lanes[direction as usize].parser.has_begun() {
            self.begin(other, is_whole);
        }
        self.offer(other, &[], true, sink);
    }

    /// What of a call was not captured, behind bytes that are held already.
    pub fn extent_of(&mut self, chunk: &Chunk<'_>, sink: &mut impl Sink) {
        let direction = chunk.direction;
        let lane = &mut self.lanes[direction as usize];
        if let Some(gap) = lane.stream.chunk(chunk).after {
            self.cross(direction, gap, sink);
        }
    }

    /// A request was made in another protocol whose response this one carries, on this stream.
    pub fn adopt(&mut self, stream: u64, mut request: Request, start: Moved) {
        let Request::Http(http) = &mut request;
        http.version = crate::message::Version::Http2;
        let body_size = http.body_size;
        self.highest = stream;
        self.streams.ask(stream, request, start);
        if let Some(open) = self.streams.get(stream) {
            open.was_asked_elsewhere(body_size);
        }
    }

    /// Looks at what the streams hold.
    pub fn look(&mut self, sink: &mut impl Sink) {
        for direction in [Direction::Egress, Direction::Ingress] {
            self.offer(direction, &[], true, sink);
        }
    }
}

/// The role that a request or a response in this direction reveals.
pub(super) fn role_by(direction: Direction, what: &What) -> Option<Role> {
    let flow = match what {
        What::Request(_) => Flow::Requests,
        What::Response(_) | What::Interim => Flow::Responses,
        _ => return None,
    };
    Some(role_of(direction, flow))
}
