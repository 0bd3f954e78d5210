//! The grammar of single values. A parser here gets a text and returns a value or `None`; the
//! sentence that tells what is allowed stands beside it. It knows no setting.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::ConfigError;
use super::settings::Given;

impl Given {
    /// The value, or the error that names the setting.
    pub(super) fn parse<T>(
        &self,
        parser: impl FnOnce(&str) -> Option<T>,
        allowed: &str,
    ) -> Result<T, ConfigError> {
        parser(self.text.trim())
            .ok_or_else(|| ConfigError::invalid(&self.source, &self.text, allowed))
    }
}

pub(super) const PORTS: &str = "TCP ports and ranges from 1 to 65535, such as 80,443,8000-8999";

/// Ports and ranges, sorted and merged.
pub(super) fn ports(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let mut ranges = items(text)
        .map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (number(first.trim())?, number(last.trim())?);
            (0 < first && first <= last).then_some((first, last))
        })
        .collect::<Option<Vec<(u16, u16)>>>()?;
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    (!merged.is_empty()).then(|| {
        merged
            .into_iter()
            .map(|(first, last)| first..=last)
            .collect()
    })
}

pub(super) const PIDS: &str = "process ids, such as 1234 or 1234,5678";

/// Process ids, sorted, each once.
pub(super) fn pids(text: &str) -> Option<Vec<u32>> {
    let mut pids = items(text)
        .map(|item| number(item).filter(|pid| (1..=i32::MAX as u32).contains(pid)))
        .collect::<Option<Vec<u32>>>()?;
    pids.sort_unstable();
    pids.dedup();
    (!pids.is_empty()).then_some(pids)
}

pub(super) const GLOBS: &str =
    "globs for the full path of an executable, such as */nginx or /opt/{shop,bank}/*";

/// Globs in which `*` matches `/` too. Commas separate them, but not within braces or brackets.
pub(super) fn globs(text: &str) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let mut any = false;
    for piece in items_outside_braces(text) {
        set.add(GlobBuilder::new(piece).build().ok()?);
        any = true;
    }
    any.then(|| set.build().ok()).flatten()
}

/// A number of bytes: `KiB`, `MiB` and `GiB`, or as Kubernetes and Docker write them (`Ki`, `M`,
/// `m`, `kb`): with an `i` or a bare letter by 1024, with a `b` or `B` behind the letter alone by
/// 1000.
pub(super) fn bytes(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (letter, rest) = match unit.char_indices().nth(1) {
        Some((at, _)) => unit.split_at(at),
        None => (unit.as_str(), ""),
    };
    let base: usize = match rest {
        "" | "i" | "ib" => 1024,
        "b" => 1000,
        _ => return None,
    };
    let power = match letter {
        "" => 0,
        "b" if rest.is_empty() => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        _ => return None,
    };
    let number: usize = number.parse().ok()?;
    number.checked_mul(base.checked_pow(power)?)
}

