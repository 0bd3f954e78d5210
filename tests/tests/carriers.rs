//! Trace context carried to other nodes: only where the kernel passes the self-test, and then with
//! the ids of the span that is exported.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use wirespan_tests::cgroup::SocketGroup;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::process::{LIMIT, Process, tied};

/// An unobserved server, which takes one connection and returns the heads of its requests.
fn server(requests: usize) -> (u16, JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serves = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a client");
        let reader = connection.try_clone().expect("a descriptor");
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
        let mut heads = Vec::new();
        for _ in 0..requests {
            let head = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            heads.push(head);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            connection.write_all(answer).expect("it takes the answer");
        }
        heads
    });
    (port, serves)
}

/// Runs curl in the group, with three requests on one connection.
fn ask(group: &SocketGroup, port: u16) {
    let url = format!("http://127.0.0.1:{port}");
    let joined = format!(
        "echo $$ > {}/cgroup.procs && exec curl -sS {url}/first {url}/second {url}/third",
        group.path().display()
    );
    let mut command = tied("sh");
    command.args(["-c", &joined]);
    Process::start("curl", &mut command).succeed();
}

/// The fields of a head that name a trace.
fn contexts(head: &[String]) -> Vec<&str> {
    let named = head
        .iter()
        .filter_map(|line| line.strip_prefix("traceparent: "));
    named.collect()
}

#[test]
fn headers_are_carried_only_where_the_self_test_passes() {
    let group = match SocketGroup::new("wirespan-carriers") {
        Ok(group) => group,
        Err(reason) => return eprintln!("not tried: {reason}"),
    };
    let mut daemon = Daemon::start(&[
        ("BEYLA_AUTO_TARGET_EXE", "*/curl"),
        ("BEYLA_BPF_CONTEXT_PROPAGATION", "headers"),
        (
            "WIRESPAN_CONTEXT_PROPAGATION_CGROUP",
            group.path().to_str().expect("text"),
        ),
    ]);
    let stderr = &daemon.process().stderr;
    let said = stderr.wait_for_line(LIMIT, "carry their trace");
    let said = said.unwrap_or_default();
    let (port, serves) = server(3);
    ask(&group, port);
    let heads = serves.join().expect("no panic");
    let spans = daemon.wait_for_count(3);
    daemon.stop();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("it tells");
    if release.starts_with("6.1.") || release.starts_with("6.12.") {
        assert!(said.contains("calls of watched processes carry"), "{said}");
        for (head, span) in heads.iter().zip(&spans) {
            let expected = format!("00-{}-{}-01", span.trace_id, span.span_id);
            assert_eq!(contexts(head), [expected], "{head:?} {span:?}");
            assert!(span.parent_span_id.is_empty(), "{span:?}");
        }
        return;
    }
    if release.starts_with("6.18.44") {
        // It tells of no bytes on an enrolled socket: a proxy would wait for ever.
        let reason = "with 100 bytes waiting, FIONREAD on an enrolled socket tells 0";
        assert!(said.contains(reason), "{said}");
    } else if release.starts_with("5.10.") {
        assert!(said.contains("bpf_loop"), "{said}");
    } else if said.contains("calls of watched processes carry") {
        return;
    }
    assert!(
        heads.iter().all(|head| contexts(head).is_empty()),
        "{heads:?}"
    );
}
