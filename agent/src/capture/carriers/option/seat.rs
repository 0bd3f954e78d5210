//! A control group that the daemon's own connections are in: sockets belong to the group of whoever
//! makes them. One is made for it below the one that the daemon is in, which takes the seat for a
//! moment; where none can be made, it is the daemon's own, but never the one that all are in. In
//! its place one is made below that whose calls are to carry.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::capture::carriers::group;
use crate::visible::Visible;

/// Where a process is put into a group.
const PROCS: &str = "cgroup.procs";
/// What every group has but the one that all are in.
const TYPE: &str = "cgroup.type";

/// The group. Dropping it ends it.
pub struct TrialSeat {
    group: File,
    made: Option<MadeGroup>,
}

struct MadeGroup {
    path: PathBuf,
    before: PathBuf,
    is_left: bool,
}

impl TrialSeat {
    /// Takes the seat; calls of `carrying` are to carry.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub fn take(carrying: Option<&Path>) -> Result<Self, String> {
        let own = own_group()?;
        let reason = match MadeGroup::enter(&own, &own) {
            Ok(made) => return Self::at(made),
            Err(reason) => reason,
        };
        if own.join(TYPE).exists() {
            let group = group::open(Some(&own))?;
            return Ok(Self { group, made: None });
        }
        let below = carrying.ok_or(reason)?;
        Self::at(MadeGroup::enter(below, &own)?)
    }

    fn at(made: MadeGroup) -> Result<Self, String> {
        let group = group::open(Some(&made.path))?;
        let made = Some(made);
        Ok(Self { group, made })
    }

    /// The group.
    pub fn group(&self) -> &File {
        &self.group
    }

    /// Sockets that are made from now on are not in it.
    pub fn leave(&mut self) {
        if let Some(made) = &mut self.made {
            made.leave();
        }
    }
}

impl MadeGroup {
    /// Makes one below `above`, and takes the daemon there from `own`.
    fn enter(above: &Path, own: &Path) -> Result<Self, String> {
        let path = above.join(format!("wirespan-trial-{}", std::process::id()));
        let said = |error: std::io::Error| format!("{}: {error}", Visible(path.display()));
        fs::create_dir(&path).map_err(said)?;
        let made = Self {
            path: path.clone(),
            before: own.to_owned(),
            is_left: false,
        };
        // Who writes 0 is meant itself.
        fs::write(path.join(PROCS), "0").map_err(said)?;
        Ok(made)
    }

    fn leave(&mut self) {
        if self.is_left {
            return;
        }
        self.is_left = true;
        if let Err(error) = fs::write(self.before.join(PROCS), "0") {
            let group = Visible(self.before.display());
            log::warn!(
                "can't go back to the control group {group}: {}",
                Visible(error)
            );
        }
    }
}

impl Drop for MadeGroup {
    fn drop(&mut self) {
        self.leave();
        if let Err(error) = fs::remove_dir(&self.path) {
            let group = Visible(self.path.display());
            log::warn!("can't remove the control group {group}: {}", Visible(error));
        }
    }
}

/// The group of version 2 that this process is in.
fn own_group() -> Result<PathBuf, String> {
    const SELF: &str = "/proc/self/cgroup";
    let groups = fs::read_to_string(SELF).map_err(|error| format!("{SELF}: {error}"))?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = path.ok_or("this process is in no control group of version 2")?;
    let root = group::root().ok_or("version 2 of control groups is not mounted")?;
    Ok(root.join(path))
}
