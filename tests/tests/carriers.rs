//! Trace context carried to other nodes: only where the kernel passes the self-test.

use wirespan_tests::cgroup::SocketGroup;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::workload::Server;

/// Whoever runs in the group; what it prints.
fn within(group: &SocketGroup, url: &str) -> Vec<String> {
    let mut command = tied("sh");
    let joined = format!(
        "echo $$ > {}/cgroup.procs && exec curl -sS -H 'X: y' {url}",
        group.path().display()
    );
    command.args(["-c", &joined]);
    let process = Process::start("curl", &mut command);
    process.succeed()
}

#[test]
fn headers_are_carried_only_where_the_self_test_passes() {
    let group = match SocketGroup::new("wirespan-carriers") {
        Ok(group) => group,
        Err(reason) => return eprintln!("not tried: {reason}"),
    };
    let server = Server::python();
    let mut daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", "*/curl"),
        ("BEYLA_OPEN_PORT", &server.port.to_string()),
        ("BEYLA_BPF_CONTEXT_PROPAGATION", "headers"),
        (
            "WIRESPAN_CONTEXT_PROPAGATION_CGROUP",
            group.path().to_str().expect("text"),
        ),
    ]);
    let stderr = &daemon.process().stderr;
    let said = stderr.wait_for_line(LIMIT, "their trace in header fields");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it tells");
    let said = said.unwrap_or_default();
    if release.starts_with("6.18.44") {
        // It tells of no bytes on an enrolled socket: a proxy would wait for ever.
        let reason = "with 100 bytes waiting, FIONREAD on an enrolled socket tells 0";
        assert!(said.contains(reason), "{said}");
    } else if release.starts_with("6.1.") || release.starts_with("6.12.") {
        assert!(said.contains("calls of watched processes carry"), "{said}");
    } else if release.starts_with("5.10.") {
        assert!(said.contains("bpf_loop"), "{said}");
    }
    // Either way calls go on as they were: of none is it known on whose behalf it is made.
    for _ in 0..3 {
        within(&group, &server.url("/plain"));
    }
    let spans = daemon.wait_for_count(6);
    assert_eq!(spans.len(), 6);
    daemon.stop();
}
