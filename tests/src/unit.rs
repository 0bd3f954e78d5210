//! The unit of systemd that packages bring, as systemd's own tools judge it, and its rights without
//! systemd. No service is started.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::process::tied;

/// Where it is, in a package and on a system.
pub const PLACE: &str = "usr/lib/systemd/system";
/// What it is called.
pub const NAME: &str = "wirespan.service";

/// Units that others bring, without which systemd can't look at it.
const OTHERS: [&str; 5] = [
    "basic",
    "multi-user",
    "network-online",
    "shutdown",
    "sysinit",
];

/// All values of a key, in their order.
#[must_use]
pub fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines();
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

/// What systemd complains of, in a root directory that holds the unit and its program.
///
/// # Panics
/// Units can't be put beside it.
#[must_use]
pub fn complaints(root: &Path) -> Vec<String> {
    for other in OTHERS {
        let stub = root.join(PLACE).join(format!("{other}.target"));
        std::fs::write(stub, "[Unit]\nDescription=stub\n").expect("a file");
    }
    for directory in ["tmp", "var/tmp"] {
        std::fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    let (failed, said) = analyze(root, &["verify", "--man=no"]);
    let mut complaints: Vec<_> = said.lines().map(str::to_owned).collect();
    if failed && complaints.is_empty() {
        complaints.push("it failed".to_owned());
    }
    complaints
}

/// How exposed systemd finds it, from 0 to 10.
///
/// # Panics
/// systemd says nothing of the kind.
#[must_use]
pub fn exposure(root: &Path) -> f64 {
    let (_, said) = analyze(root, &["security", "--offline=true", "--no-pager"]);
    let level = said.split_once("exposure level for wirespan.service: ");
    let level = level.and_then(|(_, level)| level.split(' ').next()?.parse().ok());
    level.unwrap_or_else(|| panic!("no level in {said}"))
}

fn analyze(root: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = tied("systemd-analyze");
    command.args(arguments);
    command.arg(format!("--root={}", root.display())).arg(NAME);
    let output = command.output().expect("systemd-analyze starts");
    let said = [output.stdout, output.stderr].concat();
    (
        !output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// System calls by the name of their set, with those of the sets in it.
///
/// # Panics
/// There is no such set.
#[must_use]
pub fn calls_of(set: &str) -> BTreeSet<String> {
    let mut command = tied("systemd-analyze");
    let output = command.args(["syscall-filter", "--no-pager", set]).output();
    let output = output.expect("systemd-analyze starts");
    assert!(output.status.success(), "{set}");
    let mut calls = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().skip(1) {
        let name = line.trim();
        if name.starts_with('@') {
            calls.extend(calls_of(name));
        } else if !name.is_empty() && !name.starts_with('#') {
            calls.insert(name.to_owned());
        }
    }
    calls
}

/// A program as a user without rights, but for the capabilities that the unit gives.
///
/// # Panics
/// The unit gives none.
#[must_use]
pub fn with_its_rights(unit: &str, program: &Path) -> Command {
    let given = values(unit, "AmbientCapabilities");
    let names = given.first().expect("capabilities").to_lowercase();
    let added: String = names
        .split(' ')
        .map(|name| format!(",+{}", name.trim_start_matches("cap_")))
        .collect();
    let mut command = tied("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg("--no-new-privs");
    for set in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{set}=-all{added}"));
    }
    command.arg(program);
    command
}
