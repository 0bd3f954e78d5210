//! What parsers find in their direction: heads, the ends of bodies, and what comes next. What a
//! head says is the protocol's own.

/// What a parser finds: a head, or the end of the body that a head announced. `Q` is what the
/// protocol's requests are, `S` what its responses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<Q, S> {
    /// A request begins.
    Request {
        /// Its head.
        request: Q,
        /// What comes behind it.
        then: Then,
    },
    /// A response that another one to the same request will follow (RFC 9110 §15.2).
    Interim,
    /// A final response begins.
    Response {
        /// Its head.
        response: S,
        /// What comes behind it.
        then: Then,
    },
    /// A message of the server that answers no request.
    Unsolicited {
        /// What comes behind it.
        then: Then,
    },
    /// The body ended that the head before announced.
    End(BodyEnd),
}

/// What is known of a body once it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyEnd {
    /// Its bytes without framing; `None` where they could not be counted.
    pub size: Option<u64>,
    /// What the body says became of a call (gRPC-Web).
    pub call_status: Option<u32>,
}

/// What comes behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// The next message: there is no body.
    Done,
    /// A body, and [`Message::End`] where it ends.
    Body,
    /// Nobody knows: the head was cut. The parser wants to be resynchronised.
    Unknown,
    /// Bytes of another protocol: both directions are left alone from here on.
    Foreign,
    /// A tunnel (RFC 9110 §9.3.6): what goes through it, in both directions, is a conversation of
    /// its own.
    Tunnel,
    /// Another protocol in both directions, by its upgrade token (RFC 9110 §7.8); it carries the
    /// response to this request.
    Upgrade(&'static str),
}
