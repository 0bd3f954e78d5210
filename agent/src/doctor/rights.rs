//! What this process may do: capabilities, and what stands beside them in the way of using them.

use super::check::Check;
use super::machine::Machine;
use crate::capture::privileges;

/// All of it.
pub fn checks(machine: &Machine) -> Vec<Check> {
    vec![
        capabilities(machine),
        seccomp(machine),
        security_module(machine),
        yama(machine),
        lockdown(machine),
        paranoia(machine),
    ]
}

/// Whether a run would begin at all.
pub fn may_start(machine: &Machine) -> bool {
    let effective = machine.capabilities();
    effective.is_none_or(|it| privileges::missing_in(it).is_ok())
}

fn capabilities(machine: &Machine) -> Check {
    const CHECK: &str = "capabilities";
    let Some(effective) = machine.capabilities() else {
        return Check::warn(
            CHECK,
            "what this process may do can't be read",
            "mount a proc file system on /proc",
        );
    };
    match privileges::missing_in(effective) {
        Ok(None) => Check::pass(CHECK, "all that a run needs are there"),
        Ok(Some(missing)) => Check::warn(CHECK, missing.what(), privileges::remedy()),
        Err(missing) => Check::fail(CHECK, missing.what(), privileges::remedy()),
    }
}

fn seccomp(machine: &Machine) -> Check {
    const CHECK: &str = "seccomp";
    // A number of `SECCOMP_MODE_*` (include/uapi/linux/seccomp.h).
    match machine.status("Seccomp").as_deref() {
        Some("0") | None => Check::pass(CHECK, "no system call is filtered"),
        Some(_) => Check::pass(
            CHECK,
            "system calls are filtered; whether those let through suffice is seen below",
        ),
    }
}

fn security_module(machine: &Machine) -> Check {
    const CHECK: &str = "security module";
    let modules = machine.sys("kernel/security/lsm");
    let modules = modules.unwrap_or_else(|| "not told (securityfs is not mounted)".to_owned());
    let label = machine.own("attr/current").unwrap_or_default();
    let label = label.trim_end_matches('\0');
    let found = format!("modules: {modules}; this process: {}", or_none(label));
    if label.ends_with("(enforce)") {
        return Check::warn(
            CHECK,
            found,
            "an AppArmor profile may forbid to look into other processes: run with \
             appArmorProfile: {type: Unconfined} (Docker: --security-opt apparmor=unconfined)",
        );
    }
    if label.contains(":container_t:") {
        return Check::warn(
            CHECK,
            found,
            "SELinux forbids eBPF to container_t: run as spc_t (seLinuxOptions: {type: spc_t})",
        );
    }
    Check::pass(CHECK, found)
}

fn or_none(text: &str) -> &str {
    if text.is_empty() {
        "not confined"
    } else {
        text
    }
}

fn yama(machine: &Machine) -> Check {
    const CHECK: &str = "ptrace_scope";
    match machine.sysctl("kernel/yama/ptrace_scope") {
        None => Check::pass(CHECK, "Yama is not there"),
        Some(scope) if privileges::is_closed_by(&scope) => Check::warn(
            CHECK,
            "kernel.yama.ptrace_scope is 3: nobody may look into the memory of processes, so that \
             no TLS is read and fewer calls are linked",
            "set it to 2 or less, which takes a restart of the machine",
        ),
        Some(scope) => Check::pass(CHECK, format!("kernel.yama.ptrace_scope is {scope}")),
    }
}

fn lockdown(machine: &Machine) -> Check {
    const CHECK: &str = "lockdown";
    match machine.sys("kernel/security/lockdown") {
        None => Check::pass(CHECK, "none, or securityfs is not mounted"),
        Some(modes) if modes.contains("[confidentiality]") => Check::fail(
            CHECK,
            "the kernel is locked down in confidentiality mode, where no program may read its \
             memory",
            "boot with lockdown=integrity or less",
        ),
        Some(modes) => Check::pass(CHECK, modes),
    }
}

