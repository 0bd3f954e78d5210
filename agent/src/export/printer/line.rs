//! Pieces of which the line of a span is put together: when, how long, who, what, how it ended.
//! Which of them, and in which order, is not decided here.

use std::io::Write;
use std::time::Duration;

use crate::span::{Span, Status, Value};
use crate::visible::Visible;

// The attributes that have a place in a line.
const SERVICE_NAME: &str = "service.name";
const METHOD: &str = "http.request.method";
const PATH: &str = "url.path";
const FULL_URL: &str = "url.full";
const STATUS_CODE: &str = "http.response.status_code";
const CALL_STATUS: &str = "rpc.status_code";
const DATABASE: &str = "db.system.name";
const QUERY_TEXT: &str = "db.query.text";
const DATABASE_CODE: &str = "db.response.status_code";
const ERROR_TYPE: &str = "error.type";

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What a part of a line says, by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    /// Something failed.
    Failed,
    /// Nothing did.
    Well,
    /// A name.
    Name,
    /// Less than the rest.
    Aside,
}

/// A line, or a part of one, that is written into a page.
pub(super) struct Line<'a> {
    pub to: &'a mut Vec<u8>,
    pub colours: bool,
}

impl Line<'_> {
    pub fn word(&mut self, word: &str) {
        self.to.extend_from_slice(word.as_bytes());
    }

    pub fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.to.write_fmt(arguments).expect("a vector takes all");
    }

    pub fn tinted(&mut self, tint: Tint, part: impl FnOnce(&mut Self)) {
        if self.colours {
            self.word(match tint {
                Tint::Failed => RED,
                Tint::Well => GREEN,
                Tint::Name => CYAN,
                Tint::Aside => DIM,
            });
        }
        part(self);
        if self.colours {
            self.word(PLAIN);
        }
    }

    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Int(number) => self.format(format_args!("{number}")),
            Value::Bool(yes) => self.format(format_args!("{yes}")),
            Value::List(texts) => self.untrusted(&texts.join(",")),
            Value::Static(_) | Value::Shared(_) | Value::Owned(_) => {
                self.untrusted(value.as_str().unwrap_or_default());
            }
        }
    }

    /// Text of strangers must not steer the terminal.
    fn untrusted(&mut self, text: &str) {
        self.format(format_args!("{}", Visible(text)));
    }

    pub fn service(&mut self, span: &Span) {
        self.tinted(Tint::Name, |line| match span.resource.get(SERVICE_NAME) {
            Some(name) => line.value(name),
            None => line.word("-"),
        });
    }

    /// What was asked for.
    pub fn operation(&mut self, span: &Span) {
        if let Some(method) = attribute(span, METHOD) {
            self.value(method);
            if let Some(target) = attribute(span, PATH).or_else(|| attribute(span, FULL_URL)) {
                self.word(" ");
                self.value(target);
            }
            return;
        }
        if let Some(database) = attribute(span, DATABASE) {
            self.value(database);
            self.word(" ");
        }
        match attribute(span, QUERY_TEXT) {
            Some(text) => self.value(text),
            None => self.untrusted(&span.name),
        }
    }

    /// How it ended: a code, and what is wrong if the code does not say it.
    pub fn outcome(&mut self, span: &Span) {
        let tint = match span.status {
            Status::Error => Tint::Failed,
            Status::Unset => Tint::Well,
        };
        self.tinted(tint, |line| {
            let code = [STATUS_CODE, CALL_STATUS, DATABASE_CODE]
                .iter()
                .find_map(|name| attribute(span, name));
            if let Some(code) = code {
                line.word(" ");
                line.value(code);
            }
            // Of a failed status code the conventions make an `error.type` with the same text.
            let error = attribute(span, ERROR_TYPE).filter(|error| !same_text(Some(error), code));
            if let Some(error) = error {
                line.word(" error=");
                line.value(error);
            }
        });
    }

    /// RFC 3339 in UTC, to the microsecond.
    pub fn time(&mut self, unix_ns: u64) {
        let (days, ns_of_day) = (unix_ns / NS_OF_DAY, unix_ns % NS_OF_DAY);
        let (year, month, day) = civil(days);
        let (seconds, micros) = (ns_of_day / 1_000_000_000, ns_of_day / 1000 % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.format(format_args!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        ));
    }

    pub fn duration(&mut self, ns: u64) {
        let duration = Duration::from_nanos(ns / 1000 * 1000);
        self.format(format_args!(" {:>10}", format!("{duration:.3?}")));
    }
}

/// The value of a span's attribute.
pub(super) fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    span.attributes
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn same_text(text: Option<&Value>, number: Option<&Value>) -> bool {
    match (text.and_then(Value::as_str), number) {
        (Some(text), Some(Value::Int(number))) => text.parse() == Ok(*number),
        (Some(text), Some(other)) => other.as_str() == Some(text),
        _ => false,
    }
}

const NS_OF_DAY: u64 = 86_400_000_000_000;

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Counting
/// starts at a 1 March, so that the leap day is the last of its year, and a leap cycle has 146,097
/// days.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468; // from 0000-03-01
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // March, April, … begin on days 0, 31, 61, …: five months have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    (cycle * 400 + year_of_cycle + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_centuries() {
        let known = [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (365, (1971, 1, 1)),
            (11016, (2000, 2, 29)),
            (11017, (2000, 3, 1)),
            (19781, (2024, 2, 28)),
            (19782, (2024, 2, 29)),
            (20453, (2025, 12, 31)),
            (20454, (2026, 1, 1)),
            (47540, (2100, 2, 28)),
            (47541, (2100, 3, 1)),
            (60000, (2134, 4, 11)),
        ];
        for (days, date) in known {
            assert_eq!(civil(days), date, "{days}");
        }
    }
}
