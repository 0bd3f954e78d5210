//! What a command is: its name as sent, how many words of it must be known before a request can be
//! told, and what it does to the connection. What a command does to data is nobody's business here.

use std::borrow::Cow;

use super::names::NAMES;

/// Words that are looked at, at most: `CLIENT REPLY OFF`.
pub const WORDS_MAX: usize = 3;
/// Longer ones are no name.
pub const WORD_BYTES_MAX: usize = 64;
/// Longest name that is looked up, its subcommand included.
const NAME_BYTES_MAX: usize = 40;

/// What modules of Redis put before their names.
const MODULES: [&str; 9] = [
    "BF", "CF", "CMS", "FT", "JSON", "TDIGEST", "TOPK", "TS", "GRAPH",
];

/// Commands of which the second word is part of the name.
const CONTAINERS: [&str; 17] = [
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY",
    "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
];

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Channels by name.
    Channel,
    /// Channels by pattern.
    Pattern,
    /// Channels of a cluster's shard.
    Shard,
}

/// What a command does to the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    /// Nothing.
    #[default]
    Plain,
    /// Answers also while messages are subscribed to: `PING`, `QUIT`.
    Idle,
    /// A client introduces itself, as it does first of all.
    Introduction,
    /// Another database.
    Select,
    /// Whether answers are sent.
    ClientReply,
    /// One answer for each topic.
    Subscribe(Topic),
    /// The same; without topics, for each that there is.
    Unsubscribe(Topic),
    /// Whatever anybody does is told from here on.
    Monitor,
    /// The connection becomes a replica's.
    Sync,
    /// As if the connection were new.
    Reset,
    /// What was queued is done.
    Exec,
    /// It is not.
    Discard,
    /// Calls a stored script or function, whose name is the second word.
    Call,
}

/// A command as far as its name tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// As sent; `None` if it is no name of a command.
    pub name: Option<Cow<'static, str>>,
    /// Words that make up the name.
    pub words: usize,
    pub verb: Verb,
}

/// How many words of a command have to be known, if there are as many, by its first.
pub fn words_needed(first: &[u8]) -> usize {
    let Some(upper) = Upper::of(&[first]) else {
        return 1;
    };
    match upper.as_str() {
        "CLIENT" => 3,
        "SELECT" | "EVALSHA" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" => 2,
        name if CONTAINERS.contains(&name) => 2,
        _ => 1,
    }
}

impl Command {
    /// By the words that it begins with; there is one at least.
    pub fn of(words: &[&[u8]]) -> Self {
        let Some(upper) = Upper::of(&words[..1]) else {
            return Self::default();
        };
        if words.len() > 1
            && CONTAINERS.contains(&upper.as_str())
            && let Some(upper) = Upper::of(&words[..2])
            && let Some(name) = known(&upper, words[0], Some(words[1]))
        {
            return Self {
                name: Some(name),
                words: 2,
                verb: verb(upper.as_str()),
            };
        }
        let name = known(&upper, words[0], None).or_else(|| of_module(&upper, words[0]));
        Self {
            words: usize::from(name.is_some()),
            name,
            verb: verb(upper.as_str()),
        }
    }
}

/// Whether a word alone is the name of a command, of Redis or of its modules.
pub fn is_name(word: &[u8]) -> bool {
    Upper::of(&[word]).is_some_and(|upper| {
        known(&upper, word, None).is_some() || of_module(&upper, word).is_some()
    })
}

/// Whether a command may be answered by a list of texts, whatever they are.
pub fn answers_with_lists(name: &str) -> bool {
    const PARTS: [&str; 22] = [
        " ",
        ".",
        "RANGE",
        "SCAN",
        "KEYS",
        "MEMBERS",
        "VALS",
        "GETALL",
        "POP",
        "MGET",
        "SORT",
        "INTER",
        "UNION",
        "DIFF",
        "GEO",
        "EVAL",
        "FCALL",
        "EXEC",
        "XREAD",
        "CLAIM",
        "RANDMEMBER",
        "RANDFIELD",
    ];
    let upper = name.to_ascii_uppercase();
    PARTS.iter().any(|part| upper.contains(part)) || matches!(&*upper, "ROLE" | "COMMAND" | "LCS")
}

