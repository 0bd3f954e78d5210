//! Foreign text made visible: names and paths of targets, answers of receivers, words of the
//! kernel. What would steer a terminal, begin a line of its own, turn the direction of writing or
//! stand there unseen is written as an escape. The only way for such text into the log, the
//! summary, tables and printed lines; spans carry it unchanged.

use std::fmt::{self, Display, Formatter, Write as _};

/// Shows text so that every character of it is seen. A backslash stays what it is, so that what is
/// made visible twice reads the same.
#[derive(Clone, Copy, Debug)]
pub struct Visible<T>(pub T);

impl<T: Display> Display for Visible<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Width and precision are those of what is seen.
        if f.width().is_some() || f.precision().is_some() {
            let mut shown = String::new();
            write!(Escaping(&mut shown), "{}", self.0)?;
            return f.pad(&shown);
        }
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| is_hidden(*letter)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", letter.escape_default())?;
            rest = &rest[at + letter.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether text that holds it looks like what it is not: control characters (Cc), separators of
/// lines and paragraphs, and what Unicode calls `Default_Ignorable_Code_Point` (16.0,
/// `DerivedCoreProperties.txt`) or interlinear annotation; controls of direction are among them.
fn is_hidden(letter: char) -> bool {
    // Most text is ASCII.
    if letter < '\u{a0}' {
        return letter.is_control();
    }
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Visible(text).to_string()
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "shop", "/opt/Größe – 店/a\\b", "\u{1f600}", "a'b\"c"] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn nothing_begins_a_line_or_steers_a_terminal() {
        assert_eq!(shown("a\nERROR b\r"), "a\\nERROR b\\r");
        assert_eq!(
            shown("\x1b[31m\0\x7f\u{9b}"),
            "\\u{1b}[31m\\u{0}\\u{7f}\\u{9b}"
        );
        assert_eq!(shown("a\u{2028}b\u{2029}"), "a\\u{2028}b\\u{2029}");
    }

    #[test]
    fn nothing_turns_text_round_or_hides_in_it() {
        for letter in
            "\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{200d}\u{200e}\u{61c}\u{ad}\u{feff}\
                       \u{2060}\u{180e}\u{3164}\u{e0041}\u{fe0f}\u{fff9}"
                .chars()
        {
            let text = format!("gpj{letter}exe");
            let escape = format!("gpj\\u{{{:x}}}exe", u32::from(letter));
            assert_eq!(shown(&text), escape);
        }
    }

    #[test]
    fn what_was_made_visible_stays_so() {
        let once = shown("a\n\u{202e}b");
        assert_eq!(shown(&once), once);
    }

    #[test]
    fn columns_are_as_wide_as_what_is_seen() {
        assert_eq!(format!("{:6}|", Visible("a\n")), "a\\n   |");
        assert_eq!(format!("{:>4}|", Visible("ab")), "  ab|");
    }
}
