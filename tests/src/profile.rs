//! Where cargo leaves what it builds, found from the test or program that asks.

use std::path::PathBuf;

/// `target/debug`, or what other profile there is: programs lie in it, tests and examples one
/// deeper.
///
/// # Panics
/// It runs somewhere else.
#[must_use]
pub fn directory() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a file");
    let around = own.parent().expect("a file is in a directory");
    let is_deeper = ["deps", "examples"].iter().any(|it| around.ends_with(it));
    let profile = if is_deeper {
        around.parent()
    } else {
        Some(around)
    };
    profile.expect("target/debug").to_owned()
}

/// `target`.
///
/// # Panics
/// As [`directory`].
#[must_use]
pub fn target() -> PathBuf {
    let target = directory().parent().map(PathBuf::from);
    target.expect("target/debug")
}
