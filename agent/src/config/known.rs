//! Names of variables that are not settings of wirespan: those that Beyla's users have in their
//! manifests, and misspelt ones. It only warns; a manifest must start.

use std::collections::BTreeSet;

use super::names::SETTINGS;

const KNOWN: &str = include_str!("known_settings.txt");

/// The same setting under other prefixes, longest first.
const PREFIXES: [&str; 4] = ["BEYLA_OTEL_", "OTEL_EBPF_", "BEYLA_", "WIRESPAN_"];

/// Whether a variable's value matters, or its name deserves a warning.
pub(super) fn concerns_us(name: &str) -> bool {
    is_setting(name)
        || name == SDK_DISABLED
        || without_prefix(name).is_some()
        || known().any(|known| known == name)
}

/// Whether Beyla injects a script of its own into processes of Node.
const NODEJS_ENABLED: &str = "NODEJS_ENABLED";

const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";

/// One warning for each setting that will have no effect.
pub(super) fn warn_of_others<'a>(names: impl Iterator<Item = &'a str>, warnings: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names.filter(|name| !is_setting(name)) {
        if name == SDK_DISABLED {
            warnings.push(format!(
                "{name} is meant for SDKs inside of programs: wirespan ignores it"
            ));
            continue;
        }
        let setting = without_prefix(name).unwrap_or(name);
        if is_service_link(setting) || !seen.insert(setting) {
            continue;
        }
        if setting == NODEJS_ENABLED {
            warnings.push(format!(
                "{name} has no effect: wirespan loads nothing into processes of Node. To have \
                 their calls linked to requests, start them with NODE_OPTIONS=--require=FILE, \
                 where FILE is what `wirespan node-script` prints; WIRESPAN_NODE_LINKS=false \
                 passes over what that tells"
            ));
            continue;
        }
        warnings.push(
            if known().any(|known| without_prefix(known).unwrap_or(known) == setting) {
                format!("{name} is a setting that wirespan does not have: it is ignored")
            } else if let Some(near) = nearest(name) {
                format!("{name} is not a known setting, did you mean {near}? It is ignored")
            } else {
                format!("{name} is not a known setting: it is ignored")
            },
        );
    }
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|names| names.variables.contains(&name))
}

fn known() -> impl Iterator<Item = &'static str> {
    KNOWN
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn without_prefix(name: &str) -> Option<&str> {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .filter(|rest| !rest.is_empty())
}

/// Kubernetes gives every container variables like `BEYLA_SERVICE_HOST` and `BEYLA_PORT_80_TCP` if
/// the namespace has a Service named `beyla`: nobody's mistake.
fn is_service_link(setting: &str) -> bool {
    setting == "SERVICE_HOST"
        || setting.starts_with("SERVICE_PORT")
        || setting == "PORT"
        || setting
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// The setting of wirespan that a misspelt name most resembles.
fn nearest(name: &str) -> Option<&'static str> {
    let setting = without_prefix(name).unwrap_or(name);
    let (distance, near) = SETTINGS
        .iter()
        .flat_map(|names| names.variables)
        .map(|variable| {
            let distance = edit_distance(setting, without_prefix(variable).unwrap_or(variable));
            // Among equals the one that differs least as a whole: the user's own prefix.
            ((distance, edit_distance(name, variable)), *variable)
        })
        .min()?;
    let distance_max = (setting.len() / 3).min(3);
    (distance.0 <= distance_max).then_some(near)
}

/// Levenshtein's distance, in bytes.
fn edit_distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, byte) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(byte != *other);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_is_both_ours_and_foreign() {
        for known in known() {
            let setting = without_prefix(known).unwrap_or(known);
            for variable in SETTINGS.iter().flat_map(|names| names.variables) {
                assert_ne!(without_prefix(variable).unwrap_or(variable), setting);
            }
        }
    }

    #[test]
    fn distance_counts_single_letters() {
        assert_eq!(edit_distance("OPEN_PORT", "OPEN_PORT"), 0);
        assert_eq!(edit_distance("OPEN_PORTS", "OPEN_PORT"), 1);
        assert_eq!(edit_distance("OPNE_PORT", "OPEN_PORT"), 2);
        assert_eq!(edit_distance("", "ABC"), 3);
    }
}
