//! What a machine may deny, and what is to come of it: a run that works, or one line.

/// The test that is run in each.
pub const EXECUTABLE: &str = "conditions";

/// Something that is denied.
pub struct Condition {
    pub name: &'static str,
    /// What the kernel was compiled without, as the name of such a one ends; nothing if it is
    /// empty.
    pub without: &'static str,
    /// On the kernel's command line.
    pub parameters: &'static str,
    /// What a shell does; only mounts are undone.
    shell: &'static str,
    outcome: Outcome,
}

/// What is to come of a run.
enum Outcome {
    Works,
    /// It is refused in a line with this in it.
    Refused(&'static str),
}

impl Condition {
    const fn new(name: &'static str, shell: &'static str, outcome: Outcome) -> Self {
        Self {
            name,
            without: "",
            parameters: "",
            shell,
            outcome,
        }
    }

    /// On a kernel that was compiled without something, and so has no types either.
    const fn compiled_without(name: &'static str, without: &'static str) -> Self {
        Self {
            without,
            ..Self::new(name, "", Outcome::Works)
        }
    }

    /// For the shell that runs the test.
    pub fn preparation(&self) -> String {
        let told = match self.outcome {
            Outcome::Works => String::new(),
            Outcome::Refused(named) => format!("export WIRESPAN_TEST_REFUSAL='{named}'"),
        };
        format!("set -e; {}\n{told}", self.shell)
    }
}

/// All of them, those last that can't be undone in the same machine.
pub const CONDITIONS: [Condition; 12] = [
    Condition::new(
        "no tracefs, no debugfs",
        "umount /sys/kernel/debug /sys/kernel/tracing",
        Outcome::Works,
    ),
    Condition::new(
        "cgroups of version 1 alone",
        "umount /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; \
         mkdir /sys/fs/cgroup/pids /sys/fs/cgroup/systemd; \
         mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd; \
         mount -t cgroup -o pids none /sys/fs/cgroup/pids",
        Outcome::Works,
    ),
    Condition::new(
        "no cgroups mounted",
        "umount /sys/fs/cgroup",
        Outcome::Works,
    ),
    Condition::new("locked memory of 64 KiB", "ulimit -l 64", Outcome::Works),
    Condition::new(
        "no types of the kernel (BTF)",
        "mount -t tmpfs none /sys/kernel/btf",
        Outcome::Works,
    ),
    Condition::new(
        "perf_event_paranoid 3",
        "echo 3 >/proc/sys/kernel/perf_event_paranoid",
        Outcome::Works,
    ),
    Condition::new(
        "unprivileged_bpf_disabled",
        "echo 1 >/proc/sys/kernel/unprivileged_bpf_disabled",
        Outcome::Works,
    ),
    Condition::new(
        "lockdown: integrity",
        "mount -t securityfs none /sys/kernel/security; \
         echo integrity >/sys/kernel/security/lockdown",
        Outcome::Works,
    ),
    Condition::new(
        "lockdown: confidentiality",
        "mount -t securityfs none /sys/kernel/security; \
         echo confidentiality >/sys/kernel/security/lockdown",
        Outcome::Refused("lockdown"),
    ),
    Condition {
        name: "clocksource jiffies",
        without: "",
        parameters: "clocksource=jiffies nohz=off highres=off",
        shell: "grep jiffies /sys/devices/system/clocksource/clocksource0/current_clocksource",
        outcome: Outcome::Works,
    },
    Condition::compiled_without("a kernel without kprobes and types", "no-kprobes"),
    Condition::compiled_without("a kernel without uprobes and types", "no-uprobes"),
];
