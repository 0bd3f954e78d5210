//! The kernel that runs the tests.

/// Whether it is of this version or a later one.
///
/// # Panics
/// It does not tell.
#[must_use]
pub fn is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}
