//! What comes out of a pipeline. Spans are what is left to export; before anything decides which
//! exchanges have one, each is shown to whoever counts.

use std::sync::Arc;

use wirespan_protocols::exchange::Exchange;

use crate::span::{Ends, Resource, Span};

/// An exchange that is over, with what is known beside it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Its family has not been taken apart yet.
    pub exchange: &'a Exchange,
    /// Whose it is.
    pub resource: &'a Arc<Resource>,
    /// What is known of the connection's ends.
    pub ends: Ends<'a>,
}

/// Takes what a pipeline makes.
pub trait Outlet {
    /// An exchange is over, and is not the daemon's own. Its span follows, if it has one.
    fn observe(&mut self, _observation: &Observation<'_>) {}

    /// A span was made.
    fn span(&mut self, span: Span);
}

impl Outlet for Vec<Span> {
    fn span(&mut self, span: Span) {
        self.push(span);
    }
}
