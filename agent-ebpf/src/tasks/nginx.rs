//! The request that nginx makes a call for, by nginx's own structures: it gives epoll(7) the
//! address of its `ngx_connection_t` with each descriptor, and while a request is served upstream,
//! `data` of the upstream's connection is that request, which knows its client's connection. The
//! members used have stood where they are in every nginx since 1.0 (src/core/ngx_connection.h,
//! src/http/ngx_http_request.h, src/stream/ngx_stream.h), but for one that is looked for.
//!
//! Each step is checked: the connection's descriptor is the socket that bytes moved on, and what it
//! serves is signed. A client's connection is told as the address that it has by then, which means
//! something in user space only if a request was read on one that has it. Whoever has another
//! layout, or is no nginx, has no request.

use zerocopy::FromBytes;

use super::{ANSWERS, Task};
use crate::maps;
use crate::memory::user_value;
use crate::sockets::polled::{file_at, file_of, is_descriptor_of, registered_data};
use crate::sockets::{self, Socket};
use crate::transfer::Transfer;

/// The beginning of `ngx_connection_t`.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct NgxConnection {
    data: u64,
    read: u64,
    write: u64,
    fd: u32,
    padding: u32,
}

/// The beginning of `ngx_http_request_t` and of `ngx_stream_session_t`.
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct NgxRequest {
    signature: u32,
    padding: u32,
    connection: u64,
}

/// `NGX_HTTP_MODULE` (src/http/ngx_http_config.h): "HTTP".
const HTTP: u32 = 0x5054_5448;
/// `NGX_STREAM_MODULE` (src/stream/ngx_stream.h): "STRM".
const STREAM: u32 = 0x4d52_5453;

/// The lowest bit tells that an event is stale (src/event/modules/ngx_epoll_module.c).
const INSTANCE: u64 = 1;

/// Address of the `ngx_connection_t` of the socket that bytes moved on.
#[inline(never)]
pub fn connection_of(transfer: &Transfer) -> Option<u64> {
    connection_at(transfer.socket)
}

/// The same of a socket.
#[inline(always)]
pub fn connection_at(socket: Socket) -> Option<u64> {
    if socket.sk == 0 {
        return None;
    }
    let file = file_of(socket.sk)?;
    let at = registered_data(file)? & !INSTANCE;
    let connection: NgxConnection = user_value(at).ok()?;
    is_descriptor_of(file, sockets::descriptors()?, connection.fd).then_some(at)
}

/// The request for whose sake bytes were written to an upstream's socket, which `at` is of.
#[inline(never)]
pub fn request(at: u64, tgid: u32) -> Option<Task> {
    let connection: NgxConnection = user_value(at).ok()?;
    let mut address = connection.data;
    let request = match signed(address) {
        Some(request) => request,
        None => {
            address = wrapped(connection.data, at)?;
            if address == at {
                return Some(ANSWERS);
            }
            signed(address)?
        }
    };
    let client = request.connection;
    if client == at {
        return Some(ANSWERS);
    }
    Some(match stream(tgid, address, client) {
        Some(stream) => stream,
        None => Task {
            id: client,
            part: 0,
        },
    })
}

/// What stands there, if it is a request or a session.
#[inline(always)]
fn signed(address: u64) -> Option<NgxRequest> {
    let request: NgxRequest = user_value(address).ok()?;
    matches!(request.signature, HTTP | STREAM).then_some(request)
}

/// A request that a module's own structure, which a connection has for `data`, points to in its
/// first words: sockets of OpenResty's Lua (`ngx_http_lua_socket_tcp_upstream_t`). Or `connection`
/// itself, if that is a client's of HTTP/2, whose structure begins with it.
#[inline(never)]
fn wrapped(data: u64, connection: u64) -> Option<u64> {
    const WORDS: u64 = 12;
    let mut word = 0;
    while word < WORDS {
        let address: u64 = user_value(data + word * 8).ok()?;
        if word == 0 && address == connection {
            return Some(connection);
        }
        if is_address(address) && signed(address).is_some() {
            return Some(address);
        }
        word += 1;
    }
    None
}

