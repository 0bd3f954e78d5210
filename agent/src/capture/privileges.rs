//! Whether the process may do what capture needs, and what it takes where it may not. It asks for
//! nothing and changes nothing.

use std::fmt;

use crate::config::{CaptureConfig, Strategy};

/// A capability that is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Capability {
    /// Its bit (include/uapi/linux/capability.h).
    bit: u32,
    name: &'static str,
    /// What is not possible without it.
    without: &'static str,
    /// Nothing works without it; else less is seen.
    is_needed: bool,
    /// `CAP_SYS_ADMIN` includes it, from which 5.8 split it off.
    is_of_admin: bool,
}

const CAP_SYS_ADMIN: u32 = 21;

/// The four that README names.
const CAPABILITIES: [Capability; 4] = [
    Capability {
        bit: 39,
        name: "CAP_BPF",
        without: "the kernel takes no eBPF programs from this process (whatever \
                  kernel.unprivileged_bpf_disabled says, for it lets no one trace)",
        is_needed: true,
        is_of_admin: true,
    },
    Capability {
        bit: 38,
        name: "CAP_PERFMON",
        without: "eBPF programs may not trace and probes in TLS libraries may not be placed \
                  (whatever kernel.perf_event_paranoid says)",
        is_needed: true,
        is_of_admin: true,
    },
    Capability {
        bit: 19,
        name: "CAP_SYS_PTRACE",
        without: "the executables, sockets and libraries of other users' processes can't be seen",
        is_needed: true,
        is_of_admin: false,
    },
    Capability {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        without: "other users' processes can't be looked into: which ports they listen on, what \
                  their environment says, which libraries they use. FEWER PROCESSES ARE WATCHED",
        is_needed: false,
        is_of_admin: false,
    },
];

/// Capabilities that the process lacks, all needed or all not.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing(Vec<&'static Capability>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), remedy())
    }
}

impl Missing {
    /// What is missing, and what is not possible without it.
    #[must_use]
    pub fn what(&self) -> String {
        let each = self.0.iter();
        let each = each.map(|one| format!("{}, without which {}", one.name, one.without));
        format!("missing {}", each.collect::<Vec<_>>().join("; "))
    }
}

/// What to do where capabilities are missing.
#[must_use]
pub fn remedy() -> String {
    let granted = CAPABILITIES
        .map(|capability| capability.name.to_lowercase())
        .join(",");
    format!(
        "run as root (sudo), or grant the capabilities to the binary with `setcap {granted}+ep`, \
         or in a container under securityContext.capabilities.add (before Linux 5.8, cap_sys_admin \
         in place of cap_bpf and cap_perfmon; before 5.11, cap_sys_resource besides)"
    )
}

/// Whether a run needs `CAP_SYS_ADMIN`, if it has it: where the kernel has not split off what is
/// used here, where probes are placed one by one, for which kernels ask for it that were corrected
/// in that since 2025 (the legacy object's always are), or where `perf_event_paranoid` asks for it
/// (see [`super::reason`]).
///
/// To be asked before anything is given up.
#[must_use]
pub fn takes_admin(config: &CaptureConfig) -> bool {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    let last = last.and_then(|last| last.trim().parse::<u32>().ok());
    let is_legacy = config.strategy.is_some_and(Strategy::is_legacy);
    let links_many = !is_legacy && super::tls::knows_links();
    takes_admin_where(last, super::reason::paranoia(), links_many)
}

fn takes_admin_where(
    last_capability: Option<u32>,
    perf_event_paranoid: i32,
    links_many: bool,
) -> bool {
    let knows_bpf = last_capability.is_none_or(|last| last >= CAPABILITIES[0].bit);
    !knows_bpf || perf_event_paranoid > 2 || !links_many
}

