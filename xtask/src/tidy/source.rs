//! Text files of the workspace, and Rust as the rules see it: code apart from comments and
//! strings. It is no parser: it knows where text ends and code begins, nothing else.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Directories that hold nothing written by hand.
const SKIPPED: [&str; 7] = [
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    "corpus",
    "artifacts",
    "data",
];

const EXTENSIONS: [&str; 6] = ["rs", "md", "py", "sh", "js", "toml"];

/// A text file.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
    /// The same lines with comments and the inside of literals blanked; empty unless Rust.
    pub code: String,
    /// String literals with their lines, from 1; empty unless Rust.
    pub strings: Vec<(usize, String)>,
    /// The line of `#[cfg(test)]` before `mod tests`, or one after the last. A file or folder of
    /// tests begins at line 1.
    pub tests_from: usize,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let path = path.into();
        let text = text.into();
        let (code, strings) = if path.ends_with(".rs") {
            separate(&text)
        } else {
            Default::default()
        };
        let tests_from = if is_test(&path) {
            1
        } else {
            test_module(&code)
        };
        Self {
            path,
            text,
            code,
            strings,
            tests_from,
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code outside tests, with line numbers from 1.
    pub fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.code).take_while(|(line, _)| *line < self.tests_from)
    }

    /// Whether it is `place`, given without extension, or lies in the folder of that name.
    pub fn is_in(&self, place: &str) -> bool {
        self.path
            .strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
    }
}

/// Lines with their numbers, from 1.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().zip(1..).map(|(line, number)| (number, line))
}

/// Whether `word` occurs in `line` with no letter, digit or `_` beside it; tells what follows it.
pub fn words<'a>(line: &'a str, word: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let length = word.len();
    line.match_indices(word).filter_map(move |(start, _)| {
        let before = &line[..start];
        let after = &line[start + length..];
        let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
        let apart = !before.ends_with(part_of_word) && !after.starts_with(part_of_word);
        apart.then_some((before, after))
    })
}

/// Everything below `root`, sorted by path.
pub fn read(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    walk(root, root, &mut sources)?;
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

fn walk(root: &Path, directory: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || SKIPPED.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, sources)?;
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
        {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
            sources.push(Source::new(relative, text));
        }
    }
    Ok(())
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
}

fn test_module(code: &str) -> usize {
    let lines: Vec<_> = code.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"))
        .map_or(lines.len() + 1, |place| place + 1)
}

/// Code with comments and literals blanked, and the string literals.
fn separate(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = String::with_capacity(text.len());
    let mut strings = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(character) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some((opening, length)) = string(rest, &code) {
            strings.push((
                line,
                rest[opening..length].trim_end_matches(['"', '#']).into(),
            ));
            length
        } else if let Some(length) = character_literal(rest) {
            length
        } else {
            code.push(character);
            line += usize::from(character == '\n');
            rest = &rest[character.len_utf8()..];
            continue;
        };
        line += rest[..length].matches('\n').count();
        let blanks = rest[..length].chars();
        code.extend(blanks.map(|character| if character == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    (code, strings)
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut place = 0;
    while place < text.len() {
        if text[place..].starts_with("/*") {
            depth += 1;
            place += 2;
        } else if text[place..].starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return place;
            }
        } else {
            place += text[place..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Lengths of the opening and of the whole string literal at the start of `text`. `before` is the
/// code so far: an `r` at the end of a name opens nothing.
fn string(text: &str, before: &str) -> Option<(usize, usize)> {
    let in_word = before.ends_with(|end: char| end.is_alphanumeric() || end == '_');
    let prefix = ["br", "cr", "r", "b", "c"]
        .into_iter()
        .filter(|_| !in_word)
        .find(|prefix| {
            let rest = text.strip_prefix(prefix).unwrap_or_default();
            rest.trim_start_matches('#').starts_with('"')
                && (prefix.ends_with('r') || rest.starts_with('"'))
        })
        .unwrap_or_default();
    let rest = &text[prefix.len()..];
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"') || (hashes > 0 && !prefix.ends_with('r')) {
        return None;
    }
    let opening = prefix.len() + hashes + 1;
    if prefix.ends_with('r') {
        let closing = format!("\"{}", "#".repeat(hashes));
        let end = text[opening..].find(&closing)?;
        return Some((opening, opening + end + closing.len()));
    }
    let mut escaped = false;
    for (place, character) in text[opening..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((opening, opening + place + 1)),
            _ => {}
        }
    }
    None
}

/// The length of a character or byte literal; `None` for a lifetime.
fn character_literal(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let mut characters = inside.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The escaped character itself may be a quote.
        characters.next()?;
        return Some(inside[2..].find('\'')? + 4);
    }
    let (end, second) = characters.next()?;
    (second == '\'').then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "let a = \"aya::x\"; // aya::y\n/* aya /* z */ */ 'a'; '\\''; r#\"q\"u\"#; b\"b\\\"\";";
        let source = Source::new("a.rs", text);
        assert!(!source.code.contains("aya"), "{}", source.code);
        assert_eq!(source.code.lines().count(), 2);
        let strings: Vec<_> = source
            .strings
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(strings, ["aya::x", "q\"u", "b\\"]);
        assert_eq!(source.strings[1].0, 2);
    }

    #[test]
    fn a_lifetime_opens_no_literal() {
        let source = Source::new(
            "a.rs",
            "fn f<'a>(x: &'a str) -> &'static str { unsafe { x } }",
        );
        assert!(source.code.contains("unsafe"));
    }

    #[test]
    fn tests_begin_at_their_module() {
        let source = Source::new("a/src/b.rs", "fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(source.tests_from, 3);
        assert_eq!(source.product_code().count(), 2);
        assert_eq!(Source::new("a/src/b/tests.rs", "fn a() {}\n").tests_from, 1);
    }

    #[test]
    fn a_place_is_a_file_or_its_folder() {
        for path in ["agent/src/capture.rs", "agent/src/capture/load.rs"] {
            assert!(Source::new(path, "").is_in("agent/src/capture"), "{path}");
        }
        assert!(!Source::new("agent/src/captured.rs", "").is_in("agent/src/capture"));
    }
}
