//! The control group to attach to: one of version 2, which is where programs for sockets go.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::fstatfs;

use crate::visible::Visible;

/// `CGROUP2_SUPER_MAGIC` (include/uapi/linux/magic.h).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// Where the hierarchy is mounted: alone, or beside that of version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Opens this one, or the one that all processes are in.
///
/// # Errors
/// Why there is none, in one line.
pub fn open(path: Option<&Path>) -> Result<File, String> {
    match path {
        Some(path) => open_at(path),
        None => root()
            .and_then(|root| open_at(&root).ok())
            .ok_or_else(|| "version 2 of control groups is not mounted".to_owned()),
    }
}

/// Where the hierarchy is mounted.
pub fn root() -> Option<PathBuf> {
    let mut roots = ROOTS.iter().map(PathBuf::from);
    roots.find(|root| open_at(root).is_ok())
}

fn open_at(path: &Path) -> Result<File, String> {
    let opened =
        File::open(path).map_err(|error| format!("{}: {error}", Visible(path.display())))?;
    let of = fstatfs(&opened).map_err(|error| error.to_string())?;
    if of.f_type as u64 != CGROUP2_SUPER_MAGIC {
        return Err(format!(
            "{}: no control group of version 2",
            Visible(path.display())
        ));
    }
    Ok(opened)
}
