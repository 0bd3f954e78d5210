//! Why the kernel refused something, in one line that a user can act on. It tries nothing again.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use crate::visible::Visible;

/// The lockdown modes with the one in force in brackets (security/lockdown/lockdown.c).
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// Where aya's error for a refused program begins to quote the verifier.
const QUOTES_VERIFIER: &str = "Verifier output:";

/// An error with its causes, in one line. The verifier's log, which has many, is logged at level
/// trace; its verdict stays.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let said = with_causes(error);
    // A log of the verifier has thousands of lines.
    for line in said.lines() {
        log::trace!("{}", Visible(line));
    }
    let line = without_log(&said);
    let lockdown = || std::fs::read_to_string(LOCKDOWN).unwrap_or_default();
    match advice(&line, refusal(error), lockdown, paranoia) {
        Some(advice) => format!("{line} ({advice})"),
        None => line,
    }
}

/// The error and its causes; one that was quoted already is not said again.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for part in causes(error).map(ToString::to_string) {
        if said.contains(&part) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&part);
    }
    said
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What was said, with the verifier's verdict in the place of its log.
fn without_log(said: &str) -> String {
    let Some((before, log)) = said.split_once(QUOTES_VERIFIER) else {
        return joined(said);
    };
    let before = joined(before);
    match verdict(log) {
        Some(verdict) => format!("{before} verifier: {verdict}"),
        None => before.trim_end_matches('.').to_owned(),
    }
}

/// The last line of a verifier's log that is about the program, not about the verifier's work.
pub fn verdict(log: &str) -> Option<&str> {
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !is_statistics(line))
}

/// As `print_verification_stats` writes them (kernel/bpf/verifier.c).
fn is_statistics(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "]
        .iter()
        .any(|beginning| line.starts_with(beginning))
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How the kernel refuses. The verifier says EACCES to a program that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KernelRefusal {
    /// EPERM.
    NotPermitted,
    /// EACCES.
    Access,
    /// Anything else.
    Other,
}

fn refusal(error: &(dyn Error + 'static)) -> KernelRefusal {
    let has = |errno: Errno| {
        causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.raw_os_error() == Some(errno.raw_os_error()))
    };
    if has(Errno::PERM) {
        KernelRefusal::NotPermitted
    } else if has(Errno::ACCESS) {
        KernelRefusal::Access
    } else {
        KernelRefusal::Other
    }
}

/// The level of `kernel.perf_event_paranoid`; mainline knows none above 2.
pub fn paranoia() -> i32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    let level = text.ok().and_then(|text| text.trim().parse().ok());
    level.unwrap_or_default()
}

