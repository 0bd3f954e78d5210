//! How far this process can see: how many processes there are, which of them it may not look into,
//! and which ports are listened on. For people who wonder why nothing matches. It selects nothing.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::ErrorKind;

use crate::capture::privileges;
use crate::discover::{ProcRoot, listened_on};

/// Ports that are named; of more is only said that there are.
const PORTS_MAX: usize = 30;
/// Processes that could not be looked into and are named.
const HIDDEN_NAMED_MAX: usize = 3;
/// `PF_KTHREAD` (include/linux/sched.h): a thread of the kernel, which nobody wants to look into.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Processes, those of the kernel left out.
    pub processes: usize,
    /// Processes whose executable or descriptors could not be looked at.
    pub hidden: usize,
    /// The first of these, by process id.
    pub hidden_pids: Vec<u32>,
    /// The proc file system shows other users' processes to their owners only (`hidepid`).
    pub is_veiled: bool,
    /// TCP ports that are listened on, in any network namespace that can be seen.
    pub ports: BTreeSet<u16>,
    /// Network namespaces that can be seen.
    pub namespaces: usize,
    /// Capabilities that this process lacks for looking.
    pub lacking: Vec<&'static str>,
}

impl Sight {
    /// Looks at everything there is.
    #[must_use]
    pub fn of(root: &ProcRoot) -> Self {
        let mut sight = Self {
            is_veiled: fs::metadata(root.path().join("1")).is_err(),
            lacking: privileges::lacking_for_looking(),
            ..Self::default()
        };
        let mut namespaces: HashSet<OsString> = HashSet::new();
        for pid in root.pids().filter(|pid| *pid != root.own_pid()) {
            let folder = root.path().join(pid.to_string());
            if is_of_kernel(&folder) {
                continue;
            }
            sight.processes += 1;
            let is_denied = |error: Option<std::io::Error>| {
                error.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
            };
            if is_denied(fs::read_link(folder.join("exe")).err())
                || is_denied(fs::read_dir(folder.join("fd")).err())
            {
                sight.hidden += 1;
                if sight.hidden_pids.len() < HIDDEN_NAMED_MAX {
                    sight.hidden_pids.push(pid);
                }
            }
            if let Ok(namespace) = fs::read_link(folder.join("ns/net"))
                && namespaces.insert(namespace.into_os_string())
            {
                sight.ports.extend(listened_on(root, pid));
            }
        }
        sight.namespaces = namespaces.len();
        sight
    }

    /// Whether everything was seen.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.hidden == 0 && !self.is_veiled
    }

    /// Whether what was not seen could be, with more rights.
    #[must_use]
    pub fn is_short_of_rights(&self) -> bool {
        !self.is_whole() && !self.lacking.is_empty()
    }

    /// What was not seen, and the remedy.
    #[must_use]
    pub fn gaps(&self) -> String {
        let mut text = if self.is_veiled {
            "other users' processes are hidden by the proc file system (hidepid)".to_owned()
        } else {
            let pids: Vec<_> = self.hidden_pids.iter().map(u32::to_string).collect();
            let more = if self.hidden > pids.len() {
                ", …"
            } else {
                ""
            };
            format!(
                "{} of {} processes could not be looked into ({}{more})",
                self.hidden,
                self.processes,
                pids.join(", ")
            )
        };
        text.push_str(": they may match, too. ");
        if self.lacking.is_empty() {
            text.push_str("No capability is lacking; a security module may keep them closed");
        } else {
            let lacking = self.lacking.join(" and ");
            text.push_str(&format!("Run as root, or with {lacking}"));
        }
        text
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "looked at {} processes", self.processes)?;
        if self.ports.is_empty() {
            f.write_str(", none of which listens on a TCP port")?;
        } else {
            f.write_str("; listened on are the TCP ports ")?;
            for (index, port) in self.ports.iter().take(PORTS_MAX).enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{port}")?;
            }
            if self.ports.len() > PORTS_MAX {
                f.write_str(", …")?;
            }
        }
        let plural = if self.namespaces == 1 { "" } else { "s" };
        write!(f, " in {} network namespace{plural}", self.namespaces)?;
        if !self.is_whole() {
            write!(f, "; {}", self.gaps())?;
        }
        Ok(())
    }
}

/// The flags are the seventh field behind the name, which may hold anything.
fn is_of_kernel(folder: &std::path::Path) -> bool {
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let flags = fields.split_whitespace().nth(6);
    let flags: u32 = flags.and_then(|flags| flags.parse().ok()).unwrap_or(0);
    flags & PF_KTHREAD != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_one_line() {
        let mut sight = Sight {
            processes: 12,
            ports: [22, 8080].into(),
            namespaces: 2,
            ..Sight::default()
        };
        assert_eq!(
            sight.to_string(),
            "looked at 12 processes; listened on are the TCP ports 22, 8080 in 2 network namespaces"
        );
        assert!(sight.is_whole());
        sight.hidden = 9;
        sight.hidden_pids = vec![7, 8, 30];
        sight.lacking = vec!["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];
        assert_eq!(
            sight.gaps(),
            "9 of 12 processes could not be looked into (7, 8, 30, …): they may match, too. Run as \
             root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
        );
        assert!(!sight.is_whole() && sight.to_string().ends_with(&sight.gaps()));
        sight.ports = (1..=100).collect();
        assert!(sight.to_string().contains("29, 30, … in"));
    }

    #[test]
    fn this_machine_is_seen() {
        let sight = Sight::of(&ProcRoot::host());
        assert!(sight.processes > 0 && sight.namespaces > 0);
    }
}
