//! Which trace a span belongs to, and which span is its parent, as far as headers tell. Who asked
//! for it beside them is the business of [`crate::links`]. It writes nothing to the wire and
//! guesses nothing.

mod propagation;
mod sampling;

use fastrand::Rng;
use wirespan_protocols::exchange::Role;

pub use propagation::{Named, Propagation};
pub use sampling::{Choice, raise_threshold, randomness, with_threshold};

/// W3C Trace Context §3.2.2.4: the caller may have recorded this trace.
pub const FLAG_SAMPLED: u8 = 1;

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub span_id: [u8; 8],
    /// `None` for a root.
    pub parent: Option<Parent>,
    /// W3C trace flags.
    pub flags: u8,
    /// Whether it is sampled, if whoever began the trace said so.
    pub decided: Option<bool>,
    /// By which all who sample the trace decide, if it is not the end of its id: 56 bits.
    pub randomness: Option<u64>,
}

/// The span that another one is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Not all zero.
    pub span_id: [u8; 8],
    /// It lives in another process.
    pub is_remote: bool,
}

/// Gives out ids. With a seed, the same exchanges in the same order get the same ids.
#[derive(Debug)]
pub struct TraceContext {
    rng: Rng,
}

impl TraceContext {
    /// Seeded by the caller, or else by the system.
    #[must_use]
    pub fn new(seed: Option<u64>) -> Self {
        Self {
            rng: seed.map_or_else(Rng::new, Rng::with_seed),
        }
    }

    /// Places the span of an exchange whose request named its parent, if it did.
    ///
    /// A server span continues the caller's trace: its parent is remote. A client span whose
    /// request carries such a header was written by an SDK inside the traced process, and the id
    /// in it is that of the SDK's own client span: ours is the same call seen from below, so it
    /// becomes the child of the SDK's span, in the same process. The server's span will name the
    /// same parent, which is right too: nothing on the wire could have named ours. Without the
    /// header a span is the root of a trace of its own; an orphan is mended more easily than a
    /// wrong parent.
    pub fn place(&mut self, role: Role, named: Named) -> SpanContext {
        match named.parent {
            Some(parent) => SpanContext {
                trace_id: parent.trace_id,
                span_id: self.span_id(),
                parent: Some(Parent {
                    span_id: parent.parent_id,
                    is_remote: role == Role::Server,
                }),
                flags: parent.flags,
                decided: (!parent.is_deferred).then_some(parent.flags & FLAG_SAMPLED != 0),
                randomness: named.randomness,
            },
            None => SpanContext {
                trace_id: self.trace_id(),
                span_id: self.span_id(),
                parent: None,
                flags: FLAG_SAMPLED,
                decided: None,
                randomness: None,
            },
        }
    }

    fn trace_id(&mut self) -> [u8; 16] {
        self.rng.u128(..).max(1).to_be_bytes()
    }

    fn span_id(&mut self) -> [u8; 8] {
        self.rng.u64(..).max(1).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use wirespan_protocols::trace_parent::TraceParent;

    use super::*;

    const PARENT: TraceParent = TraceParent {
        trace_id: [7; 16],
        parent_id: [9; 8],
        flags: 0,
        is_deferred: false,
    };

    #[test]
    fn a_seed_makes_ids_reproducible_and_no_seed_does_not() {
        let ids = |seed| {
            let mut context = TraceContext::new(seed);
            [(); 3].map(|()| context.place(Role::Server, Named::default()))
        };
        assert_eq!(ids(Some(1)), ids(Some(1)));
        assert_ne!(ids(Some(1)), ids(Some(2)));
        assert_ne!(ids(None), ids(None));
    }

    #[test]
    fn a_root_is_sampled_and_has_no_parent() {
        let place = TraceContext::new(Some(1)).place(Role::Client, Named::default());
        assert_eq!(place.parent, None);
        assert_eq!(place.flags, FLAG_SAMPLED);
        assert_ne!(place.trace_id, [0; 16]);
        assert_ne!(place.span_id, [0; 8]);
    }

    #[test]
    fn a_parent_is_remote_for_servers_and_in_the_process_for_clients() {
        let mut context = TraceContext::new(Some(1));
        for (role, remote) in [(Role::Server, true), (Role::Client, false)] {
            let named = Named {
                parent: Some(PARENT),
                ..Named::default()
            };
            let place = context.place(role, named);
            assert_eq!(place.trace_id, PARENT.trace_id);
            let parent = Parent {
                span_id: PARENT.parent_id,
                is_remote: remote,
            };
            assert_eq!(place.parent, Some(parent));
            assert_ne!(place.span_id, PARENT.parent_id);
            assert_eq!(place.flags, 0, "flags are the caller's");
        }
    }
}