fn paranoia(machine: &Machine) -> Check {
    const CHECK: &str = "perf_event_paranoid";
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let level = machine.sysctl("kernel/perf_event_paranoid");
    let Some(level) = level.and_then(|level| level.parse::<i32>().ok()) else {
        return Check::pass(CHECK, "not told");
    };
    let found = format!("kernel.perf_event_paranoid is {level}");
    let is_admin = machine
        .capabilities()
        .is_none_or(|it| it & CAP_SYS_ADMIN != 0);
    // Debian's and Ubuntu's kernels have levels that mainline has not.
    if level > 2 && !is_admin {
        return Check::warn(
            CHECK,
            format!("{found}, where this kernel wants CAP_SYS_ADMIN for each single probe"),
            "nothing, where `TLS probes` below says that many are placed by one link; else set it \
             to 2 with sysctl, or grant CAP_SYS_ADMIN",
        );
    }
    Check::pass(CHECK, found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::check::Grade;
    use super::*;
    use crate::discover::ProcRoot;

    /// A machine of which these files say this.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("created");
            fs::write(path, text).expect("written");
        }
        let machine = Machine {
            proc: ProcRoot::at(dir.path().join("proc")),
            sys: dir.path().join("sys"),
            service_account: dir.path().join("account"),
        };
        (dir, machine)
    }

    fn graded(check: fn(&Machine) -> Check, files: &[(&str, &str)]) -> (Grade, String) {
        let (_dir, machine) = machine(files);
        let check = check(&machine);
        assert_eq!(check.remedy.is_some(), check.grade != Grade::Pass);
        (check.grade, check.found)
    }

    #[test]
    fn capabilities_are_judged_by_what_a_run_needs() {
        let of = |mask: u64| {
            let status = format!("Name:\twirespan\nCapEff:\t{mask:016x}\nSeccomp:\t0\n");
            graded(capabilities, &[("proc/self/status", &status)])
        };
        assert_eq!(of(u64::MAX).0, Grade::Pass);
        let without_bpf = of(!(1 << 39 | 1 << 21));
        assert_eq!(without_bpf.0, Grade::Fail);
        assert!(without_bpf.1.contains("CAP_BPF"), "{}", without_bpf.1);
        let without_search = of(!(1 << 2));
        assert_eq!(without_search.0, Grade::Warn);
        assert!(without_search.1.contains("CAP_DAC_READ_SEARCH"));
        assert_eq!(graded(capabilities, &[]).0, Grade::Warn);
    }

    #[test]
    fn lockdown_yama_and_the_level_of_perf_events_are_judged() {
        let lock = "sys/kernel/security/lockdown";
        let of = |text| graded(lockdown, &[(lock, text)]).0;
        assert_eq!(of("none integrity [confidentiality]\n"), Grade::Fail);
        assert_eq!(of("none [integrity] confidentiality\n"), Grade::Pass);
        assert_eq!(graded(lockdown, &[]).0, Grade::Pass);
        let scope = "proc/sys/kernel/yama/ptrace_scope";
        assert_eq!(graded(yama, &[(scope, "3\n")]).0, Grade::Warn);
        assert_eq!(graded(yama, &[(scope, "1\n")]).0, Grade::Pass);
        let level = "proc/sys/kernel/perf_event_paranoid";
        let few = ("proc/self/status", "CapEff:\t000000c000080004\n");
        assert_eq!(graded(paranoia, &[(level, "4\n"), few]).0, Grade::Warn);
        assert_eq!(graded(paranoia, &[(level, "2\n"), few]).0, Grade::Pass);
        let all = ("proc/self/status", "CapEff:\t000001ffffffffff\n");
        assert_eq!(graded(paranoia, &[(level, "4\n"), all]).0, Grade::Pass);
    }

    #[test]
    fn who_is_confined_is_told_by_what() {
        let label = "proc/self/attr/current";
        let of = |text| graded(security_module, &[(label, text)]);
        assert_eq!(of("docker-default (enforce)\n").0, Grade::Warn);
        let selinux = of("system_u:system_r:container_t:s0:c1,c2\0");
        assert_eq!(selinux.0, Grade::Warn);
        assert!(selinux.1.ends_with("container_t:s0:c1,c2"), "{}", selinux.1);
        assert_eq!(of("system_u:system_r:spc_t:s0\0").0, Grade::Pass);
        assert_eq!(of("unconfined\n").0, Grade::Pass);
        assert!(graded(security_module, &[]).1.ends_with("not confined"));
    }
}
