//! Jaeger's `uber-trace-id` (Jaeger documentation, Client Libraries, Propagation Format):
//! `TRACE:SPAN:PARENT:FLAGS`, hex digits without leading zeros, which may be percent-encoded.

use super::{context, hex};
use crate::trace_parent::TraceParent;

/// Bits of the flags.
const SAMPLED: u8 = 1;
const DEBUG: u8 = 2;

/// Ids of 128 and 64 bits, three colons and two digits, each colon as three letters.
const BYTES_MAX: usize = 32 + 16 + 16 + 2 + 3 * 3;

pub(super) fn parse(value: &[u8]) -> Option<TraceParent> {
    if value.len() > BYTES_MAX {
        return None;
    }
    let mut rest = value;
    let mut next = || {
        let colon = rest.iter().position(|byte| matches!(byte, b':' | b'%'));
        let (part, behind) = rest.split_at(colon.unwrap_or(rest.len()));
        rest = match behind {
            [] => b"",
            [b':', behind @ ..] | [b'%', b'3', b'A' | b'a', behind @ ..] => behind,
            _ => return None,
        };
        Some((part, colon.is_some()))
    };
    let ((trace, true), (span, true), (parent, true), (flags, false)) =
        (next()?, next()?, next()?, next()?)
    else {
        return None;
    };
    // Deprecated, and 0 as a rule; it has to be a number though.
    hex::<8>(parent, true)?;
    let [flags] = hex(flags, true)?;
    let sampled = flags & (SAMPLED | DEBUG) != 0;
    context(hex(trace, true)?, hex(span, true)?, Some(sampled))
}
