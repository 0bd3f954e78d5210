//! The streams of a multiplexed connection that are open: what was asked and answered on each. It
//! bounds how many there are and how much text they hold, and moves no bytes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::exchange::{Exchange, Outcome, Role, Ticket};
use crate::family::Family;
use crate::family::call::{Call, CallSystem};
use crate::family::http::{Completeness, Http, HttpRequest, HttpResponse, Method, Version};
use crate::family::rpc::Messages;
use crate::grpc::Walk;
use crate::heap;
use crate::listener::Listener;
use crate::stream::Moved;

/// Streams of one connection that are remembered at a time. Servers allow 100 to 250 as a rule; the
/// oldest one makes room for a new one.
pub const STREAMS_MAX: usize = 1024;

/// Memory that one connection's open streams hold, in bytes; the oldest ones make room.
pub const OPEN_BYTES_MAX: usize = 1 << 20;

/// Bytes that count for a stream besides its request: its place in the table, and what is followed
/// of its bodies.
const STREAM_BYTES: usize = 256;

/// A table for more streams than this is not kept for later.
const TABLE_KEPT: usize = 128;

/// One stream.
#[derive(Debug)]
pub(super) struct OpenStream {
    /// In the order of their beginning.
    serial: u64,
    pub start: Moved,
    /// `None` while only its response was seen.
    pub request: Option<Box<HttpRequest>>,
    /// What the listener calls it, from its request on.
    pub ticket: Ticket,
    /// What its request counts for.
    request_bytes: usize,
    pub response: Option<HttpResponse>,
    first_response_ns: Option<u64>,
    /// Last byte of the response so far.
    last_response_ns: u64,
    request_side: StreamSide,
    response_side: StreamSide,
    /// For calls.
    walks: Option<Box<CallWalks>>,
    /// Something stands behind the body.
    has_trailers: bool,
    /// Bytes were lost that may have ended it.
    pub is_uncertain: bool,
}

/// One direction of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct StreamSide {
    body_size: u64,
    /// Parts of the body were missed, so that its size is not known.
    has_holes: bool,
    has_ended: bool,
}

impl StreamSide {
    fn size(&self) -> Option<u64> {
        (self.has_ended && !self.has_holes).then_some(self.body_size)
    }
}

#[derive(Debug)]
struct CallWalks {
    requests: Walk,
    responses: Walk,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: HashMap<u64, OpenStream, BuildHasherDefault<Scatter>>,
    next_serial: u64,
    /// Of those open.
    bytes: usize,
    /// How many have a request.
    asked: usize,
}

/// What moved over one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPiece<'a> {
    pub is_request: bool,
    pub bytes: &'a [u8],
    pub missed: u64,
    pub first: Moved,
    pub last: Moved,
}

impl Streams {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a request waits for its fate.
    pub fn has_requests(&self) -> bool {
        self.asked > 0
    }

    /// Whether the response to a request that was not seen is remembered.
    pub fn has_unasked(&self) -> bool {
        self.open.len() > self.asked
    }

    /// Whether there is no room for one more.
    pub fn is_full(&self) -> bool {
        self.open.len() >= STREAMS_MAX || self.bytes >= OPEN_BYTES_MAX
    }

    /// Bytes of heap that they take.
    pub fn heap_bytes(&self) -> usize {
        let table = heap::table::<(u64, OpenStream)>(self.open.capacity());
        let counted = self.bytes.saturating_sub(self.open.len() * STREAM_BYTES);
        table + counted
    }

    /// Bytes of what is open.
    pub fn growing_bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub fn get(&mut self, stream: u64) -> Option<&mut OpenStream> {
        self.open.get_mut(&stream)
    }

    /// A stream begins with its request, or one joins the response that overtook it.
    pub fn ask(&mut self, stream: u64, request: Box<HttpRequest>, start: Moved, ticket: Ticket) {
        let is_call = match request.call {
            Some(call) => call.system == CallSystem::Grpc,
            // It may turn out to be one.
            None => request.completeness == Completeness::Incomplete,
        };
        let request_bytes = request.heap_bytes()
            + if is_call {
                heap::boxed::<CallWalks>()
            } else {
                0
            };
        self.bytes += request_bytes;
        self.asked += 1;
        let open = self.touch(stream, start);
        open.start = start;
        open.request_bytes = request_bytes;
        open.request = Some(request);
        open.ticket = ticket;
        if is_call && open.response.is_none() {
            open.walks = Some(Box::new(CallWalks {
                requests: Walk::from_start(),
                responses: Walk::from_start(),
            }));
        }
    }

