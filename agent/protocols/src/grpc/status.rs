//! Status codes of gRPC (`doc/statuscodes.md`) and how what HTTP says becomes one.

use crate::fields::digits;

/// Names by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Success.
pub const OK: u32 = 0;
/// Cancelled, typically by the caller.
pub const CANCELLED: u32 = 1;
/// What a client makes of a response without status.
pub const UNKNOWN: u32 = 2;
/// The deadline passed first.
pub const DEADLINE_EXCEEDED: u32 = 4;

/// Reads `grpc-status`.
#[must_use]
pub fn parse(value: &[u8]) -> Option<u32> {
    digits(value.trim_ascii()).and_then(|code| code.try_into().ok())
}

/// The name of a code; a client takes codes that do not exist for `UNKNOWN`.
#[must_use]
pub fn name(code: u32) -> &'static str {
    usize::try_from(code)
        .ok()
        .and_then(|code| NAMES.get(code))
        .copied()
        .unwrap_or("UNKNOWN")
}

/// Whether a server that answers this has failed (semantic conventions for gRPC 1.45): `UNKNOWN`,
/// `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`. Codes that do not
/// exist count as `UNKNOWN`.
#[must_use]
pub fn is_server_error(code: u32) -> bool {
    matches!(code, 2 | 4 | 12..=15 | 17..)
}

/// What a stream that was reset with this error code (RFC 9113 §7) means, by the table in
/// `PROTOCOL-HTTP2.md`, "Errors"; where that leaves it open, `UNKNOWN`.
#[must_use]
pub fn of_reset(code: u32) -> u32 {
    match code {
        // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT,
        // FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR
        0..=4 | 6 | 9 | 10 => 13,
        // REFUSED_STREAM
        7 => 14,
        // CANCEL
        8 => CANCELLED,
        // ENHANCE_YOUR_CALM
        11 => 8,
        // INADEQUATE_SECURITY
        12 => 7,
        _ => UNKNOWN,
    }
}

/// What a response without `grpc-status` means by its HTTP status (`doc/http-grpc-status-
/// mapping.md`).
#[must_use]
pub fn of_http(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names_and_strange_ones_are_unknown() {
        assert_eq!(name(0), "OK");
        assert_eq!(name(16), "UNAUTHENTICATED");
        assert_eq!(name(17), "UNKNOWN");
        assert_eq!(parse(b"14"), Some(14));
        assert_eq!(parse(b"x"), None);
        assert_eq!(name(of_reset(8)), "CANCELLED");
        assert_eq!(name(of_reset(7)), "UNAVAILABLE");
        assert_eq!(name(of_http(404)), "UNIMPLEMENTED");
    }

    #[test]
    fn servers_fail_with_six_codes() {
        let failing: Vec<_> = (0..17).filter(|code| is_server_error(*code)).map(name).collect();
        assert_eq!(
            failing,
            [
                "UNKNOWN",
                "DEADLINE_EXCEEDED",
                "UNIMPLEMENTED",
                "INTERNAL",
                "UNAVAILABLE",
                "DATA_LOSS"
            ]
        );
    }
}
