//! gRPC (github.com/grpc/grpc, `doc/PROTOCOL-HTTP2.md`): what HTTP's fields and bodies say of
//! calls. It reads no frame: HTTP/2 carries it. Nor does it read messages, it only counts them.

pub mod status;
pub mod walk;
pub mod web;

pub use walk::Walk;

use crate::family::call::CallSystem;
use crate::fields::digits;

/// The protocol that a `content-type` names.
#[must_use]
pub fn system(content_type: &[u8]) -> Option<CallSystem> {
    const GRPC: &[u8] = b"application/grpc";
    let (grpc, rest) = content_type.split_at_checked(GRPC.len())?;
    if !grpc.eq_ignore_ascii_case(GRPC) {
        return None;
    }
    let is_end = |rest: &[u8]| matches!(rest, [] | [b'+' | b';', ..]);
    if is_end(rest) {
        return Some(CallSystem::Grpc);
    }
    let (web, rest) = rest.split_at_checked(4)?;
    let is_web = web.eq_ignore_ascii_case(b"-web");
    (is_web && (is_end(rest) || rest.first() == Some(&b'-'))).then_some(CallSystem::GrpcWeb)
}

/// Reads `grpc-timeout` (at most eight digits and a unit); nanoseconds.
#[must_use]
pub fn timeout_ns(value: &[u8]) -> Option<u64> {
    let (unit, number) = value.split_last()?;
    let unit_ns = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1000,
        b'n' => 1,
        _ => return None,
    };
    (number.len() <= 8)
        .then(|| digits(number))?
        .map(|number| number.saturating_mul(unit_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_grpc_are_told_from_others() {
        for (text, wanted) in [
            ("application/grpc", Some(CallSystem::Grpc)),
            ("application/grpc+proto", Some(CallSystem::Grpc)),
            ("Application/GRPC;charset=x", Some(CallSystem::Grpc)),
            ("application/grpc-web", Some(CallSystem::GrpcWeb)),
            ("application/grpc-web-text+proto", Some(CallSystem::GrpcWeb)),
            ("application/grpc-webby", None),
            ("application/grpcx", None),
            ("application/json", None),
        ] {
            assert_eq!(system(text.as_bytes()), wanted, "{text}");
        }
    }

    #[test]
    fn timeouts_have_a_unit_and_eight_digits_at_most() {
        assert_eq!(timeout_ns(b"100m"), Some(100_000_000));
        assert_eq!(timeout_ns(b"1H"), Some(3_600_000_000_000));
        assert_eq!(timeout_ns(b"99999999H"), Some(u64::MAX));
        for bad in ["", "S", "1", "123456789S", "-1S", "1s"] {
            assert_eq!(timeout_ns(bad.as_bytes()), None, "{bad}");
        }
    }
}