/// What may be behind it. The effective capabilities were looked at before, so a refusal has
/// another ground.
fn advice(
    line: &str,
    refusal: KernelRefusal,
    lockdown: impl FnOnce() -> String,
    paranoia: impl FnOnce() -> i32,
) -> Option<&'static str> {
    let not_permitted = refusal == KernelRefusal::NotPermitted;
    // Debian's and Ubuntu's kernels have a level that asks for CAP_SYS_ADMIN.
    if line.contains("perf_event_open") && refusal != KernelRefusal::Other && paranoia() > 2 {
        return Some(
            "kernel.perf_event_paranoid is above 2, where this kernel wants CAP_SYS_ADMIN for \
             probes: set it to 2 with sysctl, or grant CAP_SYS_ADMIN",
        );
    }
    // Under lockdown the verifier is not told of the helper: "unknown func" before 6.8, "program of
    // this type cannot use helper" since.
    let lacks_reading = line.contains("bpf_probe_read");
    if !not_permitted && !lacks_reading {
        return None;
    }
    if lockdown().contains("[confidentiality]") {
        return Some(
            "the kernel is locked down in confidentiality mode, where no program may read its \
             memory: boot with lockdown=integrity or less",
        );
    }
    not_permitted.then_some(
        "the capabilities are there, so a security profile (seccomp, AppArmor, SELinux), a user \
         namespace or, before kernel 5.11, the limit on locked memory (ulimit -l) is in the way",
    )
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// As aya's for a program that did not load.
    #[derive(Debug)]
    struct Refused {
        log: &'static str,
        cause: io::Error,
    }

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { log, cause } = self;
            write!(
                f,
                "the BPF_PROG_LOAD syscall returned {cause}. Verifier output: {log}"
            )
        }
    }

    impl Error for Refused {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.cause)
        }
    }

    fn refused(errno: i32, log: &'static str) -> Refused {
        let cause = io::Error::from_raw_os_error(errno);
        Refused { log, cause }
    }

    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const EINVAL: i32 = 22;
    const NOT_LOCKED: &str = "[none] integrity confidentiality\n";
    const LOCKED: &str = "none integrity [confidentiality]\n";

    #[test]
    fn of_the_verifiers_log_the_verdict_remains() {
        let log = "\
0: R1=ctx(off=0,imm=0) R10=fp0
; fn returned(calls: Calls, ctx: &FExitContext) -> i32 { @ fexit.rs:15
0: (79) r6 = *(u64 *)(r1 +8)
41: (71) r1 = *(u8 *)(r7 +0)
R7 invalid mem access 'scalar'
verification time 123 usec
stack depth 96+0
processed 42 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 3 mark_read 1

";
        assert_eq!(
            without_log(&with_causes(&refused(EINVAL, log))),
            "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22). verifier: R7 \
             invalid mem access 'scalar'"
        );
    }

    #[test]
    fn without_a_log_there_is_no_verdict() {
        assert_eq!(
            without_log(&with_causes(&refused(EINVAL, ""))),
            "the BPF_PROG_LOAD syscall returned Invalid argument (os error 22)"
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = io::Error::other(refused(EINVAL, "R1 !read_ok\n"));
        let said = with_causes(&error);
        assert_eq!(said.matches("os error 22").count(), 1, "{said}");
    }

    #[test]
    fn a_cause_that_was_not_quoted_follows() {
        #[derive(Debug)]
        struct Attaching(io::Error);
        impl fmt::Display for Attaching {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`perf_event_open` failed")
            }
        }
        impl Error for Attaching {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Attaching(io::Error::from_raw_os_error(2));
        assert_eq!(
            one_line(&error),
            "`perf_event_open` failed: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_refusal_is_told_from_a_fault() {
        assert_eq!(refusal(&refused(EPERM, "")), KernelRefusal::NotPermitted);
        assert_eq!(refusal(&refused(EACCES, "")), KernelRefusal::Access);
        assert_eq!(refusal(&refused(EINVAL, "")), KernelRefusal::Other);
    }

    #[test]
    fn advice_names_lockdown_where_it_is_in_force() {
        let of = |line, not_permitted, lockdown: &str| {
            let refusal = if not_permitted {
                KernelRefusal::NotPermitted
            } else {
                KernelRefusal::Access
            };
            advice(line, refusal, || lockdown.to_owned(), || 2).unwrap_or_default()
        };
        let helper = "verifier: unknown func bpf_probe_read_kernel#113";
        assert!(of(helper, false, LOCKED).contains("lockdown=integrity"));
        assert!(of("", true, LOCKED).contains("lockdown=integrity"));
        assert!(of("", true, NOT_LOCKED).contains("seccomp"));
        assert!(of("", true, "").contains("seccomp"));
        assert_eq!(of(helper, false, NOT_LOCKED), "");
        assert_eq!(of("verifier: R1 !read_ok", false, LOCKED), "");
    }

    #[test]
    fn advice_names_the_level_above_those_of_mainline() {
        let of = |line, refusal, level| {
            advice(line, refusal, || NOT_LOCKED.to_owned(), || level).unwrap_or_default()
        };
        let line = "`perf_event_open` failed: Permission denied (os error 13)";
        for refusal in [KernelRefusal::Access, KernelRefusal::NotPermitted] {
            assert!(of(line, refusal, 3).contains("kernel.perf_event_paranoid is above 2"));
        }
        assert_eq!(of(line, KernelRefusal::Access, 2), "");
        assert_eq!(of(line, KernelRefusal::Other, 4), "");
        assert_eq!(of("verifier: R1 !read_ok", KernelRefusal::Access, 4), "");
    }
}
