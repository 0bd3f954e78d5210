//! What of processes can be seen, and of those that the settings select, what can be read of each.

use super::check::Check;
use super::machine::Machine;
use crate::config::Config;
use crate::discover::ForeignPids;
use crate::inspect::{self, Row, Sight};

/// Processes that get lines of their own.
const LINES_MAX: usize = 50;

/// All of it.
pub fn checks(machine: &Machine, config: &Config) -> Vec<Check> {
    let mut checks = vec![numbers(machine), sight(machine)];
    if config.discover.targets.is_empty() {
        checks.push(Check::warn(
            "targets",
            "no setting says which processes are watched",
            "set BEYLA_OPEN_PORT or BEYLA_AUTO_TARGET_EXE as a run would have it",
        ));
        return checks;
    }
    let pods = inspect::pods(config, Some(machine.service_account.clone()));
    let pods = pods.unwrap_or_default();
    let rows = inspect::survey(&machine.proc, config, &pods);
    checks.push(targets(&rows));
    checks.extend(rows.iter().flat_map(process).take(LINES_MAX));
    checks
}

fn numbers(machine: &Machine) -> Check {
    const CHECK: &str = "pid namespace";
    match machine.proc.check_pids() {
        Ok(()) => Check::pass(
            CHECK,
            "/proc shows the machine's processes by its own numbers",
        ),
        Err(ForeignPids) => Check::fail(
            CHECK,
            "/proc shows a pid namespace of its own, so that processes would be mistaken for \
             others",
            "run with the host's (Kubernetes: hostPID: true; Docker, Podman: --pid=host); on a \
             node that is itself a container (kind), run on the machine",
        ),
    }
}

fn sight(machine: &Machine) -> Check {
    const CHECK: &str = "processes";
    let sight = Sight::of(&machine.proc);
    if sight.is_whole() {
        return Check::pass(CHECK, sight.to_string());
    }
    let remedy = if sight.lacking.is_empty() {
        "see whether the kernel's log tells of denials by AppArmor or SELinux, and mount /proc \
         without hidepid"
            .to_owned()
    } else {
        format!("grant {}", sight.lacking.join(" and "))
    };
    Check::warn(CHECK, sight.to_string(), remedy)
}

fn targets(rows: &[Row]) -> Check {
    const CHECK: &str = "targets";
    match rows.len() {
        0 => Check::warn(
            CHECK,
            "no process matches now; a run waits for one",
            "compare with the ports and programs of `wirespan processes`",
        ),
        1 => Check::pass(CHECK, "1 process would be watched"),
        many => Check::pass(CHECK, format!("{many} processes would be watched")),
    }
}

/// What of a process can't be read.
fn process(row: &Row) -> Vec<Check> {
    const CHECK: &str = "target";
    let who = format!("{} (pid {})", row.service_name, row.pid);
    let uncopied = row.uncopied.iter().map(|uncopied| {
        let remedy = "see `wirespan explain` of it";
        Check::warn(CHECK, format!("{who}: {}", uncopied.sentence()), remedy)
    });
    let tls = row.tls.iter().filter_map(|tls| {
        let reason = tls.reason.as_ref()?;
        let found = format!("{who}: TLS of {} can't be read: {reason}", tls.file);
        let remedy = "a build of it with symbols, or a library that can be read (README, TLS)";
        Some(Check::warn(CHECK, found, remedy))
    });
    let mut checks: Vec<_> = uncopied.chain(tls).collect();
    if checks.is_empty() {
        let tls = row.tls.iter().filter_map(|tls| tls.library);
        let tls: Vec<_> = tls.collect();
        let found = if tls.is_empty() {
            format!("{who}: its calls can be read; no TLS was found in its files")
        } else {
            format!(
                "{who}: its calls can be read, and TLS of {}",
                tls.join(", ")
            )
        };
        checks.push(Check::pass(CHECK, found));
    }
    checks
}