/// The beginning of `ngx_http_v2_stream_t` (src/http/v2/ngx_http_v2.h).
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct NgxStream {
    request: u64,
    connection: u64,
    node: u64,
}

/// Where a request may have its stream: behind what it begins with in any build, and within what
/// none is longer than.
const STREAM_FROM: u64 = 512;
const STREAM_TO: u64 = 2048;
/// Where it is in usual builds of 1.22 to 1.28, so that it is looked for there first.
const STREAM_FIRST: u64 = 1040;
/// Words that are looked at for one request.
const STREAM_WORDS: u64 = 48;

/// How often it is looked whether a request came on a stream, before any did: of the first, and
/// then of few, because it costs more than all the rest.
const LOOKS_AT_FIRST: u64 = 32;
const LOOKS_EVERY: u64 = 64;

/// The stream of HTTP/2 that a request came on, if it did, whose connection is said to be
/// `connection`.
#[inline(never)]
fn stream(tgid: u32, request: u64, connection: u64) -> Option<Task> {
    let [_, known, next, looks, ..] = &mut maps::runtime_mut(tgid)?.places;
    if *known != 0 {
        return stream_at(request + *known, request, connection, false);
    }
    let look = *looks;
    *looks = look + 1;
    if look >= LOOKS_AT_FIRST && look % LOOKS_EVERY != 0 || !is_made_up(connection) {
        return None;
    }
    let mut offset = match *next {
        at @ STREAM_FROM..STREAM_TO => at,
        _ => STREAM_FIRST,
    };
    let mut words = 0;
    while words < STREAM_WORDS {
        if let Some(stream) = stream_at(request + offset, request, connection, true) {
            *known = offset;
            return Some(stream);
        }
        offset += 8;
        words += 1;
    }
    *next = if offset < STREAM_TO {
        offset
    } else {
        STREAM_FROM
    };
    None
}

/// Whether a connection was made up for one of several requests of a client: then it is not the one
/// that was given to epoll(7).
#[inline(always)]
fn is_made_up(connection: u64) -> bool {
    let data = || {
        let client: NgxConnection = user_value(connection).ok()?;
        registered_data(file_at(sockets::descriptors()?, client.fd)?)
    };
    data().is_some_and(|data| data & !INSTANCE != connection)
}

/// The stream that the pointer at `at` leads to, if it is that of the request, named by the
/// connection that all streams of the client are on.
///
/// A subrequest has the stream of its request, so it is by the client's connection, of which each
/// stream has its own, that a stream is known; but it is looked for in requests only.
#[inline(always)]
fn stream_at(at: u64, request: u64, connection: u64, is_own: bool) -> Option<Task> {
    let address: u64 = user_value(at).ok()?;
    if !is_address(address) {
        return None;
    }
    let stream: NgxStream = user_value(address).ok()?;
    if is_own && stream.request != request {
        return None;
    }
    if signed(stream.request)?.connection != connection {
        return None;
    }
    // `ngx_http_v2_connection_t` begins with the connection that all its streams came on, and each
    // of those has its descriptor.
    let id: u64 = user_value(stream.connection).ok()?;
    let of_all: NgxConnection = user_value(id).ok()?;
    let of_one: NgxConnection = user_value(connection).ok()?;
    if of_all.fd != of_one.fd {
        return None;
    }
    // `ngx_http_v2_node_t` begins with the stream's number; those of clients are odd (RFC 9113,
    // 5.1.1).
    let number: u64 = user_value(stream.node).ok()?;
    let part = number as u32;
    (number & 1 == 1 && number < 1 << 31).then_some(Task { id, part })
}

/// Whether it can be the address of something that a program keeps.
#[inline(always)]
fn is_address(word: u64) -> bool {
    word & 7 == 0 && word > 0xffff && word < 1 << 47
}
