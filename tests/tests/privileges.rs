//! What the daemon says when it may not do what it needs, each capability by itself.

use std::process::Command;

use wirespan_tests::daemon::{Daemon, binary, run_to_end};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::workload::{Server, curl};

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
        // Before 5.11 maps count as locked memory, which is little without it.
        .arg(format!(
            "--bounding-set=-all,+sys_resource{}",
            kept.concat()
        ))
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

/// What each thread may do: its name, and its permitted and effective capabilities.
fn rights(pid: u32) -> Vec<(String, u64, u64)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let status = tasks.flatten().filter_map(|task| {
        // A thread may have ended since.
        std::fs::read_to_string(task.path().join("status")).ok()
    });
    status
        .map(|status| {
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.expect("the kernel tells").trim().to_owned()
            };
            assert_eq!(field("NoNewPrivs:"), "1", "{status}");
            assert_eq!(field("CapAmb:"), "0000000000000000", "{status}");
            let mask = |name| u64::from_str_radix(&field(name), 16).expect("a mask");
            (field("Name:"), mask("CapPrm:"), mask("CapEff:"))
        })
        .collect()
}

#[test]
fn what_a_run_does_without_is_given_up_on_all_threads_and_the_log_says_what_is_kept() {
    let server = Server::python();
    let settings = [
        ("BEYLA_TARGET_PID", &*server.process.pid().to_string()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("BEYLA_HEALTH_CHECK_PORT", &ports::free().to_string()),
    ];
    let mut daemon = Daemon::start(&settings);
    let says = "keeps CAP_BPF to load programs and write their maps; CAP_PERFMON to ";
    let line = daemon.process().stderr.wait_for_line(LIMIT, says);
    let line = line.unwrap_or_else(|| panic!("{}", daemon.process().story()));
    let admin = 1 << 21;
    // bpf, perfmon, sys_ptrace, dac_read_search, checkpoint_restore, lease; what came with 5.8 and
    // 5.9 is admin's before.
    let kept: u64 = 1 << 39 | 1 << 38 | 1 << 19 | 1 << 2 | 1 << 40 | 1 << 28;
    // Which it says where it is so.
    let keeps_admin = line.contains("CAP_SYS_ADMIN to place probes");
    let kept = if keeps_admin { kept | admin } else { kept };
    let rights = rights(daemon.process().pid());
    for (thread, permitted, effective) in &rights {
        assert_eq!(permitted & !kept, 0, "{thread}: {permitted:#x}");
        assert_eq!(permitted, effective, "{thread}");
    }
    // Who speaks with a network, or with who reads the log, has none.
    for without in ["export", "health", "log", "signals"] {
        let mut of = rights.iter().filter(|(thread, _, _)| thread == without);
        assert!(of.clone().count() > 0, "{without}: {rights:?}");
        assert!(of.all(|(_, permitted, _)| *permitted == 0), "{without}");
    }
    // What it kept is enough to see and to end.
    let _ = curl(&[&server.url("/seen")]);
    daemon.wait_for_count(1);
    let _ = daemon.stop();
}

#[test]
fn who_keeps_all_privileges_gives_up_none() {
    let server = Server::python();
    let mut daemon = Daemon::start(&[
        ("BEYLA_TARGET_PID", &server.process.pid().to_string()),
        ("WIRESPAN_KEEP_PRIVILEGES", "true"),
    ]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process().pid()));
    let status = status.expect("it runs");
    let own = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let of = |status: &str| {
        let lines = status.lines();
        let fields = ["CapPrm:", "CapBnd:", "Seccomp:", "NoNewPrivs:"];
        let told = lines.filter(|line| fields.iter().any(|it| line.starts_with(it)));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&status), of(&own));
    let _ = daemon.stop();
}
