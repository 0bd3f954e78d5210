//! Protocols in which each response names its request by a number in the messages' own headers
//! (a correlation id): what such a one is, and what reads a connection that speaks it. Messages
//! tell their length, so that what is not captured of one takes nothing of the next, and a loss
//! costs the exchanges that it is part of and no others.

mod open;
mod session;

use std::fmt::Debug;

use crate::either::Either;
use crate::family::Family;
use crate::listener::Listener;
use crate::message::Message;
use crate::parser::{Flow, Parser};
use crate::probe::Probe;
use crate::protocol::{Detected, Pairing, Protocol};
use crate::session::{CorrelatedStart, Session};

use session::Correlation;

/// What a protocol's parsers find. A response that answers nothing, because it is one of several
/// to the same request and not the first, is [`Message::Unsolicited`] or names no request.
pub type CorrelatedMessage<P> = Message<<P as Correlated>::Request, <P as Correlated>::Response>;

/// A protocol.
pub trait Correlated: Debug + Sized + 'static {
    /// In the registry.
    const NAME: &'static str;

    /// What is asked.
    type Request: CorrelatedRequest;
    /// What is answered.
    type Response: CorrelatedResponse;
    /// Reads what clients send.
    type Requests: Parser<Message = CorrelatedMessage<Self>> + Default;
    /// Reads what servers send.
    type Responses: Parser<Message = CorrelatedMessage<Self>> + Default;

    /// As [`Protocol::detect`]. A message shows which way it goes.
    fn detect(prefix: &[u8]) -> Detected;

    /// What was asked, with what was answered.
    fn family(request: Self::Request, response: Option<Self::Response>) -> Family;
}

/// A request, as far as pairing is concerned.
pub trait CorrelatedRequest: Debug + Send {
    /// The number that its response will name.
    fn id(&self) -> u64;

    /// Whether it has a response. What has none is over with its last byte.
    fn is_answered(&self) -> bool;

    /// Bytes of heap that it takes.
    fn heap_bytes(&self) -> usize;
}

/// A response, as far as pairing is concerned.
pub trait CorrelatedResponse: Debug + Send {
    /// The number of the request that it answers.
    fn answers(&self) -> u64;

    /// Whether it may well be a further one to a request that was answered before.
    fn may_be_further(&self) -> bool {
        false
    }
}

/// A protocol's line in the registry.
#[must_use]
pub const fn protocol<P: Correlated>() -> Protocol {
    Protocol {
        name: P::NAME,
        detect: P::detect,
        kind: Pairing::Correlated { open: open::<P> },
        probe: probe::<P>,
    }
}

/// The parser of one direction.
type ParserOf<P> = Either<<P as Correlated>::Requests, <P as Correlated>::Responses>;

fn open<P: Correlated>(
    start: CorrelatedStart<'_>,
    listener: &mut dyn Listener,
) -> Box<dyn Session> {
    Box::new(Correlation::<P>::open(start, listener))
}

fn probe<P: Correlated>(flow: Flow) -> Box<dyn Probe> {
    match flow {
        Flow::Requests => Box::new(P::Requests::default()),
        Flow::Responses => Box::new(P::Responses::default()),
    }
}
