//! Rows of a run of many test executables, each appended to a file as it is known: `cargo xtask
//! test` prints them as one table. The file's format is read by `xtask/src/test/links.rs`.

use std::fs::OpenOptions;
use std::io::Write as _;

use super::{Target, requests};

/// Names the file; without it nothing is kept.
const ROWS: &str = "WIRESPAN_LINK_ROWS";

/// What became of calls, or of joins.
#[derive(Clone, Copy, Debug)]
pub struct KeptRow {
    /// How many requests led to them.
    pub requests: usize,
    /// How many there were.
    pub all: usize,
    /// Of them right.
    pub right: usize,
    /// Of them wrong.
    pub wrong: usize,
    /// What was to be reached.
    pub target: Target,
}

impl KeptRow {
    /// Of as many requests as a row has.
    #[must_use]
    pub fn new(all: usize, right: usize, wrong: usize, target: Target) -> Self {
        Self {
            requests: requests(),
            all,
            right,
            wrong,
            target,
        }
    }

    /// Of no requests: it was not run.
    #[must_use]
    pub fn not_run() -> Self {
        Self {
            requests: 0,
            all: 0,
            right: 0,
            wrong: 0,
            target: Target {
                right: 0.0,
                wrong: 0.0,
            },
        }
    }

    /// Keeps it under a name, if somebody wants it.
    ///
    /// # Panics
    /// The file can't be written to.
    pub fn keep(self, name: &str) {
        let Some(file) = std::env::var_os(ROWS) else {
            return;
        };
        let line = self.line(&executable(), name);
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .expect("the file of rows");
        // In one piece: other tests may write at the same time.
        file.write_all(line.as_bytes()).expect("a row is written");
    }

    /// Test, name, requests, all, right, wrong, and the least and the most that is asked for in per
    /// cent; separated by tabs.
    fn line(self, executable: &str, name: &str) -> String {
        let name = name.replace(|letter: char| letter.is_control(), " ");
        let Self {
            requests,
            all,
            right,
            wrong,
            target,
        } = self;
        format!(
            "{executable}\t{name}\t{requests}\t{all}\t{right}\t{wrong}\t{}\t{}\n",
            target.right, target.wrong
        )
    }
}

/// What cargo calls this test: its file's name without what makes it unique.
fn executable() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line() {
        let row = KeptRow {
            requests: 7,
            all: 10,
            right: 5,
            wrong: 1,
            target: Target {
                right: 99.9,
                wrong: 0.02,
            },
        };
        let line = row.line("links_x", "a\tb\nc");
        assert_eq!(line, "links_x\ta b c\t7\t10\t5\t1\t99.9\t0.02\n");
    }
}
