//! An HTTP exchange in the words of the conventions for HTTP spans (stable since 1.23, schema
//! 1.45.0). It fills in no route (nobody on the outside knows routes, and a path is not one) and
//! invents no status.
//!
//! Decisions where the conventions leave room:
//! - `url.path` of `OPTIONS *` is `*`, as servers see it and SDKs report it; that of `CONNECT` is
//!   empty (RFC 9112 §3.3: there is none).
//! - Of a server span, what proxies noted of the first request comes first, as the conventions have
//!   it: `Forwarded` (RFC 7239), then `X-Forwarded-For`, `-Host` and `-Proto`, each for what it
//!   does not say. They are for `client.address`, `server.address` and `url.scheme`; a host
//!   that was noted without port has that of the scheme that was noted, or none. Then comes the
//!   client that a relay named (PROXY protocol): it stands for the peer of the relay, and what HTTP
//!   says is from beyond that. Only there is a `client.port`: nothing else tells it.
//!   `network.peer.*` stays what the socket is connected to.
//! - `server.address` and `server.port` come from the request (absolute target, authority target,
//!   `Host`), the address from the connection where that is missing or garbage; within a tunnel
//!   (`CONNECT`), from the authority that it leads to, not the proxy. A `Host` without a
//!   port leaves the connection's port: that is where the server was. A target that names another
//!   server (absolute, without port) has its scheme's default.
//! - `url.full` keeps an absolute target; else it is built from `Host` as sent (RFC 9112 §3.3), or
//!   the server's address. Where there is neither (Unix sockets), `url.path` and `url.query` take
//!   its place.
//! - Who leaves a response that had promised no length (a stream of events) ends it: no error, on
//!   either side. Where a length was promised it is one.
//! - What a server refused because it could read no request in it has the method `_OTHER`, and
//!   neither path nor version.
//! - An exchange whose response the capture missed has an `error.type` that says so, but the status
//!   stays unset: it is the observation that failed, perhaps not the operation.

use std::borrow::Cow;
use std::sync::Arc;

use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::family::http::{
    Completeness, Http, HttpRequest, HttpResponse, Method, Version,
};

use super::description::{self, Description};
use super::method::KnownMethods;
use super::url::{self, Target};
use super::{Ends, Status, Value, ends};
use crate::endpoints::authority::{self, Authority};
use crate::endpoints::{Endpoint, HostMemo};
use crate::semconv::{self, error_type};

/// Typical number of attributes, those that name the peer among them, with some room: a vector
/// grows once in a blue moon.
const ATTRIBUTES_TYPICAL: usize = 18;

/// Describes an exchange; takes texts out of it.
pub fn describe(
    role: Role,
    outcome: Outcome,
    http: &mut Http,
    methods: &KnownMethods,
    ends: Ends<'_>,
    hosts: &mut HostMemo,
) -> Description {
    let Http { request, response } = http;
    let (request, response) = (&mut **request, response.as_ref());
    let mut attributes = Vec::with_capacity(ATTRIBUTES_TYPICAL);
    let known_method = methods.name(&request.method);
    attributes.push((
        semconv::HTTP_REQUEST_METHOD,
        Value::Static(known_method.unwrap_or(semconv::METHOD_OTHER)),
    ));
    if known_method.is_none() && request.method != Method::Unknown {
        attributes.push((
            semconv::HTTP_REQUEST_METHOD_ORIGINAL,
            Value::Owned(request.method.as_str().into()),
        ));
    }

    tell_where(&mut attributes, role, request, ends, hosts);

    if !request.is_malformed() {
        attributes.push(protocol(request.version));
    }
    let status_code = response
        .map(|response| response.status)
        .filter(|code| *code != 0);
    if let Some(size) = request.body_size {
        attributes.push((semconv::HTTP_REQUEST_BODY_SIZE, bytes(size)));
    }
    if let Some(code) = status_code {
        attributes.push((semconv::HTTP_RESPONSE_STATUS_CODE, Value::Int(code.into())));
    }
    if let Some(size) = response.and_then(|response| response.body_size) {
        attributes.push((semconv::HTTP_RESPONSE_BODY_SIZE, bytes(size)));
    }
    let (error, status) = judge(role, outcome, status_code);
    if let Some(error) = error {
        attributes.push((semconv::ERROR_TYPE, error));
    }
    if request.truncated || response.is_some_and(|response| response.truncated) {
        attributes.push((semconv::WIRESPAN_CAPTURE_TRUNCATED, Value::Bool(true)));
    }
    if outcome == Outcome::EndInferred {
        attributes.push((semconv::WIRESPAN_END_INFERRED, Value::Bool(true)));
    }
    tell_completeness(&mut attributes, request, response);
    Description {
        name: Cow::Borrowed(known_method.unwrap_or("HTTP")),
        attributes,
        events: Vec::new(),
        trace_state: request.trace_state.take(),
        status,
    }
}

