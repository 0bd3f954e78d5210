//! Whether the process may do what capture needs. It asks for nothing and changes nothing.

use std::fmt;

/// Capabilities by bit (include/uapi/linux/capability.h).
const CAP_SYS_PTRACE: (u32, &str) = (19, "CAP_SYS_PTRACE");
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: (u32, &str) = (38, "CAP_PERFMON");
const CAP_BPF: (u32, &str) = (39, "CAP_BPF");
const CAP_DAC_READ_SEARCH: (u32, &str) = (2, "CAP_DAC_READ_SEARCH");

/// Capabilities that the process lacks.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing(Vec<&'static str>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH]
            .map(|(_, name)| name.to_lowercase())
            .join(",");
        write!(
            f,
            "missing {}: run as root (sudo), or grant the capabilities to the binary with `setcap \
             {granted}+ep`, or in a container under securityContext.capabilities.add",
            self.0.join(", ")
        )
    }
}

/// Checks the effective capabilities of this process.
///
/// # Errors
/// Names what is missing.
pub fn check() -> Result<(), Missing> {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    // Without procfs there is nothing to check by; loading will tell.
    status.map_or(Ok(()), |status| missing_in(status.capeff))
}

fn missing_in(effective: u64) -> Result<(), Missing> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    // CAP_SYS_ADMIN includes the other two (5.8 split them off).
    let granted = |bit: u32| has(bit) || (bit >= CAP_PERFMON.0 && has(CAP_SYS_ADMIN));
    let missing: Vec<_> = [CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE]
        .into_iter()
        .filter(|&(bit, _)| !granted(bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(missing_in(u64::MAX), Ok(()));
    }

    #[test]
    fn an_ordinary_user_is_told_each_capability_and_the_remedy() {
        let text = missing_in(0).expect_err("nothing is granted").to_string();
        assert!(text.starts_with("missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE: run as root"));
        assert!(text.contains("setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep"));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn sys_admin_stands_for_what_was_split_off_it() {
        assert_eq!(
            missing_in(1 << CAP_SYS_ADMIN | 1 << CAP_SYS_PTRACE.0),
            Ok(())
        );
    }
}
