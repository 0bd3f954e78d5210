//! Which of a user's criteria select a process, one by one and with what was found, for people who
//! wonder. It asks what [`Selector`] asks, and decides nothing.

use crate::config::Setting;
use crate::visible::Visible;

use super::listeners::ports;
use super::proc_root::ProcRoot;
use super::selection::Selector;

/// A criterion that was set, asked about one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// Which setting it comes from; none where it holds for all.
    pub setting: Option<Setting>,
    /// Whether it selects the process.
    pub selects: bool,
    /// What was found, as the rest of a sentence about the process.
    pub found: String,
}

/// Ports that a sentence names.
const PORTS_MAX: usize = 8;

impl Selector {
    /// All criteria that are set, but for those of pods, as they are about a process that is there.
    #[must_use]
    pub fn criteria(&self, root: &ProcRoot, pid: u32) -> Vec<Criterion> {
        let targets = self.targets();
        let mut criteria = Vec::new();
        let mut add = |setting, selects, found: String| {
            criteria.push(Criterion {
                setting: Some(setting),
                selects,
                found,
            });
        };
        if !targets.pids.is_empty() {
            let selects = targets.pids.binary_search(&pid).is_ok();
            let found = if selects { "is named" } else { "is not named" };
            add(Setting::TargetPid, selects, found.to_owned());
        }
        let executable = root.executable(pid);
        let path = executable.as_deref();
        let shown = path.map_or_else(
            || "has no executable that could be seen".to_owned(),
            |path| format!("runs {}", Visible(path.display())),
        );
        if let Some(globs) = &targets.auto_target_exe {
            let selects = path.is_some_and(|path| globs.is_match(path));
            add(Setting::AutoTargetExe, selects, shown.clone());
        }
        if let Some(regex) = &targets.executable_name {
            let selects = path.is_some_and(|path| regex.is_match(&path.to_string_lossy()));
            add(Setting::ExecutableName, selects, shown);
        }
        if !targets.open_ports.is_empty() {
            let own: Vec<u16> = ports(root, pid).into_iter().collect();
            let selects = own.iter().any(|port| self.selects_port(*port));
            let named: Vec<_> = own.iter().take(PORTS_MAX).map(u16::to_string).collect();
            let more = if own.len() > PORTS_MAX { ", …" } else { "" };
            let found = match &*named {
                [] => "listens on no TCP port itself".to_owned(),
                _ => format!("listens on {}{more}", named.join(", ")),
            };
            add(Setting::OpenPort, selects, found);
        }
        if !criteria.iter().any(|it| it.selects) {
            criteria.extend(self.inherited(root, pid));
        }
        criteria
    }

    /// Whether its parent's selection holds for it too.
    fn inherited(&self, root: &ProcRoot, pid: u32) -> Option<Criterion> {
        let parent = root.stat(pid)?.parent;
        self.scan(root, |_, _| true)
            .contains(&pid)
            .then(|| Criterion {
                setting: None,
                selects: true,
                found: format!("runs what its parent {parent} does, which is watched"),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Targets;

    fn of_this(targets: Targets) -> Vec<(Option<Setting>, bool)> {
        let criteria = Selector::new(targets).criteria(&ProcRoot::host(), std::process::id());
        let criteria = criteria.into_iter().map(|it| (it.setting, it.selects));
        criteria.collect()
    }

    #[test]
    fn each_criterion_answers_for_itself() {
        let pid = std::process::id();
        assert_eq!(of_this(Targets::default()), []);
        let targets = Targets {
            pids: vec![pid],
            executable_name: regex::Regex::new("no/such/program").ok(),
            ..Targets::default()
        };
        assert_eq!(
            of_this(targets),
            [
                (Some(Setting::TargetPid), true),
                (Some(Setting::ExecutableName), false)
            ]
        );
    }
}
