//! AWS X-Ray's `X-Amzn-Trace-Id` (AWS X-Ray Developer Guide, Tracing header):
//! `Root=1-TIME-NUMBER;Parent=SPAN;Sampled=1`, in any order, among other entries. A load balancer
//! that begins a trace names no parent: without one there is no context.

use super::{Once, context, hex};
use crate::trace_parent::TraceParent;

/// Entries that are looked at; there are three, and a few of others.
const ENTRIES_MAX: usize = 16;

pub(super) fn parse(value: &[u8]) -> Option<TraceParent> {
    let (mut root, mut parent) = (Once::Absent, Once::Absent);
    let mut sampled = Once::Absent;
    for (count, entry) in value.split(|byte| *byte == b';').enumerate() {
        if count == ENTRIES_MAX {
            return None;
        }
        let entry = entry.trim_ascii();
        if let Some(id) = entry.strip_prefix(b"Root=") {
            root.take(trace_id(id));
        } else if let Some(id) = entry.strip_prefix(b"Parent=") {
            parent.take((id.len() == 16).then(|| hex(id, true)).flatten());
        } else if let Some(flag) = entry.strip_prefix(b"Sampled=") {
            sampled.take(match flag {
                b"1" => Some(Some(true)),
                b"0" => Some(Some(false)),
                // Whoever comes next is to decide.
                b"?" | b"" => Some(None),
                _ => None,
            });
        }
    }
    let sampled = match sampled {
        Once::Absent => None,
        Once::Read(sampled) => sampled,
        Once::Void => return None,
    };
    context(root.read()?, parent.read()?, sampled)
}

/// `1-`, seconds since the epoch in 8 digits, `-`, 24 digits: together the id.
fn trace_id(text: &[u8]) -> Option<[u8; 16]> {
    let [b'1', b'-', rest @ ..] = text else {
        return None;
    };
    if rest.len() != 33 || rest[8] != b'-' {
        return None;
    }
    let seconds: [u8; 4] = hex(&rest[..8], true)?;
    let number: [u8; 12] = hex(&rest[9..], true)?;
    let mut id = [0; 16];
    id[..4].copy_from_slice(&seconds);
    id[4..].copy_from_slice(&number);
    Some(id)
}
