//! Redis, whatever server speaks its protocol (RESP2 and RESP3: Redis serialization protocol
//! specification, and the reference of commands for how many answers each has). Commands are
//! counted and named; keys, values, channels, scripts and passwords are passed over and not kept.
//! Nothing is read of replication and of a cluster's bus.
//!
//! Decisions:
//! - Each command is an exchange of its own, also in a pipeline or between `MULTI` and `EXEC`: so
//!   the wire has it, and which of them a program meant as one nobody can tell from outside.
//!   A command that is queued ends with `+QUEUED`, and `EXEC` with all that came of them.
//! - Where a command has several answers (`SUBSCRIBE`), it ends with the last.
//! - What was published, and what `MONITOR` shows, answers nothing and is passed over.
//! - The database is told where it is certain: after `SELECT`, after `RESET`, and from the first
//!   answer on where a client introduces itself (`HELLO`, `AUTH`, `CLIENT SETINFO`), which has
//!   database 0. It is that of the moment in which the command was carried out.

mod command;
mod detect;
mod names;
mod request;
mod response;
mod subscriptions;
mod value;

pub use detect::detect;
pub use request::{RedisRequest, Requests};
pub use response::{RedisReply, Responses};

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::family::Family;
use crate::family::db::{Db, DbRequest, DbResponse, DbSystem};
use crate::message::{BodyEnd, Message};
use crate::ordered::{Manners, Ordered, Request, Response};
use crate::protocol::{Detected, Protocol};

/// This protocol's line in the registry.
pub const PROTOCOL: Protocol = crate::ordered::protocol::<Redis>();

/// What its parsers find.
type RedisMessage = Message<RedisRequest, RedisReply>;

/// Arguments that are written out, one sign for each; of more, the number is told.
const PLACEHOLDERS_MAX: u64 = 16;

/// RESP2 and RESP3.
#[derive(Debug)]
pub struct Redis;

impl Ordered for Redis {
    const NAME: &'static str = "redis";
    const MANNERS: Manners = Manners {
        // A pipeline of as many commands as are captured of one turn, small as they are.
        pending_max: 4096,
        answers_early: false,
        // Longer than a server takes for nearly everything that does not wait on purpose.
        quiet_ns: Some(100_000_000),
    };

    type Request = RedisRequest;
    type Response = RedisReply;
    type Requests = Requests;
    type Responses = Responses;

    fn detect(prefix: &[u8]) -> Detected {
        detect(prefix)
    }

    fn family(request: RedisRequest, response: Option<RedisReply>) -> Family {
        let database = response.as_ref().and_then(|response| response.database);
        Family::Db(Db {
            request: Box::new(DbRequest {
                system: DbSystem::Redis,
                query_text: request
                    .name
                    .as_deref()
                    .map(|name| text(name, request.arguments)),
                operation: request.name,
                namespace: database.map(namespace),
                collection: None,
                procedure: request.procedure,
                batch_size: None,
                truncated: request.truncated,
            }),
            response: response.map(|response| DbResponse {
                failed: response.failed,
                status: response.prefix,
                truncated: response.truncated,
            }),
        })
    }

    fn refuses(head: &[u8]) -> bool {
        head.starts_with(b"+PONG\r\n")
    }
}

/// The command without anything that its arguments say.
fn text(name: &str, arguments: u64) -> Box<str> {
    let shown = arguments.min(PLACEHOLDERS_MAX) as usize;
    let mut text = String::with_capacity(name.len() + 2 * shown + 16);
    text.push_str(name);
    for _ in 0..shown {
        text.push_str(" ?");
    }
    if arguments > PLACEHOLDERS_MAX {
        let _ = write!(text, " ... ({arguments})");
    }
    text.into_boxed_str()
}

fn namespace(database: u32) -> Cow<'static, str> {
    // As many as a server has by default.
    const USUAL: [&str; 16] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
    ];
    match USUAL.get(database as usize) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(database.to_string()),
    }
}

impl Request for RedisRequest {
    fn heap_bytes(&self) -> usize {
        Self::heap_bytes(self)
    }

    fn body_ended(&mut self, _size: Option<u64>) {}

    fn is_answered(&self) -> bool {
        self.is_answered
    }

    fn malformed() -> Option<Self> {
        Some(Self::stand_in())
    }

    fn is_malformed(&self) -> bool {
        self.is_stand_in
    }
}

impl Response for RedisReply {
    fn body_ended(&mut self, _end: BodyEnd) {}

    fn refuses_malformed(&self) -> bool {
        self.is_pong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_counted_and_not_told() {
        assert_eq!(&*text("PING", 0), "PING");
        assert_eq!(&*text("SET", 2), "SET ? ?");
        assert!(text("MSET", 2000).ends_with(" ? ? ... (2000)"));
    }

    #[test]
    fn databases_are_told_by_number() {
        assert_eq!(namespace(15), "15");
        assert_eq!(namespace(100), "100");
    }
}
