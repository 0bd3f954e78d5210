//! A remote procedure call in the words of the conventions for RPC spans (stable, schema 1.45.0).
//!
//! Decisions where the conventions leave room:
//! - The status is the server's (`grpc-status`). Without one it is what a client concludes from a
//!   stream that was reset (gRPC's `PROTOCOL-HTTP2.md`) or from an HTTP status that is no success
//!   (`http-grpc-status-mapping.md`); without these nothing is told. A call that the client
//!   cancelled when its own `grpc-timeout` had passed exceeded its deadline. A status that was sent
//!   is told also where it came when that time was over: whether the client heard it before its own
//!   clock is decided within the client.
//! - `rpc.method` is the path as sent: what services exist nobody on the outside knows. Where it
//!   could not be decoded, the span is named after the system.
//! - `server.address` and `server.port` are those that the call names: of the hosts that proxies
//!   note, the conventions speak for HTTP spans only.
//! - The conventions have no names for counts of messages any more: wirespan uses its own. Their
//!   first and last ones are events.

use std::borrow::Cow;

use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::family::call::{Call, CallSystem};
use wirespan_protocols::family::http::{Completeness, HttpResponse};
use wirespan_protocols::family::rpc::{Flown, Messages, Rpc};
use wirespan_protocols::grpc::status;

use super::description::{self, Description};
use super::http;
use super::{Ends, Event, Status, Value};
use crate::endpoints::HostMemo;
use crate::semconv;

/// Typical number of attributes, with some room.
const ATTRIBUTES_TYPICAL: usize = 18;

/// Error code of a stream that one side does not want any more (RFC 9113 §7).
const CANCEL: u32 = 8;

/// A client's clock started before its request was sent, it may round the timeout up, and gRPC's
/// core says an earlier timeout again where that is up to three hundredths longer
/// (`hpack_encoder.cc`): so many hundredths of it must have passed.
const TIMEOUT_HUNDREDTHS: u64 = 95;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    pub outcome: Outcome,
    /// Since its start.
    pub waited_ns: u64,
}

/// Describes a call; takes texts out of it. `wall` puts a record's time on the wall clock.
pub fn describe(
    role: Role,
    fate: Fate,
    rpc: &mut Rpc,
    ends: Ends<'_>,
    hosts: &mut HostMemo,
    wall: impl Fn(u64) -> u64,
) -> Description {
    let (request, response) = (&mut *rpc.http.request, rpc.http.response.as_ref());
    let messages = rpc.messages.as_deref();
    let mut attributes = Vec::with_capacity(ATTRIBUTES_TYPICAL);
    attributes.push((semconv::RPC_SYSTEM_NAME, Value::Static(semconv::RPC_GRPC)));
    let method = method_of(&request.target).map(str::to_owned);
    if let Some(method) = &method {
        attributes.push((semconv::RPC_METHOD, Value::Owned(method.clone())));
    }
    let code = status_of(fate, rpc.call, response);
    if let Some(code) = code {
        attributes.push((semconv::RPC_STATUS_CODE, Value::Static(status::name(code))));
    }
    http::tell_server(&mut attributes, role, request, ends, hosts);
    http::tell_ends(&mut attributes, role, request, ends);
    attributes.push(http::protocol(request.version));
    if let Some(messages) = messages {
        for (name, flown) in [
            (semconv::WIRESPAN_RPC_REQUEST_MESSAGES, messages.requests),
            (semconv::WIRESPAN_RPC_RESPONSE_MESSAGES, messages.responses),
        ] {
            if let Some(count) = flown.count {
                attributes.push((name, Value::Int(i64::try_from(count).unwrap_or(i64::MAX))));
            }
        }
    }
    let (error, span_status) = judge(role, fate.outcome, code);
    if let Some(error) = error {
        attributes.push((semconv::ERROR_TYPE, Value::Static(error)));
    }
    http::tell_completeness(&mut attributes, request, response);
    if request.truncated {
        attributes.push((semconv::WIRESPAN_CAPTURE_TRUNCATED, Value::Bool(true)));
    }
    Description {
        name: method.map_or(Cow::Borrowed(semconv::RPC_GRPC), Cow::Owned),
        attributes,
        events: messages.map_or_else(Vec::new, |messages| events(messages, wall)),
        trace_state: request.trace_state.take(),
        status: span_status,
    }
}

