//! The form of the changelog: releases, newest first, each with lists of changes under the headings
//! of keep-a-changelog. What stands in it is for people to judge.

use super::Finding;
use super::source::{Source, numbered};

const PATH: &str = "CHANGELOG.md";
const UNRELEASED: &str = "Unreleased";
/// In this order within a release.
const KINDS: [&str; 6] = [
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
    "Security",
];

pub fn is_in_form(sources: &[Source]) -> Vec<Finding> {
    let changelog = sources.iter().find(|source| source.path == PATH);
    changelog.map(check).unwrap_or_default()
}

fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line, what: String| findings.push(Finding::new(source, line, what));
    let mut latest: Option<&str> = None;
    // Place of the present heading among the kinds, and lines of the last heading and change.
    let mut kind = None;
    let mut heading_at = 0;
    let mut item: Option<(usize, &str)> = None;
    for (line, text) in numbered(&source.text) {
        let continues = text.starts_with("  ") && item.is_some();
        if let Some((at, last)) = item
            && !continues
            && !last.ends_with('.')
        {
            find(at, "a change is a sentence with a full stop".to_owned());
        }
        item = match text {
            _ if continues => Some((line, text)),
            _ if text.starts_with("- ") && kind.is_some() => Some((line, text)),
            _ => None,
        };
        if text.starts_with('#') && heading_at != 0 {
            find(heading_at, "nothing stands under this heading".to_owned());
        }
        if let Some(name) = text.strip_prefix("## ") {
            if !is_release(name) || latest.is_some_and(|before| !is_older(name, before)) {
                find(
                    line,
                    "`## Unreleased`, then `## 1.2.3 - 2026-01-31`, newest first".to_owned(),
                );
            }
            (latest, kind, heading_at) = (Some(name), None, 0);
        } else if let Some(name) = text.strip_prefix("### ") {
            let place = KINDS.iter().position(|known| *known == name);
            if place.is_none() || place <= kind || latest.is_none() {
                find(
                    line,
                    format!("within a release, in this order: {}", KINDS.join(", ")),
                );
            }
            (kind, heading_at) = (place.or(kind), line);
        } else if text.starts_with("- ") {
            if kind.is_none() {
                find(
                    line,
                    "a change stands under a heading such as `### Added`".to_owned(),
                );
            }
            heading_at = 0;
        } else if !(text.is_empty() || continues || line == 1) {
            find(
                line,
                "changes are items of a list, indented by two where they go on".to_owned(),
            );
        }
    }
    findings
}

/// `Unreleased`, or a version and a day.
fn is_release(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name == UNRELEASED
        || name.split_once(" - ").is_some_and(|(version, day)| {
            let lens: Vec<_> = day.split('-').map(str::len).collect();
            version.split('.').count() == 3
                && version.split('.').all(is_number)
                && lens == [4, 2, 2]
                && day.split('-').all(is_number)
        })
}

/// Whether a release may stand behind the other.
fn is_older(name: &str, before: &str) -> bool {
    let version = |name: &str| {
        let numbers = name.split(" - ").next().unwrap_or_default().split('.');
        numbers
            .map(|number| number.parse().unwrap_or(0))
            .collect::<Vec<u64>>()
    };
    name != UNRELEASED && (before == UNRELEASED || version(name) < version(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        is_in_form(&[Source::new(PATH, text)]).len()
    }

    #[test]
    fn a_changelog_in_form_is_left_alone() {
        let text = "# Changelog\n\n## Unreleased\n\n### Added\n\n- One\n  thing.\n- Two.\n\n\
                    ### Security\n\n- Three.\n\n## 1.10.0 - 2026-12-01\n\n### Fixed\n\n- It.\n\n\
                    ## 1.9.0 - 2026-11-30\n";
        assert_eq!(count(text), 0);
    }

    #[test]
    fn what_is_not_in_form_is_found() {
        for text in [
            "# Changelog\n\n## Unreleased\n\n- Where?\n",
            "# Changelog\n\n## Unreleased\n\n### New\n",
            "# Changelog\n\n## Unreleased\n\n### Fixed\n\n- A.\n\n### Added\n\n- B.\n",
            "# Changelog\n\n## Unreleased\n\n### Added\n\n- No full stop\n\n",
            "# Changelog\n\n## Unreleased\n\n### Added\n\n### Fixed\n\n- A.\n",
            "# Changelog\n\n## 1.9.0 - 2026-11-30\n\n## 1.10.0 - 2026-12-01\n",
            "# Changelog\n\n## 1.9 - yesterday\n",
            "# Changelog\n\nThings changed.\n",
        ] {
            assert_eq!(count(text), 1, "{text}");
        }
    }
}