/// Why no process's memory may be looked at, whatever the capabilities, if that is so (Yama's
/// `ptrace_scope`, Documentation/admin-guide/LSM/Yama.rst).
pub fn memory_is_closed() -> Option<&'static str> {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    is_closed_by(&scope).then_some("kernel.yama.ptrace_scope is 3, which forbids it to everybody")
}

/// The same of a text of `kernel.yama.ptrace_scope`.
#[must_use]
pub fn is_closed_by(ptrace_scope: &str) -> bool {
    ptrace_scope.trim() == "3"
}

/// Checks the effective capabilities of this process. What is missing and not needed is returned.
///
/// # Errors
/// Names what is missing and needed.
pub fn check() -> Result<Option<Missing>, Missing> {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    // Without procfs there is nothing to check by; loading will tell.
    status.map_or(Ok(None), |status| missing_in(status.capeff))
}

/// What this process lacks to look into all processes, by name.
#[must_use]
pub fn lacking_for_looking() -> Vec<&'static str> {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    let effective = status.map_or(0, |status| status.capeff);
    CAPABILITIES[2..]
        .iter()
        .filter(|capability| !is_granted(effective, capability))
        .map(|capability| capability.name)
        .collect()
}

/// The same of a mask of capabilities.
///
/// # Errors
/// Names what is missing and needed.
pub fn missing_in(effective: u64) -> Result<Option<Missing>, Missing> {
    let (needed, useful): (Vec<_>, Vec<_>) = CAPABILITIES
        .iter()
        .filter(|capability| !is_granted(effective, capability))
        .partition(|capability| capability.is_needed);
    if needed.is_empty() {
        Ok((!useful.is_empty()).then_some(Missing(useful)))
    } else {
        Err(Missing(needed))
    }
}

fn is_granted(effective: u64, capability: &Capability) -> bool {
    let has = |bit: u32| effective & (1 << bit) != 0;
    has(capability.bit) || capability.is_of_admin && has(CAP_SYS_ADMIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_of_yamas_scopes_forbids_looking_to_who_may_trace() {
        let closed = ["0\n", "1\n", "2\n", "3\n"].map(is_closed_by);
        assert_eq!(closed, [false, false, false, true]);
    }

    #[test]
    fn admin_is_taken_where_the_kernel_has_nothing_less_or_asks_for_it() {
        // 5.4, 5.10, 6.6, and Debian's setting.
        assert!(takes_admin_where(Some(37), 2, false));
        assert!(takes_admin_where(Some(40), 2, false));
        assert!(!takes_admin_where(Some(40), 2, true) && !takes_admin_where(None, 2, true));
        assert!(takes_admin_where(Some(40), 3, true));
    }

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(missing_in(u64::MAX), Ok(None));
    }

    #[test]
    fn each_capability_has_a_message_of_its_own() {
        let all = CAPABILITIES.iter().fold(0, |all, one| all | 1 << one.bit);
        assert_eq!(missing_in(all), Ok(None));
        for capability in &CAPABILITIES {
            let missing = missing_in(all & !(1 << capability.bit));
            let (missing, is_needed) = match missing {
                Err(missing) => (missing, true),
                Ok(missing) => (missing.expect("something is missing"), false),
            };
            assert_eq!(is_needed, capability.is_needed, "{}", capability.name);
            let text = missing.to_string();
            let begins = format!(
                "missing {}, without which {}",
                capability.name, capability.without
            );
            assert!(text.starts_with(&begins), "{text}");
            assert!(
                text.contains("setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep")
            );
            assert_eq!(text.lines().count(), 1);
        }
    }

    #[test]
    fn an_ordinary_user_is_told_all_that_is_needed() {
        let text = missing_in(0).expect_err("nothing is granted").to_string();
        for name in ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"] {
            assert!(text.contains(&format!("{name}, without which")), "{text}");
        }
    }

    #[test]
    fn sys_admin_stands_for_what_was_split_off_it() {
        assert_eq!(missing_in(1 << CAP_SYS_ADMIN | 1 << 19 | 1 << 2), Ok(None));
    }
}
