//! Answers as they are told, and what they did to the connection.

use super::{RedisReply, ReplyBody, Responses, line};
use crate::message::{Message, Then};
use crate::parser::Parsed;
use crate::redis::RedisMessage;
use crate::redis::command::Verb;
use crate::redis::subscriptions::Subscriptions;

impl Responses {
    pub(super) fn unsolicited(&mut self, body: ReplyBody, consumed: usize) -> Parsed<RedisMessage> {
        let then = self.begin_body(body);
        Parsed::Message {
            message: Message::Unsolicited { then },
            consumed,
        }
    }

    pub(super) fn success(&mut self, body: ReplyBody, consumed: usize) -> Parsed<RedisMessage> {
        let response = self.reply();
        self.answer(response, body, consumed)
    }

    /// The answer that the connection goes over to replication with.
    pub(super) fn foreign(&mut self, consumed: usize) -> Parsed<RedisMessage> {
        Parsed::Message {
            message: Message::Response {
                response: self.reply(),
                then: Then::Foreign,
            },
            consumed,
        }
    }

    /// An answer that is no error, or the beginning of one.
    pub(super) fn reply(&self) -> RedisReply {
        let introduces = self.is_first && self.verb() == Verb::Introduction;
        RedisReply {
            database: if introduces { Some(0) } else { self.database },
            ..RedisReply::default()
        }
    }

    pub(super) fn failure(&self, text: &[u8]) -> RedisReply {
        RedisReply {
            failed: true,
            prefix: line::prefix(text),
            ..self.reply()
        }
    }

    /// The answer to what was asked, with what that did to the connection.
    pub(super) fn answer(
        &mut self,
        response: RedisReply,
        body: ReplyBody,
        consumed: usize,
    ) -> Parsed<RedisMessage> {
        let is_null = matches!(body, ReplyBody::None);
        if !response.failed
            && let Some(asked) = self.asked
        {
            match asked.verb {
                Verb::Introduction if self.is_first => {
                    self.database = Some(0);
                    self.subscriptions = Subscriptions::none();
                }
                Verb::Select => self.database = asked.database,
                Verb::Reset => {
                    self.database = Some(0);
                    self.subscriptions = Subscriptions::none();
                }
                Verb::Exec => {
                    let queued = self.queued_database.take();
                    if !is_null {
                        self.database = queued.or(self.database);
                    }
                }
                Verb::Discard => self.queued_database = None,
                _ => {}
            }
        }
        self.finish(response, body, consumed)
    }

    pub(super) fn finish(
        &mut self,
        response: RedisReply,
        body: ReplyBody,
        consumed: usize,
    ) -> Parsed<RedisMessage> {
        self.is_first = false;
        self.confirmed = 0;
        let then = self.begin_body(body);
        Parsed::Message {
            message: Message::Response { response, then },
            consumed,
        }
    }

    pub(super) fn begin_body(&mut self, body: ReplyBody) -> Then {
        match body {
            ReplyBody::None => Then::Done,
            ReplyBody::Of(scan) => {
                self.rest = Some((scan, false));
                Then::Body
            }
        }
    }
}
