//! The look of a file: what it says first, how wide it is; how long files and functions are.

use super::Finding;
use super::source::{Source, numbered, words};

const COLUMNS_MAX: usize = 100;

/// Longer files, and functions of tests, are listed, not refused.
const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// File, name and reason of each longer function outside of tests.
const LONG: &[(&str, &str, &str)] = &[
    (
        "agent-ebpf/src/frames.rs",
        "walk",
        "what is called takes one of the eight frames that the kernel follows",
    ),
    (
        "agent/protocols/src/http2/head.rs",
        "take",
        "a header field an arm, and nothing else",
    ),
];

/// Functions can be seen at once, but for the exceptions above, which must still be some.
pub fn functions_are_short(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut exceptions = LONG.to_vec();
    let rust = sources.iter().filter(|source| source.is_rust());
    for source in rust {
        for (line, name, lines) in functions(&source.code) {
            if lines <= FUNCTION_LINES || is_of_tests(source, line) {
                continue;
            }
            let known = exceptions.len();
            exceptions.retain(|(path, long, _)| *path != source.path || *long != name);
            if exceptions.len() == known {
                let what = format!("fn {name} has {lines} lines; {FUNCTION_LINES} are allowed");
                findings.push(Finding::new(source, line, what));
            }
        }
        let gone = exceptions.iter().filter(|(path, ..)| *path == source.path);
        findings.extend(gone.map(|(_, name, _)| {
            Finding::new(source, 1, format!("fn {name} is no exception any more"))
        }));
    }
    findings
}

/// Programs that tests run, and what they share, are none.
fn is_of_tests(source: &Source, line: usize) -> bool {
    line >= source.tests_from && !source.path.starts_with("tests/src/")
}

pub fn every_file_says_what_it_is_for(sources: &[Source]) -> Vec<Finding> {
    sources
        .iter()
        .filter(|source| source.is_rust() && !source.text.starts_with("//! "))
        .map(|source| Finding::new(source, 1, "a file begins with //! and says what it is for"))
        .collect()
}

pub fn lines_are_short(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = [".rs", ".py", ".sh", ".js"];
    for source in sources {
        if !code
            .iter()
            .any(|extension| source.path.ends_with(extension))
        {
            continue;
        }
        for (line, text) in numbered(&source.text) {
            let columns = text.chars().count();
            if columns > COLUMNS_MAX {
                let what = format!("{columns} columns; {COLUMNS_MAX} are allowed");
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

/// Long files and functions.
pub fn deserves_a_second_look(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            findings.push(Finding::new(source, 1, format!("a file of {lines} lines")));
        }
        for (line, name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES && is_of_tests(source, line) {
                let what = format!("fn {name} has {lines} lines");
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

/// Line, name and length in lines of each function with a body.
fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (before, after) in words(code, "fn") {
        let name: String = after
            .trim_start()
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        let Some(body) = after.find(['{', ';']) else {
            continue;
        };
        // A function pointer's type has no name, a trait's function may have no body.
        if name.is_empty() || after[body..].starts_with(';') {
            continue;
        }
        let mut depth = 0_usize;
        let end = after[body..].char_indices().find_map(|(place, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(body + place)
        });
        let whole = &after[..end.unwrap_or(after.len())];
        let line = before.matches('\n').count() + 1;
        found.push((line, name, whole.matches('\n').count() + 1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_first_sentence_is_found() {
        let silent = Source::new("agent/src/x.rs", "use std::fmt;\n");
        assert_eq!(every_file_says_what_it_is_for(&[silent]).len(), 1);
        let speaking = Source::new("agent/src/x.rs", "//! Says it.\n");
        assert!(every_file_says_what_it_is_for(&[speaking]).is_empty());
    }

    #[test]
    fn a_line_too_wide_is_found() {
        let wide = format!("//! x\n// {}\n", "x".repeat(98));
        assert_eq!(lines_are_short(&[Source::new("a.rs", wide)])[0].line, 2);
        let fits = format!("// {}\n", "é".repeat(97));
        assert!(lines_are_short(&[Source::new("a.rs", fits)]).is_empty());
    }

    #[test]
    fn a_long_function_is_found_and_of_tests_listed() {
        let long = format!("fn a();\nfn b() {{\n{}}}\n", "    {}\n".repeat(70));
        let found = functions(&long);
        assert_eq!(found, [(2, "b".to_owned(), 72)]);
        let product = [Source::new("agent/src/a.rs", long.clone())];
        assert_eq!(functions_are_short(&product).len(), 1);
        assert!(deserves_a_second_look(&product).is_empty());
        let test = [Source::new("agent/tests/a.rs", long)];
        assert!(functions_are_short(&test).is_empty());
        assert_eq!(deserves_a_second_look(&test).len(), 1);
    }

    #[test]
    fn an_exception_that_is_none_any_more_is_found() {
        let short = Source::new("agent-ebpf/src/frames.rs", "fn walk() {\n}\n");
        assert_eq!(functions_are_short(&[short]).len(), 1);
    }
}
