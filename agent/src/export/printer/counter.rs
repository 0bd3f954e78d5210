//! The running number of spans, at most once a second.

use std::io::Write;
use std::time::Duration;

/// Between two writes.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Counts and writes; knows no clock.
pub(super) struct Counter {
    spans: u64,
    written: Option<u64>,
    terminal: bool,
}

impl Counter {
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            spans: 0,
            written: None,
            terminal,
        }
    }

    pub(super) fn add(&mut self, spans: u64) {
        self.spans += spans;
    }

    /// Writes the number if it is news. A terminal's line is written over until the `end`.
    pub(super) fn write(&mut self, end: bool, to: &mut Vec<u8>) {
        let news = self.written != Some(self.spans);
        let spans = self.spans;
        let written = match (self.terminal, end) {
            (true, false) if news => write!(to, "\r{spans} spans"),
            (true, true) => writeln!(to, "\r{spans} spans"),
            (false, _) if news => writeln!(to, "{spans} spans"),
            _ => Ok(()),
        };
        written.expect("a vector takes all");
        self.written = Some(spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(counter: &mut Counter, end: bool) -> String {
        let mut page = Vec::new();
        counter.write(end, &mut page);
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn a_terminal_keeps_one_line_until_the_end() {
        let mut counter = Counter::new(true);
        counter.add(3);
        assert_eq!(write(&mut counter, false), "\r3 spans");
        assert_eq!(write(&mut counter, false), "");
        counter.add(2);
        assert_eq!(write(&mut counter, false), "\r5 spans");
        assert_eq!(write(&mut counter, true), "\r5 spans\n");
    }

    #[test]
    fn a_file_gets_a_line_whenever_the_number_changed() {
        let mut counter = Counter::new(false);
        counter.add(3);
        assert_eq!(write(&mut counter, false), "3 spans\n");
        assert_eq!(write(&mut counter, false), "");
        counter.add(1);
        assert_eq!(write(&mut counter, true), "4 spans\n");
    }
}
