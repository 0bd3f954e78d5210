//! What connections between the same two programs learn for each other, by protocol: one line each,
//! as in the registry. Whoever owns the connections keeps it, for each pair and direction; it knows
//! nothing of what is in it.

use crate::http2::hpack::LearntHeaders;

/// What was learnt from the connections of one pair of programs, in one direction.
#[derive(Debug, Default)]
pub struct Learnt {
    /// HTTP/2: what header blocks mean.
    pub http2: LearntHeaders,
}

impl Learnt {
    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.http2.heap_bytes()
    }

    /// Forgets all of it.
    pub fn forget(&mut self) {
        self.http2.forget();
    }
}
