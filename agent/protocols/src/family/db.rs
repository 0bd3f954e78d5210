//! Databases, whatever their protocol: what was asked of one and what it answered, as far as spans
//! need it. No text of a query is here that may hold a value.

use std::borrow::Cow;

use crate::heap;

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Db {
    /// What was asked. Boxed, because it changes hands often before it is a span.
    pub request: Box<DbRequest>,
    /// What was answered; `None` if that was never observed.
    pub response: Option<DbResponse>,
}

/// Which database, by its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbSystem {
    /// Redis, and whoever speaks like it.
    Redis,
    /// MongoDB, and whoever speaks like it.
    MongoDb,
}

/// What a client asks of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DbRequest {
    /// Which database.
    pub system: DbSystem,
    /// The name of the operation or command, as sent; `None` if it is not known, or none.
    pub operation: Option<Cow<'static, str>>,
    /// Where the operation is carried out: a database's name or number.
    pub namespace: Option<Cow<'static, str>>,
    /// The table or collection, where it is one.
    pub collection: Option<Box<str>>,
    /// The function, procedure or script that is called, by its name or digest.
    pub procedure: Option<Box<str>>,
    /// The text of the query, in which a sign stands for each value.
    pub query_text: Option<Box<str>>,
    /// How many operations it is, if it was sent as several in one.
    pub batch_size: Option<u64>,
    /// Part of it was not captured.
    pub truncated: bool,
}

/// What a database answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DbResponse {
    /// The database says that the operation failed.
    pub failed: bool,
    /// Its code for what happened.
    pub status: Option<Cow<'static, str>>,
    /// Part of it was not captured.
    pub truncated: bool,
}

impl Db {
    /// Bytes of heap that it takes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let request = &*self.request;
        let status = self.response.as_ref().and_then(|it| it.status.as_ref());
        let shared = [
            request.operation.as_ref(),
            request.namespace.as_ref(),
            status,
        ];
        let texts = [&request.collection, &request.procedure, &request.query_text];
        heap::boxed::<DbRequest>()
            + shared
                .map(|text| text.map_or(0, owned))
                .iter()
                .sum::<usize>()
            + texts
                .map(|text| heap::block(text.as_deref().map_or(0, str::len)))
                .iter()
                .sum::<usize>()
    }
}

#[allow(clippy::ptr_arg, reason = "what it owns is the question")]
fn owned(text: &Cow<'static, str>) -> usize {
    match text {
        Cow::Owned(text) => heap::block(text.capacity()),
        Cow::Borrowed(_) => 0,
    }
}
