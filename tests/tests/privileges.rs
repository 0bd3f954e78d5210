//! What the daemon says when it may not do what it needs, each capability by itself.

use std::process::Command;

use wirespan_tests::daemon::{Daemon, binary, run_to_end};
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::workload::Server;

const CAPABILITIES: [&str; 4] = ["bpf", "perfmon", "sys_ptrace", "dac_read_search"];

/// The daemon with the documented capabilities but for one.
fn without(dropped: &str) -> Command {
    let kept: Vec<_> = CAPABILITIES
        .into_iter()
        .filter(|capability| *capability != dropped)
        .map(|capability| format!(",+{capability}"))
        .collect();
    let mut command = tied("setpriv");
    command
        .arg("--inh-caps=-all")
        .arg(format!("--bounding-set=-all{}", kept.concat()))
        .arg(binary());
    command
}

#[test]
fn each_capability_that_is_needed_is_missed_by_its_name_and_use() {
    for (dropped, says) in [
        (
            "bpf",
            "missing CAP_BPF, without which the kernel takes no eBPF programs",
        ),
        (
            "perfmon",
            "missing CAP_PERFMON, without which eBPF programs may not trace",
        ),
        (
            "sys_ptrace",
            "missing CAP_SYS_PTRACE, without which the executables, sockets and libraries of \
             other users' processes",
        ),
    ] {
        let mut command = without(dropped);
        command.args(["--open-port", "20000", "--printer", "text"]);
        let (code, _, log) = run_to_end(&mut command);
        assert_eq!(code, Some(1), "{log:?}");
        let last = log.last().expect("a line");
        assert!(last.contains(says) && last.contains("setcap"), "{last}");
        // Whose setting does not help.
        let setting = "(whatever kernel.perf_event_paranoid says)";
        assert_eq!(last.contains(setting), dropped == "perfmon", "{last}");
    }
}

#[test]
fn without_dac_read_search_it_starts_and_says_that_it_sees_less() {
    let server = Server::python();
    let mut command = without("dac_read_search");
    command.args(["--target-pid", &server.process.pid().to_string()]);
    command.args(["--printer", "text"]);
    let process = Process::start("wirespan", &mut command);
    let line = process.stderr.wait_for_line(LIMIT, "missing CAP_");
    let line = line.unwrap_or_else(|| panic!("{}", process.story()));
    assert!(
        line.contains("CAP_DAC_READ_SEARCH, without which"),
        "{line}"
    );
    assert!(line.contains("FEWER PROCESSES ARE WATCHED"), "{line}");
    let ready = process.stderr.wait_for_line(LIMIT, "wirespan: ready");
    assert!(ready.is_some(), "{}", process.story());
}

#[test]
fn a_list_names_the_capability_that_it_lacks_for_looking() {
    // Somebody else's, which root without capabilities may not look into.
    let mut other = tied("setpriv");
    other.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "sleep",
        "600",
    ]);
    let _other = Process::start("sleep", &mut other);
    for (dropped, says) in [
        ("sys_ptrace", "with CAP_SYS_PTRACE"),
        ("dac_read_search", "with CAP_DAC_READ_SEARCH"),
    ] {
        let mut command = without(dropped);
        command.args(["processes", "--auto-target-exe", "*/sleep"]);
        let (code, _, log) = run_to_end(&mut command);
        let last = log.last().expect("a line");
        assert!(last.contains(says), "{dropped}: {code:?} {last}");
        assert_eq!(code, Some(1), "{last}");
    }
    // What it needs for tracing only is not missed.
    for dropped in ["bpf", "perfmon"] {
        let mut command = without(dropped);
        command.args(["processes", "--auto-target-exe", "*/sleep"]);
        let (code, _, log) = run_to_end(&mut command);
        assert_eq!(code, Some(0), "{dropped}: {log:?}");
    }
}

#[test]
fn a_list_that_may_lack_processes_says_so_and_is_no_success() {
    let server = Server::python();
    let pid = server.process.pid().to_string();
    let mut command = tied("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary())
        .args(["processes", "--target-pid", &pid]);
    let (code, printed, log) = run_to_end(&mut command);
    assert_eq!(printed, ["no process matches"]);
    assert_eq!(code, Some(1), "{log:?}");
    let last = log.last().expect("a line");
    assert!(
        last.contains("processes could not be looked into"),
        "{last}"
    );
    assert!(
        last.contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
        "{last}"
    );
}

#[test]
fn who_waits_for_a_process_says_what_was_looked_at() {
    let server = Server::python();
    // The server's neighbour, which nobody listens on.
    let mut daemon = Daemon::start(&[("BEYLA_EXECUTABLE_NAME", "^/no/such/executable$")]);
    let line = daemon
        .process()
        .stderr
        .wait_for_line(LIMIT, "waiting for a process that matches")
        .expect("nothing matches");
    assert!(line.contains("looked at"), "{line}");
    assert!(line.contains(&server.port.to_string()), "{line}");
    let _ = daemon.stop();
}