/// A number of whole things in thousandths, as Kubernetes writes processors: `2`, `0.5`, `500m`.
/// What is finer than a thousandth is none.
pub(super) fn thousandths(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_suffix('m') {
        return number(digits);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() {
        return None;
    }
    let is_number = |digits: &str| digits.bytes().all(|it| it.is_ascii_digit());
    let part = part.trim_end_matches('0');
    if !is_number(part) || part.len() > 3 {
        return None;
    }
    let whole: u32 = if whole.is_empty() && !part.is_empty() {
        0
    } else {
        number(whole)?
    };
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(part)
}

pub(super) const DURATION: &str = "a duration such as 10s, 500ms or 1m30s";

/// A duration as Go writes it: numbers with units from `h` to `ns`, or a bare 0. No sign.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, unit_on) = rest.split_at(digits);
        let unit_len = unit_on
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(unit_on.len());
        let (unit, after) = unit_on.split_at(unit_len);
        let unit_ns = match unit {
            "h" => 3_600_000_000_000_u64,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        total = total.checked_add(scaled(amount, unit_ns)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `amount` units, where `amount` is digits with at most one point.
fn scaled(amount: &str, unit_ns: u64) -> Option<Duration> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { number(whole)? };
    let mut ns = u64::checked_mul(whole, unit_ns)?;
    let mut place = unit_ns;
    for digit in fraction.bytes() {
        place /= 10;
        ns = ns.checked_add(place * u64::from(digit - b'0'))?;
    }
    Some(Duration::from_nanos(ns))
}

pub(super) const MILLISECONDS: &str =
    "a whole number of milliseconds from 1 on, such as 10000, or a duration such as 10s";

/// Milliseconds, the unit of the OpenTelemetry specification; a Go duration is understood too.
pub(super) fn milliseconds(text: &str) -> Option<Duration> {
    number(text)
        .map(Duration::from_millis)
        .or_else(|| duration(text))
        .filter(|duration| !duration.is_zero())
}

pub(super) const BOOLEAN: &str = "true or false";

/// As Go's `strconv.ParseBool` reads it, which Beyla uses.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" => Some(true),
        "0" | "f" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A whole number in `1..=count_max`.
pub(super) fn count(text: &str, count_max: usize) -> Option<usize> {
    number(text).filter(|count| (1..=count_max).contains(count))
}

/// A TCP port, or 0.
pub(super) fn port(text: &str) -> Option<u16> {
    number(text)
}

/// Where to listen: an address, in brackets or not, or the machine itself by its name.
pub(super) fn listen_address(text: &str) -> Option<IpAddr> {
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

/// Undoes percent-encoding; an unfinished or wrong escape stays as it is.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

/// Pieces between commas, trimmed; empty ones do not count.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Pieces between commas that are not within braces or brackets, trimmed; empty ones do not count.
pub(super) fn items_outside_braces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let pieces = text.split(move |character| {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    pieces.map(str::trim).filter(|piece| !piece.is_empty())
}

/// Digits only: `str::parse` alone would take a plus sign.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_sorted_and_merged() {
        assert_eq!(
            ports("443, 80,8000-8999,8500-9000,81"),
            Some(vec![80..=81, 443..=443, 8000..=9000])
        );
        assert_eq!(ports("65535,1-65535"), Some(vec![1..=65535]));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "", ",", "0", "80a", "+80", "65536", "90-80", "80-", "-80", "80 443", "1-2-3",
        ] {
            assert_eq!(ports(text), None, "{text:?}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, ms) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(duration("3µs4ns"), Some(Duration::from_nanos(3_004)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1 s",
            "1..5s",
            "1d",
            "10sec",
            ".s",
            "99999999999999999999h",
            "9999999999h",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn processors_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("2", 2000),
            ("0", 0),
            ("0.5", 500),
            ("0.50", 500),
            (".5", 500),
            ("1.025", 1025),
            ("500m", 500),
            ("1500m", 1500),
        ] {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
        let wrong = [
            "",
            ".",
            "m",
            "-1",
            "+1",
            "0.5m",
            "1e3",
            "0.0005",
            "1.",
            "half",
            "9999999999",
        ];
        for text in wrong {
            assert_eq!(thousandths(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_comma_in_braces_separates_alternatives_not_globs() {
        let globs = globs("/opt/{shop,bank}/*, *nginx").expect("globs");
        assert_eq!(globs.len(), 2);
        assert!(globs.is_match("/opt/bank/bin/server"));
        assert!(globs.is_match("/usr/sbin/nginx"));
        assert!(!globs.is_match("/opt/farm/server"));
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_stay() {
        assert_eq!(percent_decoded("a%20b%2Cc").as_deref(), Some("a b,c"));
        assert_eq!(percent_decoded("100%").as_deref(), Some("100%"));
        assert_eq!(percent_decoded("%zz%+1").as_deref(), Some("%zz%+1"));
        assert_eq!(percent_decoded("%ff"), None);
    }
}