    /// The stream, remembered from here on.
    pub fn touch(&mut self, stream: u64, start: Moved) -> &mut OpenStream {
        let (serial, bytes) = (&mut self.next_serial, &mut self.bytes);
        self.open.entry(stream).or_insert_with(|| {
            *serial += 1;
            *bytes += STREAM_BYTES;
            OpenStream {
                serial: *serial,
                start,
                request: None,
                ticket: Ticket::default(),
                request_bytes: 0,
                response: None,
                first_response_ns: None,
                last_response_ns: 0,
                request_side: StreamSide::default(),
                response_side: StreamSide::default(),
                walks: None,
                has_trailers: false,
                is_uncertain: false,
            }
        })
    }

    /// Takes a stream out.
    pub fn take(&mut self, stream: u64) -> Option<OpenStream> {
        let open = self.open.remove(&stream)?;
        self.bytes -= STREAM_BYTES;
        self.bytes -= open.request_bytes;
        self.asked -= usize::from(open.request.is_some());
        if self.open.is_empty() && self.open.capacity() > TABLE_KEPT {
            self.open = HashMap::default();
        }
        Some(open)
    }

    /// Numbers of the streams for which this holds, oldest first.
    pub fn filtered(&self, which: impl Fn(u64, &OpenStream) -> bool) -> Vec<u64> {
        let mut found: Vec<(u64, u64)> = self
            .open
            .iter()
            .filter(|(stream, open)| which(**stream, open))
            .map(|(stream, open)| (open.serial, *stream))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, stream)| stream).collect()
    }

    /// The stream that began first.
    pub fn oldest(&self) -> Option<u64> {
        self.open
            .iter()
            .min_by_key(|(_, open)| open.serial)
            .map(|(stream, _)| *stream)
    }

    /// Bytes of one direction were lost, and with them perhaps the end of any stream.
    pub fn lose(&mut self, is_request: Option<bool>) {
        for open in self.open.values_mut() {
            open.is_uncertain = true;
            if is_request != Some(false) {
                open.lose(true);
            }
            if is_request != Some(true) {
                open.lose(false);
            }
        }
    }
}

impl OpenStream {
    /// The final response, or what is known of it.
    pub fn answer(&mut self, response: HttpResponse, first: Moved, last: Moved) {
        self.response = Some(response);
        self.first_response_ns.get_or_insert(first.time_ns);
        self.last_response_ns = self.last_response_ns.max(last.time_ns);
    }

    /// What stands behind the body.
    pub fn close_with(
        &mut self,
        call_status: Option<u32>,
        completeness: Completeness,
        first: Moved,
        last: Moved,
    ) {
        if self.response.is_none() {
            self.answer(unknown_response(), first, last);
        }
        self.last_response_ns = self.last_response_ns.max(last.time_ns);
        if let Some(response) = &mut self.response {
            let settles = response.status != 0 && call_status.is_some();
            response.call_status = call_status.or(response.call_status);
            response.completeness = match response.completeness {
                // What its head left open, these have told.
                Completeness::Incomplete if settles => completeness,
                of_head => of_head.max(completeness),
            };
            self.has_trailers = true;
        }
    }

    pub fn move_on(&mut self, piece: StreamPiece<'_>) {
        let side = if piece.is_request {
            &mut self.request_side
        } else {
            self.last_response_ns = self.last_response_ns.max(piece.last.time_ns);
            &mut self.response_side
        };
        let len = piece.bytes.len() as u64;
        side.body_size = side
            .body_size
            .saturating_add(len)
            .saturating_add(piece.missed);
        if let Some(walks) = &mut self.walks {
            let walk = if piece.is_request {
                &mut walks.requests
            } else {
                &mut walks.responses
            };
            walk.take(
                piece.bytes,
                piece.missed,
                piece.first.time_ns,
                piece.last.time_ns,
            );
        }
    }

