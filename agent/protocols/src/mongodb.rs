//! MongoDB, whatever server speaks its protocol (MongoDB Wire Protocol, in the manual's reference:
//! `OP_MSG`, and what older drivers say hello with, `OP_QUERY` and `OP_REPLY`; documents by BSON
//! 1.1, bsonspec.org). Of a command its name, its database and its collection are kept; what it
//! looks for, what it writes and what it finds are passed over.
//!
//! Decisions:
//! - Each message with a command is an exchange. A cursor's batches (`getMore`) are exchanges of
//!   their own.
//! - A command that wants no answer (`moreToCome`) is over with its last byte.
//! - Where a server goes on answering (exhaust cursors), the first answer ends the exchange.
//! - A hello that lets the server go on answering is a driver watching its server, every ten
//!   seconds, and no exchange.
//! - Of compressed messages the command is not read: they are told without its name.
//! - An answer that fails says so first of all (`ok: 0`), so one that was copied in part is
//!   believed. Writes that failed in part (`writeErrors`) failed.

mod bson;
mod command;
mod detect;
mod frame;
mod names;
mod reply;

pub use command::{MongoCommand, Requests};
pub use detect::detect;
pub use reply::{MongoReply, Responses};

use std::borrow::Cow;

use crate::correlated::{Correlated, CorrelatedRequest, CorrelatedResponse};
use crate::family::Family;
use crate::family::db::{Db, DbRequest, DbResponse, DbSystem};
use crate::message::Message;
use crate::protocol::{Detected, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = crate::correlated::protocol::<MongoDb>();

/// What its parsers find.
type MongoMessage = Message<MongoCommand, MongoReply>;

/// MongoDB's wire protocol.
#[derive(Debug)]
pub struct MongoDb;

impl Correlated for MongoDb {
    const NAME: &'static str = "mongodb";

    type Request = MongoCommand;
    type Response = MongoReply;
    type Requests = Requests;
    type Responses = Responses;

    fn detect(prefix: &[u8]) -> Detected {
        detect(prefix)
    }

    fn family(command: MongoCommand, reply: Option<MongoReply>) -> Family {
        Family::Db(Db {
            request: Box::new(DbRequest {
                system: DbSystem::MongoDb,
                operation: command.name.map(Cow::Borrowed),
                namespace: command.database.map(|name| Cow::Owned(name.into())),
                collection: command.collection,
                procedure: None,
                query_text: None,
                batch_size: None,
                truncated: command.truncated,
            }),
            response: reply.map(|reply| DbResponse {
                failed: reply.failed,
                status: reply.code.map(|code| Cow::Owned(code.to_string())),
                truncated: reply.truncated,
            }),
        })
    }
}

impl CorrelatedRequest for MongoCommand {
    fn id(&self) -> u64 {
        self.id.into()
    }

    fn is_answered(&self) -> bool {
        self.is_answered
    }

    fn heap_bytes(&self) -> usize {
        Self::heap_bytes(self)
    }
}

impl CorrelatedResponse for MongoReply {
    fn answers(&self) -> u64 {
        self.answers.into()
    }

    fn may_be_further(&self) -> bool {
        self.more_to_come
    }
}
