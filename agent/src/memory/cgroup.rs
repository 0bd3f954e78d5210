//! What the control groups that the daemon is in allow it, version 1 and 2: the smallest limit on
//! the way from its own group up. It reads files below `/proc/self` and `/sys/fs/cgroup`, once; it
//! judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// "No limit" of version 1 is the largest number of pages, in bytes: anything near it is none.
const NO_LIMIT_MIN: u64 = 1 << 60;

/// The bytes that this process's control groups allow, if any of them sets a limit.
#[must_use]
pub fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    limit_in(&groups, &mounts)
}

/// The same from the texts of `/proc/self/cgroup` (cgroups(7)) and `/proc/self/mountinfo`
/// (proc(5)).
fn limit_in(groups: &str, mounts: &str) -> Option<u64> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::read).collect();
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
            let is_v2 = controllers.is_empty();
            if !is_v2 && !controllers.split(',').any(|name| name == "memory") {
                return None;
            }
            let mount = mounts.iter().find(|mount| mount.is_v2 == is_v2)?;
            let file = if is_v2 {
                "memory.max"
            } else {
                "memory.limit_in_bytes"
            };
            mount.smallest(group, file)
        })
        .min()
}

/// Where the memory controller of one version is mounted.
struct Mount {
    /// The group that the mount point shows; not `/` in a container, as a rule.
    root: PathBuf,
    at: PathBuf,
    is_v2: bool,
}

impl Mount {
    fn read(line: &str) -> Option<Self> {
        let (before, behind) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, at) = (before.next()?, before.next()?);
        let mut behind = behind.split(' ');
        let (kind, _, options) = (behind.next()?, behind.next()?, behind.next()?);
        let is_v2 = match kind {
            "cgroup2" => true,
            "cgroup" if options.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Self {
            root: root.into(),
            at: at.into(),
            is_v2,
        })
    }

    /// The smallest limit from a group up to what is mounted.
    fn smallest(&self, group: &str, file: &str) -> Option<u64> {
        let below = Path::new(group)
            .strip_prefix(&self.root)
            // Its own group's name may be that outside of the container it is in.
            .unwrap_or(Path::new(""));
        let leaf = self.at.join(below);
        leaf.ancestors()
            .take_while(|group| group.starts_with(&self.at))
            .filter_map(|group| fs::read_to_string(group.join(file)).ok())
            .filter_map(|text| text.trim().parse().ok())
            .filter(|limit| *limit < NO_LIMIT_MIN)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_limits(version: u8, limits: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a directory");
        let (file, kind, options, group) = match version {
            1 => (
                "memory.limit_in_bytes",
                "cgroup",
                "rw,memory",
                "4:memory:/a/b",
            ),
            _ => ("memory.max", "cgroup2", "rw", "0::/a/b"),
        };
        fs::create_dir_all(root.path().join("a/b")).expect("a directory");
        for (group, limit) in limits {
            fs::write(root.path().join(group).join(file), limit).expect("a file");
        }
        let at = root.path().display();
        let mounts = format!(
            "30 29 0:26 / /elsewhere rw - tmpfs tmpfs rw\n\
            31 30 0:27 / {at} rw,nosuid shared:9 - {kind} cgroup {options}\n"
        );
        limit_in(&format!("3:cpu:/x\n{group}\n"), &mounts)
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        for version in [1, 2] {
            let limits = [("a/b", "9000000"), ("a", "5000000\n")];
            assert_eq!(with_limits(version, &limits), Some(5_000_000), "{version}");
        }
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(with_limits(2, &[("a/b", "max\n"), ("a", "max\n")]), None);
        assert_eq!(with_limits(1, &[("a/b", "9223372036854771712\n")]), None);
        assert_eq!(with_limits(2, &[]), None);
        assert_eq!(limit_in("", ""), None);
    }

    #[test]
    fn a_group_named_from_outside_is_the_one_that_is_mounted() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("memory.max"), "7000000").expect("a file");
        let at = root.path().display();
        let mounts = format!("31 30 0:27 /pod/x {at} rw - cgroup2 cgroup rw\n");
        assert_eq!(limit_in("0::/pod/x\n", &mounts), Some(7_000_000));
        assert_eq!(limit_in("0::/\n", &mounts), Some(7_000_000));
    }
}
