//! How modules are called, and marks of unfinished work.

use super::Finding;
use super::source::{Source, numbered, words};

/// Words that say nothing about a module, or mean a thing that has another name here.
const SAY_NOTHING: [&str; 12] = [
    "packet", "packets", "event", "events", "data", "info", "manager", "util", "utils", "helper",
    "helpers", "common",
];

pub fn modules_are_named_for_what_they_do(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let Some((_, inside)) = source.path.split_once("src/") else {
            continue;
        };
        for part in inside.trim_end_matches(".rs").split('/') {
            if SAY_NOTHING.contains(&part) {
                findings.push(Finding::new(
                    source,
                    1,
                    format!("`{part}` is no module name"),
                ));
            }
            if part == "mod" {
                findings.push(Finding::new(
                    source,
                    1,
                    "a module foo is foo.rs, not foo/mod.rs",
                ));
            }
        }
        for (line, code) in numbered(&source.code) {
            let declared = words(code, "mod").find_map(|(_, after)| after.strip_prefix(' '));
            let inline = declared.and_then(|after| after.strip_suffix(" {"));
            if let Some(name) = inline.filter(|name| SAY_NOTHING.contains(name)) {
                findings.push(Finding::new(
                    source,
                    line,
                    format!("`{name}` is no module name"),
                ));
            }
        }
    }
    findings
}

/// Split, so that this file does not break its own rule.
const MARKS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

pub fn nothing_is_left_for_later(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, text) in numbered(&source.text) {
            if let Some(mark) = MARKS.iter().find(|mark| words(text, mark).next().is_some()) {
                let what = format!("{mark}: do it, or write an issue");
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found() {
        for path in [
            "agent/src/utils.rs",
            "agent/src/span/helpers.rs",
            "agent/src/data/x.rs",
            "agent/src/x/mod.rs",
        ] {
            let found = modules_are_named_for_what_they_do(&[Source::new(path, "")]);
            assert_eq!(found.len(), 1, "{path}");
        }
        let inline = Source::new("agent/src/x.rs", "pub mod info {\n}\n");
        assert_eq!(modules_are_named_for_what_they_do(&[inline]).len(), 1);
        let fine = Source::new("agent-common/src/record.rs", "mod tests {}");
        assert!(modules_are_named_for_what_they_do(&[fine]).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        for mark in MARKS {
            let source = Source::new("agent/src/x.rs", format!("// {mark}: later"));
            assert_eq!(nothing_is_left_for_later(&[source]).len(), 1, "{mark}");
        }
        let source = Source::new("agent/src/x.rs", "// a todo list is not a mark");
        assert!(nothing_is_left_for_later(&[source]).is_empty());
    }
}