/// Marks what compressed header fields left open.
pub(super) fn tell_completeness(
    attributes: &mut Vec<(&'static str, Value)>,
    request: &HttpRequest,
    response: Option<&HttpResponse>,
) {
    let of_response = response.map_or(Completeness::Whole, |response| {
        // A status that is missing matters even if all that was sent could be read.
        if response.status == 0 {
            Completeness::Incomplete
        } else {
            response.completeness
        }
    });
    if request.completeness == Completeness::Inferred || of_response == Completeness::Inferred {
        attributes.push((semconv::WIRESPAN_HTTP2_HEADERS_INFERRED, Value::Bool(true)));
    }
    if request.completeness == Completeness::Incomplete || of_response == Completeness::Incomplete {
        attributes.push((
            semconv::WIRESPAN_HTTP2_HEADERS_INCOMPLETE,
            Value::Bool(true),
        ));
    }
}

/// What was spoken: HTTP of which version, or something else that says the same.
pub(super) fn protocol(version: Version) -> (&'static str, Value) {
    let version = match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
        Version::FastCgi => {
            return (semconv::NETWORK_PROTOCOL_NAME, Value::Static("fastcgi"));
        }
        Version::Uwsgi => return (semconv::NETWORK_PROTOCOL_NAME, Value::Static("uwsgi")),
    };
    (semconv::NETWORK_PROTOCOL_VERSION, Value::Static(version))
}

