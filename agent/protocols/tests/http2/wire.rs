//! What was said on a connection, changed as captures change it, and an ear that hears it.

use wirespan_protocols::conversation::{Chunk, Conversation, Direction, End, Extent};
use wirespan_protocols::exchange::{Exchange, Role};
use wirespan_protocols::family::http::HttpResponse;

use crate::told::{self, Told};

/// One call.
#[derive(Clone, Debug)]
pub struct Said {
    pub is_request: bool,
    pub bytes: Vec<u8>,
    /// Bytes behind those that were not captured.
    pub missed: u64,
}

impl Said {
    pub fn request(bytes: &[u8]) -> Self {
        Self {
            is_request: true,
            bytes: bytes.to_vec(),
            missed: 0,
        }
    }
}

/// Pieces of these sizes, over and over.
pub fn cut(said: &[Said], sizes: &[usize]) -> Vec<Said> {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    for said in said {
        let mut rest = &said.bytes[..];
        while !rest.is_empty() {
            let len = (*sizes.next().unwrap()).min(rest.len());
            pieces.push(Said {
                is_request: said.is_request,
                bytes: rest[..len].to_vec(),
                missed: 0,
            });
            rest = &rest[len..];
        }
    }
    pieces
}

/// As if nobody copied payloads of DATA frames, but for their first byte.
pub fn without_payloads(said: &[Said]) -> Vec<Said> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut streams = [Vec::new(), Vec::new()];
    let mut kept: [Vec<bool>; 2] = Default::default();
    for said in said {
        streams[usize::from(said.is_request)].extend_from_slice(&said.bytes);
    }
    for (stream, kept) in streams.iter().zip(&mut kept) {
        let mut at = if stream.starts_with(PREFACE) {
            PREFACE.len()
        } else {
            0
        };
        kept.resize(at, true);
        while at < stream.len() {
            let len = u32::from_be_bytes([0, stream[at], stream[at + 1], stream[at + 2]]) as usize;
            let is_data = stream[at + 3] == 0;
            kept.resize(at + 9 + usize::from(is_data && len > 0), true);
            at += 9 + len;
            kept.resize(at, !is_data);
        }
    }
    let mut at = [0, 0];
    let mut pieces: Vec<Said> = Vec::new();
    for said in said {
        let mut is_new = true;
        let of = usize::from(said.is_request);
        for byte in &said.bytes {
            let is_kept = kept[of][at[of]];
            at[of] += 1;
            if is_new || is_kept && pieces.last().is_some_and(|piece| piece.missed > 0) {
                is_new = false;
                pieces.push(Said {
                    is_request: said.is_request,
                    bytes: Vec::new(),
                    missed: 0,
                });
            }
            let piece = pieces.last_mut().unwrap();
            if is_kept {
                piece.bytes.push(*byte);
            } else {
                piece.missed += 1;
            }
        }
    }
    pieces
}

/// Without `len` bytes, from some way in.
pub fn lose(said: &[Said], at: f64, len: usize) -> Vec<Said> {
    let start = (said.len() as f64 * at) as usize;
    let mut left = len;
    let mut kept = said.to_vec();
    for said in &mut kept[start..] {
        let lost = left.min(said.bytes.len());
        said.missed = lost as u64;
        let whole = said.bytes.len() - lost;
        said.bytes.truncate(whole);
        left -= lost;
        if left == 0 {
            break;
        }
    }
    kept
}

pub fn response(exchange: &Exchange) -> &HttpResponse {
    let Some(response) = told::response(exchange) else {
        panic!("no response: {exchange:?}")
    };
    response
}

/// Whoever captures, and what it is told.
pub struct Ear {
    role: Role,
    pub conversation: Conversation,
    pub told: Told,
    extents: [Extent; 2],
    now_ns: u64,
}

impl Ear {
    pub fn new(role: Role) -> Self {
        Self {
            role,
            conversation: Conversation::new(),
            told: Told::default(),
            extents: [Extent::default(); 2],
            now_ns: 0,
        }
    }

    pub fn hear_all(&mut self, said: &[Said]) {
        for said in said {
            self.hear(said);
        }
    }

    pub fn hear(&mut self, said: &Said) {
        let direction = match (self.role, said.is_request) {
            (Role::Server, true) | (Role::Client, false) => Direction::Ingress,
            (Role::Server, false) | (Role::Client, true) => Direction::Egress,
        };
        self.now_ns += 10;
        let position = self.extents[direction as usize].position;
        let len = said.bytes.len() as u64 + said.missed;
        let extent = Extent {
            position: position + len,
            last_ns: self.now_ns,
            tail: [0; 8],
            tail_len: 0,
        };
        self.extents[direction as usize] = extent;
        if said.bytes.is_empty() {
            self.conversation.extent(direction, extent, &mut self.told);
        } else {
            let chunk = Chunk {
                direction,
                position,
                len,
                bytes: &said.bytes,
                tail: [0; 8],
                tail_len: 0,
                time_ns: self.now_ns,
                tid: 1,
                after_loss: false,
            };
            self.conversation.chunk(chunk, &mut self.told);
        }
    }

    pub fn end(&mut self, end: End) {
        self.now_ns += 10;
        self.conversation.end(end, self.now_ns, &mut self.told);
    }

    pub fn reach(&self, direction: Direction) -> u64 {
        self.extents[direction as usize].position
    }

    pub fn of(&self, target: &str) -> Option<&Exchange> {
        self.told
            .exchanges
            .iter()
            .find(|exchange| &*told::request(exchange).target == target)
    }
}