    /// Its request, with a body of this size, was made in another protocol.
    pub fn was_asked_elsewhere(&mut self, body_size: Option<u64>) {
        self.request_side = StreamSide {
            body_size: body_size.unwrap_or(0),
            has_holes: body_size.is_none(),
            has_ended: true,
        };
    }

    pub fn end(&mut self, is_request: bool) {
        if is_request {
            self.request_side.has_ended = true;
        } else {
            self.response_side.has_ended = true;
        }
    }

    /// Whether the response is over.
    pub fn is_answered(&self) -> bool {
        self.response_side.has_ended
    }

    fn lose(&mut self, is_request: bool) {
        let side = if is_request {
            &mut self.request_side
        } else {
            &mut self.response_side
        };
        side.has_holes |= !side.has_ended;
        if let Some(walks) = &mut self.walks
            && side.has_holes
        {
            if is_request {
                walks.requests.lose();
            } else {
                walks.responses.lose();
            }
        }
    }

    /// Tells what became of it; whether there is anything to tell.
    pub fn tell(
        self,
        role: Role,
        outcome: Outcome,
        end_ns: u64,
        listener: &mut dyn Listener,
    ) -> bool {
        let Some(mut request) = self.request else {
            return false;
        };
        request.body_size = self.request_side.size();
        let mut response = self.response;
        if let Some(response) = &mut response {
            response.body_size = self.response_side.size();
        }
        // Two threads may report a response before its request: time does not run backward for it.
        let start_ns = self
            .first_response_ns
            .map_or(self.start.time_ns, |first| first.min(self.start.time_ns));
        let end_ns = match outcome {
            Outcome::Complete => self.last_response_ns,
            _ => end_ns,
        };
        let end_ns = end_ns.max(self.first_response_ns.unwrap_or(start_ns));
        let has_messages = self.has_trailers
            && self.walks.as_ref().is_some_and(|walks| {
                walks.requests.is_whole() && walks.responses.is_whole_or_none()
            });
        settle_call(&mut request, response.as_mut(), has_messages);
        let walks = self.walks.filter(|_| request.call.is_some());
        let messages = walks.map(|walks| {
            Box::new(Messages {
                requests: walks.requests.flown(),
                responses: walks.responses.flown(),
            })
        });
        listener.end(Exchange {
            ticket: self.ticket,
            role,
            tid: self.start.tid,
            start_ns,
            first_response_ns: self.first_response_ns,
            end_ns,
            outcome,
            family: Family::over_http(Http { request, response }, messages),
        });
        true
    }
}

/// Whether it is a call shows in its end where the request's fields could not be decoded: in a
/// status, or in trailers behind bodies that are messages to the last byte. What only a call has is
/// not missing from anything else.
fn settle_call(request: &mut HttpRequest, response: Option<&mut HttpResponse>, has_messages: bool) {
    let has_status = response
        .as_ref()
        .is_some_and(|response| response.call_status.is_some());
    if request.call.is_none()
        && request.completeness == Completeness::Incomplete
        && (has_status || has_messages)
    {
        request.call = Some(Call {
            system: CallSystem::Grpc,
            timeout_ns: None,
            may_time_out: true,
        });
        if !request.target.is_empty() && request.method == Method::Post {
            request.completeness = Completeness::Inferred;
        }
    }
    if let Some(response) = response
        && request.call.is_none()
        && response.status != 0
        && response.completeness == Completeness::Incomplete
    {
        response.completeness = Completeness::Whole;
    }
}

fn unknown_response() -> HttpResponse {
    HttpResponse {
        status: 0,
        version: Version::Http2,
        body_size: None,
        truncated: false,
        call_status: None,
        completeness: Completeness::Incomplete,
    }
}

/// Spreads numbers that grow by small steps; the table is small and bounded, so that nobody gains
/// from making them collide.
#[derive(Debug, Default)]
pub(super) struct Scatter(u64);

impl Hasher for Scatter {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte) ^ self.0);
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio.
        let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