/// `url.*` and `server.*`, then what is known of the ends and of the client.
fn tell_where(
    attributes: &mut Vec<(&'static str, Value)>,
    role: Role,
    request: &mut HttpRequest,
    ends: Ends<'_>,
    hosts: &mut HostMemo,
) {
    // What is said in a tunnel is not encrypted by what the tunnel is in, nor for who that is for.
    let is_in_tunnel = ends.via.is_some_and(|via| via.begins_here);
    let is_encrypted = ends.is_encrypted && !is_in_tunnel;
    let scheme = if is_encrypted {
        "https"
    } else {
        request.scheme.unwrap_or("http")
    };
    let target = Target::parse(&request.method, &request.target);
    let host = request.host.as_ref().and_then(|sent| {
        let parts = hosts.resolve(sent)?;
        Some((sent, parts))
    });
    let server = ends::server(ends, role);
    // Who asked for nobody by name got whom the connection led to.
    let asked_for = ends
        .server_name
        .filter(|_| role == Role::Client && !is_in_tunnel);
    let forwarded_scheme = request.forwarded_scheme.filter(|_| role == Role::Server);
    let named = request
        .forwarded_host
        .as_ref()
        .filter(|_| role == Role::Server)
        .and_then(|noted| name_noted(noted, forwarded_scheme))
        .or_else(|| name_server(target, host.map(|(_, parts)| parts), asked_for, server));

    match role {
        _ if request.target.is_empty() => {
            // Not decoded; nothing takes its place.
            let is_known = is_encrypted || request.scheme.is_some();
            let scheme = forwarded_scheme.or(Some(scheme).filter(|_| is_known));
            if let Some(scheme) = scheme.filter(|_| role == Role::Server) {
                attributes.push((semconv::URL_SCHEME, Value::Static(scheme)));
            }
        }
        Role::Server => {
            let (scheme, path, query) = parts(scheme, target);
            let scheme = forwarded_scheme.map_or(scheme, Value::Static);
            let query = query.map(str::to_owned);
            attributes.push((semconv::URL_SCHEME, scheme));
            let path = match target {
                // The path is where the target begins, so that there is no need for a copy.
                Target::Origin { path, .. } => {
                    let len = path.len();
                    let mut path = String::from(std::mem::take(&mut request.target));
                    path.truncate(len);
                    path
                }
                _ => path.to_owned(),
            };
            tell_path(attributes, path, query);
        }
        Role::Client => {
            let sent = host.map(|(sent, _)| sent);
            let authority = authority_of(sent, server, asked_for, scheme);
            tell_full(attributes, target, scheme, authority);
        }
    }
    ends::push_server(attributes, named);
    tell_ends(attributes, role, request, ends);
}

/// Whom a client's request was for, as its URL names it.
fn authority_of(
    sent: Option<&Arc<str>>,
    server: Option<Endpoint<'_>>,
    asked_for: Option<&Arc<str>>,
    scheme: &str,
) -> Option<String> {
    match (sent, server) {
        (Some(sent), _) => Some(String::from(&**sent)),
        (None, Some(server)) => match asked_for {
            Some(name) => Endpoint {
                address: name,
                port: server.port,
            }
            .authority(scheme),
            None => server.authority(scheme),
        },
        (None, None) => asked_for.map(|name| String::from(&**name)),
    }
}

/// The host that a proxy noted, as the first client asked for it.
fn name_noted(noted: &Arc<str>, scheme: Option<&str>) -> Option<(Value, Option<u16>)> {
    let (host, port) = authority::parse(noted)?;
    let name = if host.len() == noted.len() {
        Value::Shared(Arc::clone(noted))
    } else {
        Value::Owned(host.to_owned())
    };
    Some((name, port.or_else(|| scheme.and_then(default_port))))
}

/// The server's name and port: what the request says, or else the connection.
fn name_server(
    target: Target<'_>,
    host: Option<&Authority>,
    asked_for: Option<&Arc<str>>,
    server: Option<Endpoint<'_>>,
) -> Option<(Value, Option<u16>)> {
    let owned = |(host, port): (&str, Option<u16>)| (Value::Owned(host.into()), port);
    let named = match target {
        Target::Absolute {
            scheme, authority, ..
        } => authority::parse(url::without_userinfo(authority))
            .map(|(host, port)| owned((host, port.or_else(|| default_port(scheme))))),
        Target::Authority(authority) => authority::parse(authority).map(owned),
        Target::Origin { .. } | Target::Asterisk => host.map(|parts| {
            let port = parts.port.or_else(|| server.and_then(|server| server.port));
            (Value::Shared(Arc::clone(&parts.host)), port)
        }),
    };
    let port = server.and_then(|server| server.port);
    let address = asked_for.or(server.map(|server| server.address));
    named.or_else(|| address.map(|address| (Value::Shared(Arc::clone(address)), port)))
}

/// `server.*` alone.
pub(super) fn tell_server(
    attributes: &mut Vec<(&'static str, Value)>,
    role: Role,
    request: &HttpRequest,
    ends: Ends<'_>,
    hosts: &mut HostMemo,
) {
    let target = Target::parse(&request.method, &request.target);
    let host = request.host.as_ref().and_then(|sent| hosts.resolve(sent));
    let server = ends::server(ends, role);
    let asked_for = ends.server_name.filter(|_| role == Role::Client);
    ends::push_server(attributes, name_server(target, host, asked_for, server));
}

/// `client.*`, `network.*` and `user_agent.*`.
pub(super) fn tell_ends(
    attributes: &mut Vec<(&'static str, Value)>,
    role: Role,
    request: &mut HttpRequest,
    ends: Ends<'_>,
) {
    ends::tell(attributes, role, request.forwarded_for.take(), ends);
    if let Some(user_agent) = request.user_agent.take() {
        attributes.push((semconv::USER_AGENT_ORIGINAL, Value::Shared(user_agent)));
    }
}

/// `url.scheme`, `url.path` and `url.query` as sent.
fn parts<'a>(scheme: &'static str, target: Target<'a>) -> (Value, &'a str, Option<&'a str>) {
    match target {
        Target::Origin { path, query } => (Value::Static(scheme), path, query),
        Target::Absolute {
            scheme,
            path,
            query,
            ..
        } => (scheme_value(scheme), path, query),
        Target::Authority(_) => (Value::Static(scheme), "", None),
        Target::Asterisk => (Value::Static(scheme), "*", None),
    }
}

fn tell_path(attributes: &mut Vec<(&'static str, Value)>, path: String, query: Option<String>) {
    attributes.push((semconv::URL_PATH, Value::Owned(path)));
    if let Some(query) = query {
        attributes.push((semconv::URL_QUERY, Value::Owned(query)));
    }
}

/// `url.full`, or what stands in for it where nobody named the server.
fn tell_full(
    attributes: &mut Vec<(&'static str, Value)>,
    target: Target<'_>,
    scheme: &str,
    authority: Option<String>,
) {
    let full = match (target, &authority) {
        (
            Target::Absolute {
                scheme,
                authority,
                path,
                query,
            },
            _,
        ) => url::full(scheme, authority, path, query),
        (Target::Authority(authority), _) => url::full(scheme, authority, "", None),
        (Target::Asterisk, Some(authority)) => url::full(scheme, authority, "", None),
        (Target::Origin { path, query }, Some(authority)) => {
            url::full(scheme, authority, path, query)
        }
        (Target::Asterisk, None) => return tell_path(attributes, "*".to_owned(), None),
        (Target::Origin { path, query }, None) => {
            return tell_path(attributes, path.to_owned(), query.map(str::to_owned));
        }
    };
    attributes.push((semconv::URL_FULL, Value::Owned(full)));
}

fn scheme_value(scheme: &str) -> Value {
    for known in ["http", "https"] {
        if scheme.eq_ignore_ascii_case(known) {
            return Value::Static(known);
        }
    }
    Value::Owned(scheme.to_ascii_lowercase())
}

fn default_port(scheme: &str) -> Option<u16> {
    let is = |known: &str| scheme.eq_ignore_ascii_case(known);
    if is("http") || is("ws") {
        Some(80)
    } else if is("https") || is("wss") {
        Some(443)
    } else {
        None
    }
}

/// `error.type` and the span's status. A server did what it was asked to when it answered 4xx; a
/// client did not get what it asked for.
fn judge(role: Role, outcome: Outcome, status: Option<u16>) -> (Option<Value>, Status) {
    let failing_from = match role {
        Role::Server => 500,
        Role::Client => 400,
    };
    if let Some(code) = status
        && code >= failing_from
    {
        return (Some(status_text(code)), Status::Error);
    }
    let (error, status) = match description::judge(outcome) {
        Some(judged) => judged,
        None if status.is_some() => return (None, Status::Unset),
        None => (error_type::RESPONSE_NOT_OBSERVED, Status::Unset),
    };
    (Some(Value::Static(error)), status)
}

/// Decimal digits of the codes that fail, so that telling one needs no allocation.
static FAILING_CODES: [[u8; 3]; 200] = {
    let mut texts = [[0; 3]; 200];
    let mut index = 0;
    while index < texts.len() {
        let code = 400 + index;
        texts[index] = [
            b'0' + (code / 100) as u8,
            b'0' + (code / 10 % 10) as u8,
            b'0' + (code % 10) as u8,
        ];
        index += 1;
    }
    texts
};

fn status_text(code: u16) -> Value {
    usize::from(code)
        .checked_sub(400)
        .and_then(|index| FAILING_CODES.get(index))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .map_or_else(|| Value::Owned(code.to_string()), Value::Static)
}

fn bytes(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
