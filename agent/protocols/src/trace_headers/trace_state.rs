//! What OpenTelemetry says in `tracestate`, in the entry `ot` (opentelemetry-specification,
//! trace/tracestate-handling.md), as far as sampling asks for it. Entries of others are not read.

/// `rv`, the explicit randomness: 14 hex digits, so 56 bits.
pub(super) fn randomness(trace_state: &str) -> Option<u64> {
    let mut entries = trace_state.split(',').map(str::trim);
    let ours = entries.find_map(|entry| entry.strip_prefix("ot="))?;
    let digits = ours.split(';').find_map(|pair| pair.strip_prefix("rv:"))?;
    let is_hex = digits
        .bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (digits.len() == 14 && is_hex).then(|| u64::from_str_radix(digits, 16).ok())?
}
