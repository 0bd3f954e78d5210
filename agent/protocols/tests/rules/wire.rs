//! A conversation with whoever captures it: what moves, in which order, and what is told of it.

use wirespan_protocols::conversation::{Chunk, Conversation, Direction, End, Extent, Past};
use wirespan_protocols::exchange::{Exchange, Outcome, Role};

use crate::told::{self, Told};

pub const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Both roles.
pub const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A conversation with the clock and the positions of whoever captures it. Every call takes ten
/// nanoseconds.
pub struct Wire {
    pub role: Role,
    pub conversation: Conversation,
    pub told: Told,
    pub now_ns: u64,
    requests: Extent,
    responses: Extent,
}

impl Wire {
    pub fn new(role: Role) -> Self {
        Self {
            role,
            conversation: Conversation::new(),
            told: Told::default(),
            now_ns: 0,
            requests: Extent::default(),
            responses: Extent::default(),
        }
    }

    /// One of which it is known what it has behind it.
    pub fn behind(role: Role, past: Past) -> Self {
        Self {
            conversation: Conversation::behind(past),
            ..Self::new(role)
        }
    }

    pub fn direction(&self, is_request: bool) -> Direction {
        match (self.role, is_request) {
            (Role::Server, true) | (Role::Client, false) => Direction::Ingress,
            (Role::Server, false) | (Role::Client, true) => Direction::Egress,
        }
    }

    /// Bytes move, without being captured.
    pub fn count(&mut self, is_request: bool, len: u64, tail: impl AsRef<[u8]>) -> Extent {
        self.now_ns += 10;
        let extent = if is_request {
            &mut self.requests
        } else {
            &mut self.responses
        };
        let before = *extent;
        let mut bytes = [0; 8];
        let tail = tail.as_ref();
        let end = &tail[tail.len().saturating_sub(8)..];
        bytes[8 - end.len()..].copy_from_slice(end);
        *extent = Extent {
            position: before.position + len,
            last_ns: self.now_ns,
            tail: bytes,
            tail_len: end.len() as u8,
        };
        before
    }

    /// Bytes move of which the first `captured` are seen.
    pub fn call(&mut self, is_request: bool, text: impl AsRef<[u8]>, captured: usize) {
        let text = text.as_ref();
        let before = self.count(is_request, text.len() as u64, text);
        let (this, opposite) = if is_request {
            (self.requests, self.responses)
        } else {
            (self.responses, self.requests)
        };
        let other = self.direction(!is_request);
        self.conversation.extent(other, opposite, &mut self.told);
        let chunk = Chunk {
            direction: self.direction(is_request),
            position: before.position,
            len: text.len() as u64,
            bytes: &text[..captured],
            tail: this.tail,
            tail_len: this.tail_len,
            time_ns: self.now_ns,
            tid: 1,
            after_loss: false,
        };
        self.conversation.chunk(chunk, &mut self.told);
    }

    pub fn ask(&mut self, text: impl AsRef<[u8]>) {
        self.call(true, &text, text.as_ref().len());
    }

    pub fn answer(&mut self, text: impl AsRef<[u8]>) {
        self.call(false, &text, text.as_ref().len());
    }

    /// Somebody asks how far the streams are.
    pub fn progress(&mut self) {
        for (is_request, extent) in [(true, self.requests), (false, self.responses)] {
            let direction = self.direction(is_request);
            self.conversation.extent(direction, extent, &mut self.told);
        }
    }

    pub fn end(&mut self, end: End) {
        self.now_ns += 10;
        self.progress();
        self.conversation.end(end, self.now_ns, &mut self.told);
    }

    /// Outcome, status and end of every exchange so far.
    pub fn fates(&self) -> Vec<(Outcome, Option<u16>, u64)> {
        let fate = |exchange: &Exchange| {
            let status = told::response(exchange).map(|response| response.status);
            (exchange.outcome, status, exchange.end_ns)
        };
        self.told.exchanges.iter().map(fate).collect()
    }

    /// Every exchange so far in a line: method, target, outcome if it is not complete, status, and
    /// the sizes of both bodies.
    pub fn lines(&self) -> Vec<String> {
        let size = |size: Option<u64>| size.map_or("?".to_owned(), |size| size.to_string());
        let line = |exchange: &Exchange| {
            let request = told::request(exchange);
            let outcome = match exchange.outcome {
                Outcome::Complete => String::new(),
                other => format!(" {other:?}"),
            };
            let (status, response_size) = match told::response(exchange) {
                Some(response) => (response.status.to_string(), size(response.body_size)),
                None => ("-".to_owned(), "?".to_owned()),
            };
            format!(
                "{} {}{outcome} {status} {}/{response_size}",
                request.method.as_str(),
                request.target,
                size(request.body_size)
            )
        };
        self.told.exchanges.iter().map(line).collect()
    }
}

/// Plays a story on a fresh wire for both roles and for every point at which its bytes can be cut
/// once; `play` is given the wire and something that sends bytes, cut there.
pub fn at_every_cut(len: usize, mut play: impl FnMut(&mut Wire, usize)) {
    for role in ROLES {
        for cut in 0..len {
            play(&mut Wire::new(role), cut);
        }
    }
}
