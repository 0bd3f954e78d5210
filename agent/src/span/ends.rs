//! `server.*`, `client.*` and `network.*`: what is known of a connection's two ends, for spans of
//! every family. What a request says of them is the families' business.

use std::sync::Arc;

use wirespan_protocols::exchange::Role;

use super::{Ends, Value};
use crate::endpoints::{Endpoint, Endpoints};
use crate::semconv;

/// The server's end of the connection, or of the tunnel that it is.
pub(super) fn server(ends: Ends<'_>, role: Role) -> Option<Endpoint<'_>> {
    let tunnelled = ends.via.and_then(|via| via.server.as_ref());
    let tunnelled = tunnelled.map(|server| Endpoint {
        address: &server.host,
        port: server.port,
    });
    tunnelled.or_else(|| ends.addresses?.server(role))
}

/// `server.*`, if anything is known of it.
pub(super) fn push_server(
    attributes: &mut Vec<(&'static str, Value)>,
    named: Option<(Value, Option<u16>)>,
) {
    if let Some((address, port)) = named {
        attributes.push((semconv::SERVER_ADDRESS, address));
        if let Some(port) = port {
            attributes.push((semconv::SERVER_PORT, Value::Int(port.into())));
        }
    }
}

/// `client.*` and `network.*`. `forwarded_for` is the client that proxies named, if they did.
pub(super) fn tell(
    attributes: &mut Vec<(&'static str, Value)>,
    role: Role,
    forwarded_for: Option<Arc<str>>,
    ends: Ends<'_>,
) {
    let endpoints = ends.addresses;
    let peer = endpoints.and_then(|endpoints| endpoints.peer(role));
    if role == Role::Server {
        let relayed = ends.via.and_then(|via| via.client.as_ref());
        let (client, port) = match (forwarded_for, relayed) {
            (Some(client), _) => (Some(client), None),
            (None, Some((client, port))) => (Some(Arc::clone(client)), Some(*port)),
            (None, None) => (peer.map(|peer| Arc::clone(peer.address)), None),
        };
        if let Some(client) = client {
            attributes.push((semconv::CLIENT_ADDRESS, Value::Shared(client)));
        }
        if let Some(port) = port {
            attributes.push((semconv::CLIENT_PORT, Value::Int(port.into())));
        }
    }
    if let Some(peer) = peer {
        attributes.push((
            semconv::NETWORK_PEER_ADDRESS,
            Value::Shared(Arc::clone(peer.address)),
        ));
        if let Some(port) = peer.port {
            attributes.push((semconv::NETWORK_PEER_PORT, Value::Int(port.into())));
        }
    }
    if matches!(endpoints, Some(Endpoints::Unix { .. })) {
        attributes.push((
            semconv::NETWORK_TRANSPORT,
            Value::Static(semconv::TRANSPORT_UNIX),
        ));
    }
}
