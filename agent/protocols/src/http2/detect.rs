//! Whether bytes from the start of a call are HTTP/2: the client's preface, or frames from the
//! middle of a connection, as far as they prove themselves.

use super::PREFACE;
use super::proof::{Proof, prove};
use crate::parser::Flow;
use crate::protocol::Detected;

/// Whether a preface or a frame begins at `prefix[0]`.
#[must_use]
pub fn detect(prefix: &[u8]) -> Detected {
    let common = prefix.len().min(PREFACE.len());
    if prefix[..common] == PREFACE[..common] {
        return if common == PREFACE.len() {
            Detected::Match(Flow::Requests)
        } else {
            Detected::NotYet
        };
    }
    match prove(prefix) {
        Proof::Frames(Some(flow)) => Detected::Match(flow),
        Proof::Frames(None) => Detected::Either,
        Proof::Whole | Proof::Open => Detected::NotYet,
        Proof::None => Detected::No,
    }
}
