//! Text that others chose gets to people only through `Visible`, and lines to standard error only
//! through the log, which can't hang.

use super::Finding;
use super::source::{Source, words};

const SCOPE: &str = "agent/src";
/// Writes escapes, or holds what does.
const ALLOWED: [&str; 2] = ["agent/src/visible", "agent/src/logging"];

const PRINTS: [&str; 4] = ["print!", "println!", "eprint!", "eprintln!"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How text is called that is not the daemon's own.
const FOREIGN: [&str; 16] = [
    "comm",
    "error",
    "executable",
    "file",
    "line",
    "message",
    "name",
    "namespace",
    "path",
    "reason",
    "said",
    "service",
    "service_name",
    "text",
    "warning",
    "why",
];

/// Paths of others are shown by `Visible`.
pub fn paths_are_made_visible(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in fenced(sources) {
        let mut before = "";
        for (line, code) in source.product_code() {
            for (start, _) in code.match_indices(".display()") {
                if !code[..start].contains("Visible(") && !before.contains("Visible(") {
                    let what = "a path is shown by Visible(….display())";
                    findings.push(Finding::new(source, line, what));
                }
            }
            before = code;
        }
    }
    findings
}

/// Standard output and error have their rooms.
pub fn nothing_is_printed_aside(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in fenced(sources) {
        for (line, code) in source.product_code() {
            let prints = |name: &&&str| words(code, name.trim_end_matches('!')).any(is_called);
            if let Some(name) = PRINTS.iter().find(prints) {
                let what = format!("`{name}` panics and hangs: use the log or logging::say");
                findings.push(Finding::new(source, line, what));
            }
        }
    }
    findings
}

/// What a log macro is given is made visible, if it is called as foreign text is.
pub fn logged_text_is_made_visible(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in fenced(sources) {
        let product: String = source
            .product_code()
            .flat_map(|(_, code)| [code, "\n"])
            .collect();
        for level in LEVELS {
            for (before, after) in words(&product, level) {
                if !after.starts_with("!(") {
                    continue;
                }
                let inside = parenthesised(&after[1..]);
                let first = before.matches('\n').count() + 1;
                let last = first + inside.matches('\n').count();
                let strings = source.strings.iter();
                let captured = strings
                    .filter(|(line, _)| (first..=last).contains(line))
                    .flat_map(|(_, text)| captures(text));
                let given = arguments(inside).filter_map(|argument| last_name(argument));
                let raw = captured.chain(given).find(|name| {
                    let visible = format!("let {name} = Visible(");
                    FOREIGN.contains(name) && !product.contains(&visible)
                });
                if let Some(name) = raw {
                    let what = format!("`{name}` gets into the log by Visible({name})");
                    findings.push(Finding::new(source, first, what));
                }
            }
        }
    }
    findings
}

fn fenced(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|source| source.is_in(SCOPE) && !ALLOWED.iter().any(|place| source.is_in(place)))
}

fn is_called((before, after): (&str, &str)) -> bool {
    after.starts_with('!') && !before.ends_with("r#")
}

/// What stands between the first parenthesis and its partner.
fn parenthesised(code: &str) -> &str {
    let mut depth = 0_usize;
    for (place, character) in code.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[1..place];
        }
    }
    code
}

/// Arguments of a macro, the format string's place being blank.
fn arguments(inside: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    inside.split(move |character| {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

/// The name of a place: `process.service_name`, `&self.reason`. A call has none.
fn last_name(argument: &str) -> Option<&str> {
    let place = argument.trim().trim_start_matches('&');
    let is_place = |character: char| character.is_alphanumeric() || "_.".contains(character);
    place
        .chars()
        .all(is_place)
        .then(|| place.rsplit('.').next())?
}

/// Names in braces of a format string.
fn captures(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (inside, _) = rest.split_once('}')?;
        // `{:?}` escapes by itself.
        let (name, how) = inside.split_once(':').unwrap_or((inside, ""));
        (!how.ends_with('?')).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(rule: fn(&[Source]) -> Vec<Finding>, text: &str) -> usize {
        rule(&[Source::new("agent/src/live.rs", text)]).len()
    }

    #[test]
    fn a_raw_path_is_found() {
        let rule = paths_are_made_visible;
        assert_eq!(one(rule, "let a = path.display();"), 1);
        assert_eq!(one(rule, "let a = Visible(path.display());"), 0);
        assert_eq!(one(rule, "let a = Visible(\n    path.display(),\n);"), 0);
        let elsewhere = Source::new("xtask/src/setup.rs", "let a = path.display();");
        assert!(rule(&[elsewhere]).is_empty());
    }

    #[test]
    fn a_raw_name_in_the_log_is_found() {
        let rule = logged_text_is_made_visible;
        for raw in [
            "log::info!(\"watching {name}\");",
            "warn!(\"{}: {why}\", Visible(name));",
            "log::warn!(\n    \"a {} b\",\n    process.service_name,\n);",
            "log::error!(\"{:5}\", &self.reason);",
        ] {
            assert_eq!(one(rule, raw), 1, "{raw}");
        }
        for visible in [
            "log::info!(\"watching {}\", Visible(name));",
            "log::info!(\"{count} of {}\", Visible(&process.service_name));",
            "let name = Visible(x);\nlog::info!(\"reading {name}\");",
            "log::info!(\"{name:?}\");",
            "log::info!(\"name: {}\", name.len());",
            "format!(\"{name}\");",
            "#[cfg(test)]\nmod tests {\nlog::info!(\"{name}\");\n}",
        ] {
            assert_eq!(one(rule, visible), 0, "{visible}");
        }
    }

    #[test]
    fn printing_aside_is_found() {
        let rule = nothing_is_printed_aside;
        assert_eq!(one(rule, "eprintln!(\"x\");"), 1);
        assert_eq!(one(rule, "std::print!(\"x\");"), 1);
        assert_eq!(one(rule, "writeln!(out, \"x\");"), 0);
        assert_eq!(one(rule, "let println = 1;"), 0);
    }
}
