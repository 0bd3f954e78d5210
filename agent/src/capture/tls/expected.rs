//! What must stand in a process's memory where probes are, or are to be, put: the code that was
//! analysed, and breakpoints of ours where they belong. It reads and says; it attaches nothing.
//!
//! The kernel compares nothing. It puts a breakpoint wherever a file is mapped at the offset that
//! it was told, and steps its own copy of the instruction that the file had there when somebody
//! first asked for it (`prepare_uprobe`, kernel/events/uprobes.c). If the file is another one by
//! then, the process breaks.

use std::fmt;
use std::io;

use crate::arch::{BREAKPOINT, PROBED_LEN, first_instruction_len};
use crate::discover::tls::{HeldFile, MappedCode, Unknown};

/// Code at the places of a file's probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// By offset in the file, each once.
    places: Vec<(u64, Vec<u8>)>,
}

/// Which places may have breakpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakpoints {
    /// None: nobody has put any there.
    None,
    /// Any: the memory was copied from a process that has them (`fork`), or another tracer has
    /// probes there.
    Inherited,
    /// All: they were just put there.
    All,
}

/// How what stands there differs.
#[derive(Debug)]
pub enum Unlike {
    /// It is no longer there.
    Gone,
    /// It can't be looked at.
    Unseen(io::Error),
    /// Another code stands at this place of the file.
    Code(u64),
    /// A breakpoint that is not ours stands at this place.
    Foreign(u64),
    /// A breakpoint of ours is missing at this place.
    Bare(u64),
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it is no longer mapped"),
            Self::Unseen(error) => write!(f, "the memory of the process can't be read: {error}"),
            Self::Code(at) => write!(
                f,
                "the code that runs is not that of the file, which was replaced or changed in \
                 place ({at:#x})"
            ),
            Self::Foreign(at) => write!(f, "a debugger has put a breakpoint there ({at:#x})"),
            Self::Bare(at) => write!(f, "the kernel did not put a probe there ({at:#x})"),
        }
    }
}

impl Expected {
    /// What the file has at these places, as much of it as the kernel copies; `None` if it can't be
    /// read.
    pub fn of(file: &HeldFile, offsets: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut offsets: Vec<u64> = offsets.into_iter().collect();
        offsets.sort_unstable();
        offsets.dedup();
        let bytes = |offset| Some((offset, file.bytes_at(offset, PROBED_LEN)?));
        let places = offsets.into_iter().map(bytes).collect::<Option<_>>()?;
        Some(Self { places })
    }

    /// Compares with what stands in a process.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, code: &MappedCode, breakpoints: Breakpoints) -> Result<(), Unlike> {
        for (offset, expected) in &self.places {
            for found in code.at(*offset, expected.len())? {
                self.compare_one(*offset, expected, &found, breakpoints)?;
            }
        }
        Ok(())
    }

    /// Whether a place of both has another instruction in the other one. What follows it makes no
    /// difference to the kernel, which steps one.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.places.iter().any(|(offset, bytes)| {
            let same = other.places.binary_search_by_key(offset, |(at, _)| *at);
            same.is_ok_and(|index| instruction(&other.places[index].1) != instruction(bytes))
        })
    }

    fn compare_one(
        &self,
        offset: u64,
        expected: &[u8],
        found: &[u8],
        breakpoints: Breakpoints,
    ) -> Result<(), Unlike> {
        let mut rest = (offset, expected, found);
        while let (at, [_, ..], [_, ..]) = rest {
            let is_place = self.places.binary_search_by_key(&at, |(at, _)| *at).is_ok();
            // A breakpoint stands there as a whole or not at all.
            let len = if is_place { BREAKPOINT.len() } else { 1 };
            let (expected, expected_rest) = rest.1.split_at(len.min(rest.1.len()));
            let (found, found_rest) = rest.2.split_at(len.min(rest.2.len()));
            match (breakpoints, is_place) {
                (Breakpoints::All, true) if found == BREAKPOINT => {}
                (Breakpoints::All, true) if found == expected => return Err(Unlike::Bare(at)),
                (Breakpoints::Inherited, true) if found == BREAKPOINT => {}
                (Breakpoints::None, true) if found == BREAKPOINT && expected != found => {
                    return Err(Unlike::Foreign(at));
                }
                (Breakpoints::None | Breakpoints::Inherited, _) | (Breakpoints::All, false)
                    if found == expected => {}
                _ => return Err(Unlike::Code(at)),
            }
            rest = (at + len as u64, expected_rest, found_rest);
        }
        Ok(())
    }
}

/// The first instruction of some code; all of it, if it is none.
fn instruction(code: &[u8]) -> &[u8] {
    &code[..first_instruction_len(code).unwrap_or(code.len())]
}

impl From<Unknown> for Unlike {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::Gone => Self::Gone,
            Unknown::Refused(error) => Self::Unseen(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            places: vec![
                (100, b"\x55abcdefghijklmno".to_vec()),
                (104, b"defghijklmno....".to_vec()),
            ],
        }
    }

    fn compared(found: &[u8], breakpoints: Breakpoints) -> Result<(), String> {
        let expected = expected();
        let (offset, bytes) = &expected.places[0];
        let outcome = expected.compare_one(*offset, bytes, found, breakpoints);
        outcome.map_err(|unlike| format!("{unlike:?}"))
    }

    #[test]
    fn code_as_it_was_analysed_is_taken() {
        assert_eq!(compared(b"\x55abcdefg", Breakpoints::None), Ok(()));
        assert_eq!(compared(b"\x55abcdefg", Breakpoints::Inherited), Ok(()));
        assert_eq!(compared(b"\xccabc\xccefg", Breakpoints::Inherited), Ok(()));
        assert_eq!(compared(b"\xccabc\xccefg", Breakpoints::All), Ok(()));
    }

    #[test]
    fn other_code_is_not() {
        for breakpoints in [Breakpoints::None, Breakpoints::Inherited, Breakpoints::All] {
            let first: &[u8] = if breakpoints == Breakpoints::All {
                b"\xcc"
            } else {
                b"\x55"
            };
            // Whether it begins there or goes on otherwise.
            let found = [first, b"abXd"].concat();
            assert_eq!(compared(&found, breakpoints), Err("Code(103)".into()));
            assert_eq!(compared(b"\x90abcd", breakpoints), Err("Code(100)".into()));
            // A breakpoint where no probe belongs is none of ours.
            let found = [first, b"a\xcccd"].concat();
            assert_eq!(compared(&found, breakpoints), Err("Code(102)".into()));
        }
    }

    #[test]
    fn breakpoints_are_where_they_belong_and_nowhere_else() {
        let foreign = compared(b"\xccabcdefg", Breakpoints::None);
        assert_eq!(foreign, Err("Foreign(100)".into()));
        let bare = compared(b"\xccabcdefg", Breakpoints::All);
        assert_eq!(bare, Err("Bare(104)".into()));
    }

    #[test]
    fn versions_contradict_each_other_where_they_have_a_place_in_common() {
        let same_elsewhere = Expected {
            places: vec![(200, b"else".to_vec())],
        };
        let other = Expected {
            places: vec![(104, b"\xc3ther".to_vec())],
        };
        assert!(!expected().contradicts(&expected()));
        assert!(!expected().contradicts(&same_elsewhere));
        assert!(expected().contradicts(&other));
    }
}
