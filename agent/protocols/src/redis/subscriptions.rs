//! Messages of publishers and confirmations of subscriptions: what they look like, and how many
//! topics a connection is subscribed to, as far as confirmations tell.

use super::command::Topic;
use super::value::{self, Number};

/// What an array says that is about subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// Something was published.
    Message,
    /// A topic was subscribed to.
    Subscribed(Topic),
    /// A topic is not any more.
    Unsubscribed(Topic),
}

/// Bytes of the longest word by which one is known: `punsubscribe`.
pub const KIND_BYTES_MAX: usize = 12;

impl SubscriptionKind {
    /// By the first string of an array.
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"message" | b"pmessage" | b"smessage" => Self::Message,
            b"subscribe" => Self::Subscribed(Topic::Channel),
            b"psubscribe" => Self::Subscribed(Topic::Pattern),
            b"ssubscribe" => Self::Subscribed(Topic::Shard),
            b"unsubscribe" => Self::Unsubscribed(Topic::Channel),
            b"punsubscribe" => Self::Unsubscribed(Topic::Pattern),
            b"sunsubscribe" => Self::Unsubscribed(Topic::Shard),
            _ => return None,
        })
    }
}

/// What a connection is subscribed to. Nothing is known of one that was joined in the middle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscriptions {
    channels: Option<u64>,
    patterns: Option<u64>,
    shards: Option<u64>,
}

/// A confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// There was nothing to be unsubscribed from.
    pub is_of_nothing: bool,
    /// Topics that are left: channels and patterns together, or shard channels.
    pub left: u64,
    /// Bytes of the array behind its first string.
    pub len: usize,
}

impl Subscriptions {
    /// Of a connection that is as new.
    pub fn none() -> Self {
        Self {
            channels: Some(0),
            patterns: Some(0),
            shards: Some(0),
        }
    }

    /// Whether messages may come between answers, in arrays like those of answers (RESP2).
    pub fn may_be_some(&self) -> bool {
        [self.channels, self.patterns, self.shards] != [Some(0); 3]
    }

    /// Whether messages certainly may.
    pub fn are_some(&self) -> bool {
        let is_some = |count: Option<u64>| count.is_some_and(|count| count > 0);
        is_some(self.channels) || is_some(self.patterns) || is_some(self.shards)
    }

    /// A confirmation was seen.
    pub fn note(&mut self, topic: Topic, left: u64) {
        match topic {
            Topic::Shard => self.shards = Some(left),
            _ if left == 0 => (self.channels, self.patterns) = (Some(0), Some(0)),
            Topic::Channel => {
                if left == 1 && self.channels.is_none() {
                    self.patterns = self.patterns.or(Some(0));
                }
                self.channels = self.patterns.map(|patterns| left.saturating_sub(patterns));
            }
            Topic::Pattern => {
                if left == 1 && self.patterns.is_none() {
                    self.channels = self.channels.or(Some(0));
                }
                self.patterns = self.channels.map(|channels| left.saturating_sub(channels));
            }
        }
    }

    /// Whether a confirmation is the last one to a command that ends all subscriptions of a kind.
    pub fn is_last(&self, topic: Topic, confirmed: Confirmation) -> bool {
        let others = match topic {
            Topic::Channel => self.patterns,
            Topic::Pattern => self.channels,
            Topic::Shard => Some(0),
        };
        confirmed.is_of_nothing || confirmed.left == 0 || others == Some(confirmed.left)
    }
}

/// Reads the topic and the count of a confirmation, behind its kind; `None` if they go on or are
/// none: then `Err` tells which.
pub fn confirmation(buf: &[u8]) -> Result<Confirmation, Unconfirmed> {
    let (at, is_of_nothing) = match buf.first() {
        None => return Err(Unconfirmed::Partial),
        Some(b'_') => match value::line(buf) {
            Some((_, len)) => (len, true),
            None => return Err(Unconfirmed::Partial),
        },
        Some(b'$') => match value::number(buf) {
            Number::Null(len) => (len, true),
            Number::Of(topic, len) => {
                let end = usize::try_from(topic)
                    .ok()
                    .and_then(|topic| topic.checked_add(len + 2));
                (end.ok_or(Unconfirmed::Invalid)?, false)
            }
            Number::Partial => return Err(Unconfirmed::Partial),
            Number::Streamed(_) | Number::Invalid => return Err(Unconfirmed::Invalid),
        },
        Some(_) => return Err(Unconfirmed::Invalid),
    };
    let rest = buf.get(at..).unwrap_or_default();
    match rest.first() {
        None => return Err(Unconfirmed::Partial),
        Some(b':') => {}
        Some(_) => return Err(Unconfirmed::Invalid),
    }
    match value::number(rest) {
        Number::Of(left, len) => Ok(Confirmation {
            is_of_nothing,
            left,
            len: at + len,
        }),
        Number::Partial => Err(Unconfirmed::Partial),
        _ => Err(Unconfirmed::Invalid),
    }
}

/// Why there is no confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    Partial,
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_patterns_are_counted_apart() {
        let mut of = Subscriptions::default();
        assert!(of.may_be_some() && !of.are_some());
        of.note(Topic::Channel, 1);
        of.note(Topic::Channel, 2);
        of.note(Topic::Pattern, 3);
        assert_eq!((of.channels, of.patterns), (Some(2), Some(1)));
        let confirmed = |left| Confirmation {
            is_of_nothing: false,
            left,
            len: 0,
        };
        assert!(!of.is_last(Topic::Channel, confirmed(2)));
        assert!(of.is_last(Topic::Channel, confirmed(1)));
        of.note(Topic::Channel, 1);
        assert!(of.are_some());
        of.note(Topic::Pattern, 0);
        assert!(!of.are_some());
    }

    #[test]
    fn a_confirmation_tells_how_many_are_left() {
        let whole = b"$2\r\nab\r\n:12\r\n";
        for len in 0..whole.len() {
            assert_eq!(
                confirmation(&whole[..len]),
                Err(Unconfirmed::Partial),
                "{len}"
            );
        }
        let told = confirmation(whole).expect("whole");
        assert_eq!(
            (told.left, told.len, told.is_of_nothing),
            (12, whole.len(), false)
        );
        let nothing = confirmation(b"$-1\r\n:0\r\n").expect("whole");
        assert_eq!((nothing.left, nothing.is_of_nothing), (0, true));
        assert_eq!(
            confirmation(b"$2\r\nab\r\n+x\r\n"),
            Err(Unconfirmed::Invalid)
        );
    }
}
