//! One name means one type, over all of the product: who looks for a name finds what it means.

use std::collections::BTreeMap;

use super::Finding;
use super::source::Source;

const SCOPE: [&str; 4] = [
    "agent/src",
    "agent/protocols/src",
    "agent-common/src",
    "agent-ebpf/src",
];
const KEYWORDS: [&str; 5] = ["struct", "enum", "trait", "type", "union"];

/// Names that stand for several types, how many, and why.
const SHARED: &[(&str, usize, &str)] = &[
    // What protocols are told is what records say, without knowing records.
    ("Chunk", 2, "of a record, and as protocols are told it"),
    ("Direction", 2, "the same"),
    ("Extent", 2, "the same"),
    (
        "Connection",
        2,
        "as the kernel side and as user space remember it",
    ),
    ("Ledger", 2, "of the ring, and of memory: one per side"),
    (
        "Frames",
        2,
        "as the kernel side walks them, and as they are parsed",
    ),
    ("Walk", 2, "the same"),
    (
        "Held",
        2,
        "of a socket on the kernel side, and of an exchange",
    ),
    // A protocol has one of each, called by its module.
    ("Requests", 5, "a protocol's"),
    ("Responses", 4, "a protocol's"),
    ("Request", 4, "a protocol's, and OTLP's own"),
    ("OpenBody", 2, "HTTP's, and of any protocol in order"),
    (
        "Header",
        3,
        "of a record, of a frame, of a PROXY connection",
    ),
    ("Call", 2, "a system call, and a remote procedure call"),
    ("Client", 3, "a transport of OTLP's, and either of them"),
    ("Reader", 3, "of a stream, of the ring, of a recording"),
    ("Command", 2, "Redis's, and the command line's"),
    ("Event", 2, "OpenTelemetry's, and of the end of a run"),
    ("Link", 2, "BPF's, and OpenTelemetry's"),
    ("Family", 2, "of hooks, and of exchanges"),
    ("CallNumber", 2, "an architecture's"),
    ("CallRegisters", 2, "an architecture's"),
    ("GoRegisters", 2, "an architecture's"),
    (
        "TraceContext",
        2,
        "as the kernel side and as user space know it",
    ),
    ("Multiple", 2, "a family of hooks in each strategy"),
    ("Single", 2, "the same"),
    ("Value", 2, "of an attribute, and in a processor's register"),
    // To be told apart when their rooms are next rebuilt.
    ("Answer", 3, "of a receiver, and of two threads"),
    ("Begun", 3, "a call, an attachment, an exchange"),
    ("End", 2, "of a connection, and of a function"),
    ("Ends", 3, "of a connection, in three rooms"),
    ("Exporters", 2, "as asked for, and running"),
    ("Finished", 2, "an exchange, and a run"),
    ("Names", 2, "of fields, and of a setting"),
    ("Part", 2, "of what a stream says, and of a configuration"),
    ("Place", 2, "where a program goes, and what a task serves"),
    ("Places", 2, "the same, and of what was learnt"),
    ("Settings", 2, "of the command line, and resolved"),
    ("Shared", 2, "with the kernel, and between threads"),
    ("Task", 3, "as probes, as records and as links know it"),
    ("Work", 2, "of a thread"),
];

pub fn one_name_means_one_type(sources: &[Source]) -> Vec<Finding> {
    let mut defined: BTreeMap<&str, Vec<(&Source, usize)>> = BTreeMap::new();
    let product = sources
        .iter()
        .filter(|source| SCOPE.iter().any(|place| source.is_in(place)));
    for source in product {
        for (line, code) in source.product_code() {
            if let Some(name) = definition(code) {
                defined.entry(name).or_default().push((source, line));
            }
        }
    }
    let mut findings = Vec::new();
    for (name, places) in &defined {
        let shared = SHARED.iter().find(|(known, ..)| known == name);
        let allowed = shared.map_or(1, |(_, count, _)| *count);
        if places.len() > allowed {
            findings.extend(places.iter().map(|(source, line)| {
                let what = format!("`{name}` is the name of {} types", places.len());
                Finding::new(source, *line, what)
            }));
        }
    }
    findings
}

/// The type that a line of code defines.
fn definition(code: &str) -> Option<&str> {
    let line = code.trim_start();
    let visible = line.strip_prefix("pub").map_or(line, |rest| {
        rest.split_once(' ').map_or(rest, |(_, rest)| rest)
    });
    let is_nested = code.starts_with(' ') && visible.starts_with("type ");
    KEYWORDS
        .iter()
        .filter(|_| !is_nested)
        .find_map(|keyword| visible.strip_prefix(keyword)?.strip_prefix(' '))
        .and_then(|rest| {
            rest.split(|end: char| !end.is_alphanumeric() && end != '_')
                .next()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(files: &[(&str, &str)]) -> usize {
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::new(*path, *text))
            .collect();
        one_name_means_one_type(&sources).len()
    }

    #[test]
    fn a_name_of_two_types_is_found() {
        let one = ("agent/src/a.rs", "pub(crate) struct Place {\n}\n");
        let two = ("agent/src/b.rs", "enum Lane {\n}\npub struct Lane;\n");
        assert_eq!(count(&[one]), 0);
        assert_eq!(count(&[two]), 2);
        let more = ("agent-ebpf/src/c.rs", "type Site = (u32, u64);\n");
        let same = ("agent/src/d.rs", "pub enum Site {}\n");
        assert_eq!(count(&[more, same]), 2);
    }

    #[test]
    fn what_a_trait_or_a_test_defines_does_not_count() {
        let item = (
            "agent/src/a.rs",
            "impl A for B {\n    type Message = u8;\n}\n",
        );
        let other = ("agent/src/b.rs", "struct Message;\n");
        let test = (
            "agent/src/c.rs",
            "#[cfg(test)]\nmod tests {\n    struct Message;\n}\n",
        );
        assert_eq!(count(&[item, other, test]), 0);
    }
}
