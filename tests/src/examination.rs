//! What `wirespan doctor` says, for tests to look into.

use std::process::Command;

use serde_json::Value;

use crate::daemon::run_to_end;

/// Exit code, grades by check, and the last line of the log.
///
/// # Panics
/// It does not end, or says something else than checks.
#[must_use]
pub fn examined(mut command: Command, settings: &[(&str, &str)]) -> (Option<i32>, Value, String) {
    command.args(["doctor", "--json"]);
    command.envs(settings.iter().copied());
    let (code, printed, log) = run_to_end(&mut command);
    let checks = serde_json::from_str(&printed.join("\n"));
    let checks = checks.unwrap_or_else(|error| panic!("{error}: {printed:?} {log:?}"));
    (code, checks, log.last().cloned().unwrap_or_default())
}

/// Grade and words of the first check of this name that is not as it should be, or of the first.
///
/// # Panics
/// There is none, or a grade and a remedy don't go together.
#[must_use]
pub fn of<'a>(checks: &'a Value, name: &str) -> (&'a str, String) {
    let all = checks.as_array().expect("a list");
    let of_name = || all.iter().filter(|check| check["check"] == name);
    let worst = of_name().find(|check| check["grade"] != "PASS");
    let check = worst.or_else(|| of_name().next());
    let check = check.unwrap_or_else(|| panic!("no check {name}: {checks:#}"));
    let is_good = check["grade"] == "PASS";
    assert_eq!(check["remedy"].is_null(), is_good, "{check}");
    let said = format!("{} → {}", check["found"], check["remedy"]);
    (check["grade"].as_str().expect("a grade"), said)
}