fn verb(upper: &str) -> Verb {
    match upper {
        "PING" | "QUIT" => Verb::Idle,
        "AUTH" | "HELLO" | "CLIENT SETINFO" => Verb::Introduction,
        "SELECT" => Verb::Select,
        "CLIENT REPLY" => Verb::ClientReply,
        "SUBSCRIBE" => Verb::Subscribe(Topic::Channel),
        "PSUBSCRIBE" => Verb::Subscribe(Topic::Pattern),
        "SSUBSCRIBE" => Verb::Subscribe(Topic::Shard),
        "UNSUBSCRIBE" => Verb::Unsubscribe(Topic::Channel),
        "PUNSUBSCRIBE" => Verb::Unsubscribe(Topic::Pattern),
        "SUNSUBSCRIBE" => Verb::Unsubscribe(Topic::Shard),
        "MONITOR" => Verb::Monitor,
        "PSYNC" | "SYNC" => Verb::Sync,
        "RESET" => Verb::Reset,
        "EXEC" => Verb::Exec,
        "DISCARD" => Verb::Discard,
        "EVALSHA" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" => Verb::Call,
        _ => Verb::Plain,
    }
}

/// A name in capitals.
struct Upper {
    bytes: [u8; NAME_BYTES_MAX],
    len: usize,
}

impl Upper {
    /// Words with a space between; `None` if that is too long or no text.
    fn of(words: &[&[u8]]) -> Option<Self> {
        let mut upper = Self {
            bytes: [0; NAME_BYTES_MAX],
            len: 0,
        };
        for word in words {
            if upper.len > 0 {
                upper.push(b' ')?;
            }
            for byte in *word {
                if !byte.is_ascii_graphic() {
                    return None;
                }
                upper.push(byte.to_ascii_uppercase())?;
            }
        }
        Some(upper)
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// The name as sent, if it is one.
fn known(upper: &Upper, first: &[u8], second: Option<&[u8]>) -> Option<Cow<'static, str>> {
    let wanted = upper.as_str();
    let at = NAMES
        .binary_search_by(|name| name.upper.as_bytes().cmp(wanted.as_bytes()))
        .ok()?;
    let name = &NAMES[at];
    let is = |known: &str| match second {
        None => known.as_bytes() == first,
        Some(second) => known
            .split_once(' ')
            .is_some_and(|(one, other)| one.as_bytes() == first && other.as_bytes() == second),
    };
    if is(name.upper) {
        return Some(Cow::Borrowed(name.upper));
    }
    if is(name.lower) {
        return Some(Cow::Borrowed(name.lower));
    }
    let mut sent = String::from_utf8_lossy(first).into_owned();
    if let Some(second) = second {
        sent.push(' ');
        sent.push_str(&String::from_utf8_lossy(second));
    }
    Some(Cow::Owned(sent))
}

fn of_module(upper: &Upper, sent: &[u8]) -> Option<Cow<'static, str>> {
    let (module, name) = upper.as_str().split_once('.')?;
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte == b'_' || byte == b'.';
    let is_one = MODULES.contains(&module) && !name.is_empty() && name.bytes().all(is_name);
    is_one.then(|| Cow::Owned(String::from_utf8_lossy(sent).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        let words: Vec<_> = text.split(' ').map(str::as_bytes).collect();
        Command::of(&words).name.map(Cow::into_owned)
    }

    #[test]
    fn names_are_told_as_sent_and_nothing_else_is() {
        for (sent, told) in [
            ("GET key", Some("GET")),
            ("get key", Some("get")),
            ("Get key", Some("Get")),
            ("config get x", Some("config get")),
            ("Config GET x", Some("Config GET")),
            ("CONFIG s3cr3t", Some("CONFIG")),
            ("COMMAND", Some("COMMAND")),
            ("XGROUP CREATE x", Some("XGROUP CREATE")),
            ("FT.SEARCH idx", Some("FT.SEARCH")),
            ("JSON.s3cr3t idx", None),
            ("ft.hunter2 idx", None),
            ("b840fc02d524045429941cc15f59e41cb7be6c52", None),
            ("s3cr3t", None),
            ("", None),
            ("k\u{e4}se", None),
        ] {
            assert_eq!(name(sent).as_deref(), told, "{sent}");
        }
    }

    #[test]
    fn usual_ways_of_writing_cost_no_memory() {
        for sent in [&b"HGETALL"[..], b"hgetall"] {
            assert!(matches!(Command::of(&[sent]).name, Some(Cow::Borrowed(_))));
        }
    }

    #[test]
    fn containers_have_subcommands() {
        for container in CONTAINERS {
            assert!(is_name(container.as_bytes()), "{container}");
            assert!(words_needed(container.to_ascii_lowercase().as_bytes()) >= 2);
        }
    }
}
