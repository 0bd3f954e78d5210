//! The field `traceparent` (W3C Trace Context), as it stands in a head of HTTP/1.x, and in a block
//! of HTTP/2.

use wirespan_common::carriers::{FIELD_LEN, LITERAL_LEN, hex};

use crate::context::TraceContext;
use crate::memory::{NotDone, SentMessage};

/// Where the last word begins, so that it ends with the field.
const LAST: u32 = FIELD_LEN - 8;

/// Writes it to `at`, where there is room for it.
#[inline(always)]
pub fn write(
    message: SentMessage,
    at: u32,
    context: &TraceContext,
    span_id: u64,
) -> Result<(), NotDone> {
    const DASH: u64 = b'-' as u64;
    let [a, b, c, d] = quarters(&context.trace_id);
    let (high, low) = (hex((span_id >> 32) as u32), hex(span_id as u32));
    message.write(
        at,
        [
            u64::from_le_bytes(*b"tracepar"),
            u64::from_le_bytes(*b"ent: 00-"),
            hex(a),
            hex(b),
            hex(c),
            hex(d),
            DASH | high << 8,
            high >> 56 | low << 8,
        ],
    )?;
    let flags = hex(u32::from(context.flags)) >> 48;
    let end = u64::from(u16::from_le_bytes(*b"\r\n"));
    message.write(
        at + LAST,
        [low >> 40 | DASH << 24 | flags << 32 | end << 48],
    )
}

/// Writes it to `at` as a literal that is never indexed, with a new name (RFC 7541, 6.2.3), where
/// there is room for it.
#[inline(always)]
pub fn write_literal(
    message: SentMessage,
    at: u32,
    context: &TraceContext,
    span_id: u64,
) -> Result<(), NotDone> {
    const DASH: u64 = b'-' as u64;
    let [a, b, c, d] = quarters(&context.trace_id);
    let (high, low) = (hex((span_id >> 32) as u32), hex(span_id as u32));
    let flags = hex(u32::from(context.flags)) >> 48;
    // Neither name nor value by Huffman's code: 11 and 55 bytes.
    message.write(at, [u64::from_le_bytes(*b"\x10\x0btracep")])?;
    message.write(at + 8, [u64::from_le_bytes(*b"arent\x3700")])?;
    message.write(at + 9, [u64::from_le_bytes(*b"rent\x3700-")])?;
    message.write(at + 17, [hex(a), hex(b), hex(c), hex(d)])?;
    message.write(at + 49, [DASH | high << 8, high >> 56 | low << 8])?;
    message.write(at + LITERAL_LEN - 8, [low >> 24 | DASH << 40 | flags << 48])
}

#[inline(always)]
fn quarters(id: &[u8; 16]) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *id;
    [
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
        u32::from_be_bytes([i, j, k, l]),
        u32::from_be_bytes([m, n, o, p]),
    ]
}
