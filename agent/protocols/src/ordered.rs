//! Protocols in which responses come in the order of the requests: what such a one is, and what
//! reads a connection that speaks it. A message that answers nothing, and a request that nobody
//! answers, are told apart by the parsers and have no place in that order.

mod dialogue;
mod pair;

use std::fmt::Debug;

use crate::either::Either;
use crate::family::Family;
use crate::listener::Listener;
use crate::message::{BodyEnd, Message};
use crate::parser::{Answers, Flow, Parser};
use crate::probe::Probe;
use crate::protocol::{Detected, Pairing, Protocol};
use crate::session::{OrderedStart, Session};
use crate::trace_headers::TraceHeaders;

use dialogue::Dialogue;

/// How clients and servers of a protocol behave, as far as pairing rests on it.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Requests that are remembered while their responses have not ended.
    pub pending_max: usize,
    /// Servers may answer a request of which the head has not come wholly.
    pub answers_early: bool,
    /// Where clients ask on while answers are outstanding, as those do that share a connection
    /// among many callers, a request that begins a turn need not be the only one. It is taken for
    /// that after so long a silence of both sides, in nanoseconds, or if the connection was seen to
    /// take turns before. `None` where clients take turns.
    pub quiet_ns: Option<u64>,
}

/// Requests that are remembered of a client that takes turns.
pub const PENDING_MAX: usize = 256;

impl Manners {
    /// Those of HTTP.
    pub const TURNS: Self = Self {
        pending_max: PENDING_MAX,
        answers_early: true,
        quiet_ns: None,
    };
}

/// What a protocol's parsers find.
pub type MessageOf<P> = Message<<P as Ordered>::Request, <P as Ordered>::Response>;

/// A protocol.
pub trait Ordered: Debug + Sized + 'static {
    /// In the registry.
    const NAME: &'static str;
    /// How those behave that speak it.
    const MANNERS: Manners = Manners::TURNS;

    /// What is asked.
    type Request: Request;
    /// What is answered.
    type Response: Response;
    /// Reads what clients send.
    type Requests: Parser<Message = MessageOf<Self>> + Default;
    /// Reads what servers send.
    type Responses: Answers<Self::Request, Message = MessageOf<Self>> + Default;

    /// As [`Protocol::detect`].
    fn detect(prefix: &[u8]) -> Detected;

    /// What was asked, with what was answered.
    fn family(request: Self::Request, response: Option<Self::Response>) -> Family;

    /// Whether bytes begin a response by which a server says that it understood nothing.
    fn refuses(_head: &[u8]) -> bool {
        false
    }
}

/// A request, as far as pairing and framing are concerned.
pub trait Request: Debug + Send + Sized {
    /// Bytes of heap that it takes.
    fn heap_bytes(&self) -> usize;

    /// Its body ended.
    fn body_ended(&mut self, size: Option<u64>);

    /// What it says of the trace that it belongs to.
    fn traces(&self) -> Option<&TraceHeaders> {
        None
    }

    /// What a request of HTTP is for; empty of other protocols.
    fn target(&self) -> &str {
        ""
    }

    /// Whether it has a response. What has none is over with its last byte.
    fn is_answered(&self) -> bool {
        true
    }

    /// What stands for bytes that are no request to anybody who could read one; it is one if the
    /// server refuses it. `None` where the protocol has no such thing.
    fn malformed() -> Option<Self> {
        None
    }

    /// Whether it is such.
    fn is_malformed(&self) -> bool {
        false
    }

    /// Its head was cut, but no more of it will come: that is all there was.
    fn is_all(&mut self) {}

    /// Where it asks to be led, if it asks for a tunnel.
    fn tunnel(&self) -> Option<&str> {
        None
    }
}

/// A response, as far as pairing is concerned.
pub trait Response: Debug + Send {
    /// Its body ended.
    fn body_ended(&mut self, end: BodyEnd);

    /// Whether servers answer so what they can't read.
    fn refuses_malformed(&self) -> bool {
        false
    }
}

/// A protocol's line in the registry.
#[must_use]
pub const fn protocol<P: Ordered>() -> Protocol {
    Protocol {
        name: P::NAME,
        detect: P::detect,
        kind: Pairing::Ordered {
            open: open::<P>,
            refuses: P::refuses,
        },
        probe: probe::<P>,
    }
}

/// The parser of one direction.
type EitherOf<P> = Either<<P as Ordered>::Requests, <P as Ordered>::Responses>;

fn open<P: Ordered>(start: OrderedStart<'_>, listener: &mut dyn Listener) -> Box<dyn Session> {
    Box::new(Dialogue::<P>::open(start, listener))
}

fn probe<P: Ordered>(flow: Flow) -> Box<dyn Probe> {
    match flow {
        Flow::Requests => Box::new(P::Requests::default()),
        Flow::Responses => Box::new(P::Responses::default()),
    }
}
