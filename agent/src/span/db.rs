//! A database operation in the words of the conventions for database client spans (stable, schema
//! 1.45.0) and of their pages on Redis and MongoDB (in development).
//!
//! Decisions where the conventions leave room:
//! - The conventions speak of clients only. A database server that is watched has spans with the
//!   same attributes and the kind SERVER, and `client.address` beside them.
//! - The name is the operation and, where there is one, the collection. A Redis database's number
//!   is no part of it (the conventions say so), and neither is the server's address: that would
//!   make one operation many.
//! - Each command is a span, also in a pipeline and between `MULTI` and `EXEC`: which of them a
//!   program gave to its library in one call nobody can tell from outside, so there is no
//!   `db.operation.batch.size` and no `PIPELINE`.
//! - `db.query.text` is the operation with a sign for each argument: nothing of a key, a value or
//!   a password. `db.operation.name` is only told if it is the name of a command.
//! - An error that a database answers is an error on either side, redirections (`MOVED`) included.
//!   `error.type` is its code, or `_OTHER` where it has none.
//! - `server.address` is the connection's, or the name that the client asked for (TLS): what its
//!   configuration says nobody sees.

use std::borrow::Cow;
use std::sync::Arc;

use wirespan_protocols::exchange::{Outcome, Role};
use wirespan_protocols::family::db::{Db, DbSystem};

use super::description::{self, Description};
use super::{Ends, Status, Value, ends};
use crate::semconv::{self, error_type};

/// Typical number of attributes, with some room.
const ATTRIBUTES_TYPICAL: usize = 14;

/// Describes an operation; takes texts out of it.
pub fn describe(role: Role, outcome: Outcome, db: &mut Db, ends: Ends<'_>) -> Description {
    let Db { request, response } = db;
    let mut attributes = Vec::with_capacity(ATTRIBUTES_TYPICAL);
    let system = match request.system {
        DbSystem::Redis => semconv::DB_REDIS,
        DbSystem::MongoDb => semconv::DB_MONGODB,
    };
    attributes.push((semconv::DB_SYSTEM_NAME, Value::Static(system)));
    let name = match (&request.operation, &request.collection) {
        (Some(operation), Some(collection)) => Cow::Owned(format!("{operation} {collection}")),
        (Some(operation), None) => operation.clone(),
        (None, Some(collection)) => Cow::Owned(collection.to_string()),
        (None, None) => Cow::Borrowed(system),
    };
    let texts = [
        (semconv::DB_NAMESPACE, request.namespace.take()),
        (semconv::DB_COLLECTION_NAME, owned(&mut request.collection)),
        (semconv::DB_OPERATION_NAME, request.operation.take()),
        (
            semconv::DB_STORED_PROCEDURE_NAME,
            owned(&mut request.procedure),
        ),
        (semconv::DB_QUERY_TEXT, owned(&mut request.query_text)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            attributes.push((name, value(text)));
        }
    }
    if let Some(size) = request.batch_size {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        attributes.push((semconv::DB_OPERATION_BATCH_SIZE, Value::Int(size)));
    }
    tell_where(&mut attributes, role, ends);

    let mut truncated = request.truncated;
    let mut failure =
        description::judge(outcome).map(|(error, status)| (Cow::Borrowed(error), status));
    if let Some(response) = response {
        truncated |= response.truncated;
        if response.failed {
            let code = response.status.take();
            if let Some(code) = &code {
                attributes.push((semconv::DB_RESPONSE_STATUS_CODE, value(code.clone())));
            }
            let error = code.unwrap_or(Cow::Borrowed(error_type::OTHER));
            failure = Some((error, Status::Error));
        }
    }
    let (error, status) = match failure {
        Some((error, status)) => (Some(error), status),
        None => (None, Status::Unset),
    };
    if let Some(error) = error {
        attributes.push((semconv::ERROR_TYPE, value(error)));
    }
    if truncated {
        attributes.push((semconv::WIRESPAN_CAPTURE_TRUNCATED, Value::Bool(true)));
    }
    if outcome == Outcome::EndInferred {
        attributes.push((semconv::WIRESPAN_END_INFERRED, Value::Bool(true)));
    }
    Description {
        name,
        attributes,
        events: Vec::new(),
        trace_state: None,
        status,
    }
}

fn tell_where(attributes: &mut Vec<(&'static str, Value)>, role: Role, ends: Ends<'_>) {
    let server = ends::server(ends, role);
    let is_in_tunnel = ends.via.is_some_and(|via| via.begins_here);
    let asked_for = ends
        .server_name
        .filter(|_| role == Role::Client && !is_in_tunnel);
    let address = asked_for.or(server.map(|server| server.address));
    let port = server.and_then(|server| server.port);
    let named = address.map(|address| (Value::Shared(Arc::clone(address)), port));
    ends::push_server(attributes, named);
    ends::tell(attributes, role, None, ends);
}

fn owned(text: &mut Option<Box<str>>) -> Option<Cow<'static, str>> {
    text.take().map(|text| Cow::Owned(text.into()))
}

fn value(text: Cow<'static, str>) -> Value {
    match text {
        Cow::Borrowed(text) => Value::Static(text),
        Cow::Owned(text) => Value::Owned(text),
    }
}

#[cfg(test)]
mod tests;
