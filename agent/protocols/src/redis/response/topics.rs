//! Arrays that are about topics: what was published, which answers nothing, and what confirms that
//! a topic was subscribed to, of which a command has as many as topics.

use super::{ReplyBody, Responses};
use crate::message::{Message, Then};
use crate::parser::Parsed;
use crate::redis::RedisMessage;
use crate::redis::command::Verb;
use crate::redis::subscriptions::{self, KIND_BYTES_MAX, SubscriptionKind, Unconfirmed};
use crate::redis::value::{self, Number, Scan};

impl Responses {
    /// Whether an array may be a message, or confirm something, rather than be an answer.
    pub(super) fn may_be_about_topics(&self) -> bool {
        match self.verb() {
            Verb::Subscribe(_) | Verb::Unsubscribe(_) => true,
            Verb::Plain if self.asked.is_some() => self.subscriptions.are_some(),
            _ => self.subscriptions.may_be_some(),
        }
    }

    /// `None` if it is an answer like others.
    pub(super) fn about_topics(
        &mut self,
        kind: SubscriptionKind,
        is_push: bool,
        buf: &[u8],
        at: usize,
        kind_len: usize,
    ) -> Option<Parsed<RedisMessage>> {
        let values = match value::number(buf) {
            Number::Of(count, _) => count,
            _ => return None,
        };
        let (topic, is_answer) = match (kind, self.verb()) {
            (SubscriptionKind::Message, _) if is_push || (3..=4).contains(&values) => {
                return Some(self.unsolicited(ReplyBody::Of(Scan::values(values)?), at));
            }
            (SubscriptionKind::Message, _) => return None,
            (SubscriptionKind::Subscribed(topic), verb) => (topic, verb == Verb::Subscribe(topic)),
            (SubscriptionKind::Unsubscribed(topic), verb) => {
                (topic, verb == Verb::Unsubscribe(topic))
            }
        };
        if values != 3 {
            return None;
        }
        let confirmed = match subscriptions::confirmation(&buf[at + kind_len..]) {
            Ok(confirmed) => confirmed,
            Err(Unconfirmed::Partial) => return Some(Parsed::Incomplete),
            Err(Unconfirmed::Invalid) => return None,
        };
        let consumed = at + kind_len + confirmed.len;
        self.subscriptions.note(topic, confirmed.left);
        if !is_answer {
            return Some(Parsed::Message {
                message: Message::Unsolicited { then: Then::Done },
                consumed,
            });
        }
        self.confirmed += 1;
        let wanted = self.asked.map_or(0, |asked| asked.arguments);
        let is_last = match kind {
            SubscriptionKind::Unsubscribed(_) if wanted == 0 => {
                self.subscriptions.is_last(topic, confirmed)
            }
            _ => self.confirmed >= wanted,
        };
        Some(if is_last {
            let response = self.reply();
            self.finish(response, ReplyBody::None, consumed)
        } else {
            Parsed::Message {
                message: Message::Interim,
                consumed,
            }
        })
    }
}

/// What the first string of an array says about topics.
pub(super) enum TopicReply {
    /// The kind, and the bytes of that string.
    Kind(SubscriptionKind, usize),
    Other,
    Partial,
}

pub(super) fn kind(buf: &[u8]) -> TopicReply {
    match buf.first() {
        None => return TopicReply::Partial,
        Some(b'$') => {}
        Some(_) => return TopicReply::Other,
    }
    match value::number(buf) {
        Number::Of(len, at) if len <= KIND_BYTES_MAX as u64 => {
            let end = at + len as usize;
            match buf.get(at..end + 2) {
                Some(word) => match SubscriptionKind::of(&word[..len as usize]) {
                    Some(kind) => TopicReply::Kind(kind, end + 2),
                    None => TopicReply::Other,
                },
                None => TopicReply::Partial,
            }
        }
        Number::Partial => TopicReply::Partial,
        _ => TopicReply::Other,
    }
}

/// Whether these bytes begin an array that is about topics.
pub(super) fn is_published(buf: &[u8]) -> bool {
    match value::number(buf) {
        Number::Of(3..=4, at) => matches!(
            kind(&buf[at..]),
            TopicReply::Kind(SubscriptionKind::Message, _)
        ),
        _ => false,
    }
}