/// Whether a call asks for a server's health, or what services it has, by gRPC's own services.
pub fn is_house_keeping(rpc: &Rpc) -> bool {
    const SERVICES: [&str; 3] = [
        "/grpc.health.v1.Health/",
        "/grpc.reflection.v1.ServerReflection/",
        "/grpc.reflection.v1alpha.ServerReflection/",
    ];
    SERVICES
        .iter()
        .any(|service| rpc.http.request.target.starts_with(service))
}

/// When the first and the last message of each direction moved, on the records' clock.
fn events(messages: &Messages, wall: impl Fn(u64) -> u64) -> Vec<Event> {
    const FIRST_SENT: &str = "wirespan.rpc.request.first_message";
    const LAST_SENT: &str = "wirespan.rpc.request.last_message";
    const FIRST_RECEIVED: &str = "wirespan.rpc.response.first_message";
    const LAST_RECEIVED: &str = "wirespan.rpc.response.last_message";

    let mut events = Vec::with_capacity(4);
    let mut tell = |flown: Flown, first: &'static str, last: &'static str| {
        for (name, time_ns) in [(first, flown.first_ns), (last, flown.last_ns)] {
            if let Some(time_ns) = time_ns {
                events.push(Event {
                    name,
                    unix_ns: wall(time_ns),
                });
            }
        }
    };
    tell(messages.requests, FIRST_SENT, LAST_SENT);
    tell(messages.responses, FIRST_RECEIVED, LAST_RECEIVED);
    events.sort_by_key(|event| event.unix_ns);
    events
}

/// `pkg.Service/Method` of a path such as `/pkg.Service/Method`.
fn method_of(path: &str) -> Option<&str> {
    let method = path.strip_prefix('/')?;
    (!method.is_empty()).then_some(method)
}

fn status_of(fate: Fate, call: Call, response: Option<&HttpResponse>) -> Option<u32> {
    if let Some(code) = response.and_then(|response| response.call_status) {
        return Some(code);
    }
    match fate.outcome {
        // It may have been either.
        Outcome::Aborted(CANCEL) if call.may_time_out => None,
        Outcome::Aborted(CANCEL) => {
            let has_timed_out = call
                .timeout_ns
                .is_some_and(|timeout_ns| fate.waited_ns >= timeout_ns / 100 * TIMEOUT_HUNDREDTHS);
            Some(if has_timed_out {
                status::DEADLINE_EXCEEDED
            } else {
                status::CANCELLED
            })
        }
        Outcome::Aborted(code) => Some(status::of_reset(code)),
        Outcome::Complete => {
            // Trailers of gRPC-Web are in the body, and what was not decoded is not known.
            let response = response.filter(|response| {
                call.system == CallSystem::Grpc
                    && response.status != 0
                    && response.completeness != Completeness::Incomplete
            })?;
            Some(match response.status {
                200 => status::UNKNOWN,
                code => status::of_http(code),
            })
        }
        _ => None,
    }
}

/// `error.type` and the span's status. To a client, whatever is not `OK` is an error.
fn judge(role: Role, outcome: Outcome, code: Option<u32>) -> (Option<&'static str>, Status) {
    if let Some(code) = code {
        let is_error = match role {
            Role::Client => code != status::OK,
            Role::Server => status::is_server_error(code),
        };
        return if is_error {
            (Some(status::name(code)), Status::Error)
        } else {
            (None, Status::Unset)
        };
    }
    match description::judge(outcome) {
        Some((error, status)) => (Some(error), status),
        None => (None, Status::Unset),
    }
}

#[cfg(test)]
mod tests;
