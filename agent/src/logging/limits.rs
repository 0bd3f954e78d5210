//! How often one place of the code may say something: so many lines a minute, and of more only the
//! number. It writes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, Record};

use crate::visible::Visible;

/// Lines of one place within [`PERIOD`], from level info up.
pub const LINES_MAX: u32 = 30;
/// The same for what somebody asked for who looks for a fault.
const DETAILS_MAX: u32 = 10_000;
const PERIOD: Duration = Duration::from_secs(60);
/// Places that are counted; the program has fewer.
const PLACES_MAX: usize = 1024;
/// Characters of a suppressed line that are told.
const EXAMPLE_MAX: usize = 80;

/// Lines that were not written.
#[derive(Debug, PartialEq, Eq)]
pub struct Suppressed {
    lines: u32,
    example: String,
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, example } = self;
        write!(f, "{lines} more lines within a minute like: {example}")
    }
}

/// The counts.
pub struct Limits(Mutex<Option<Period>>);

struct Period {
    began: Instant,
    places: BTreeMap<(String, u32), LogPlace>,
}

#[derive(Default)]
struct LogPlace {
    lines: u32,
    suppressed: u32,
    example: String,
}

impl Limits {
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether a line may be written.
    pub fn allow(&self, record: &Record<'_>, now: Instant) -> bool {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = period.get_or_insert_with(|| Period::new(now));
        let from = record.file().unwrap_or(record.target());
        let key = (from.to_owned(), record.line().unwrap_or_default());
        if period.places.len() >= PLACES_MAX && !period.places.contains_key(&key) {
            return false;
        }
        let place = period.places.entry(key).or_default();
        let most = if record.level() > Level::Info {
            DETAILS_MAX
        } else {
            LINES_MAX
        };
        if place.lines < most {
            place.lines += 1;
            return true;
        }
        if place.suppressed == 0 {
            let text = Visible(record.args()).to_string();
            place.example = text.chars().take(EXAMPLE_MAX).collect();
        }
        place.suppressed += 1;
        false
    }

    /// If a minute has passed: what was not written in it. Counting begins anew.
    pub fn turn(&self, now: Instant) -> Vec<Suppressed> {
        let mut period = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if period.as_ref().is_none_or(|it| now < it.began + PERIOD) {
            return Vec::new();
        }
        let over = period.replace(Period::new(now)).into_iter();
        let places = over.flat_map(|period| period.places.into_values());
        let suppressed = places.filter(|place| place.suppressed > 0);
        suppressed
            .map(|place| Suppressed {
                lines: place.suppressed,
                example: place.example,
            })
            .collect()
    }

    /// What was not written since the last turn, whenever that was.
    pub fn end(&self) -> Vec<Suppressed> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let began = now.as_ref().map(|period| period.began);
        drop(now);
        began.map_or_else(Vec::new, |began| self.turn(began + PERIOD))
    }
}

impl Period {
    fn new(began: Instant) -> Self {
        Self {
            began,
            places: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(limits: &Limits, level: Level, line: u32, text: &str, now: Instant) -> bool {
        let args = format_args!("{text}");
        let mut record = Record::builder();
        let record = record.level(level).file(Some("a.rs")).line(Some(line));
        limits.allow(&record.args(args).build(), now)
    }

    #[test]
    fn of_one_place_so_many_lines_are_written_and_the_rest_is_counted() {
        let limits = Limits::new();
        let now = Instant::now();
        let written =
            (0..1000).filter(|n| allow(&limits, Level::Warn, 1, &format!("no\n{n}"), now));
        assert_eq!(written.count(), LINES_MAX as usize);
        assert!(allow(&limits, Level::Warn, 2, "another place", now));
        assert!(limits.turn(now + PERIOD / 2).is_empty());

        let later = now + PERIOD;
        let said: Vec<_> = limits.turn(later).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["970 more lines within a minute like: no\\n30"]);
        assert!(limits.turn(later).is_empty());
        assert!(allow(&limits, Level::Warn, 1, "again", later));
    }

    #[test]
    fn at_the_end_the_rest_is_told() {
        let limits = Limits::new();
        assert!(limits.end().is_empty());
        let now = Instant::now();
        for _ in 0..=LINES_MAX {
            allow(&limits, Level::Info, 1, "x", now);
        }
        assert_eq!(limits.end().len(), 1);
        assert!(limits.end().is_empty());
    }

    #[test]
    fn who_looks_for_a_fault_sees_more() {
        let limits = Limits::new();
        let now = Instant::now();
        let written = (0..1000).filter(|_| allow(&limits, Level::Debug, 1, "x", now));
        assert_eq!(written.count(), 1000);
    }
}
