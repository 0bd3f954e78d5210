//! A daemon in a small control group, and peers that ask for more memory than that.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use wirespan_tests::cgroup::MemoryGroup;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::eventually;

/// Loading alone takes 130 MiB on kernels that charge the verifier's memory.
const GROUP_BYTES: u64 = 144 << 20;
const CONNECTIONS: u32 = 400;
const STREAMS: u32 = 100;
const PATH_BYTES: usize = 6 * 1024;

#[test]
fn in_a_small_control_group_it_survives_peers_that_are_never_answered() {
    let group = match MemoryGroup::new("wirespan-test", GROUP_BYTES) {
        Ok(group) => group,
        // Where the controller is not handed down, nobody can show it.
        Err(reason) => return eprintln!("skipped: no memory control group: {reason}"),
    };
    let port = ports::free();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/memory/server.py");
    let server = Process::start("server", tied("python3").arg(program).arg(port.to_string()));
    server.expect_line("ready");
    let daemon = Daemon::start_within(group.path(), &[("BEYLA_OPEN_PORT", &port.to_string())]);
    daemon.wait_until_watching(server.pid());
    let healthy = || {
        let mut wire = Wire::connect(port);
        wire.send("GET /healthy HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(wire.answer(false).status, 200);
    };
    healthy();
    daemon.wait_for_count(1);

    // Under such a load the ring buffer overflows too, so that one exchange may go unseen.
    let told = || {
        let spans = daemon.spans();
        spans.iter().filter(|it| it.target() == "/healthy").count()
    };
    let one_more = |when: &str| {
        let before = told();
        eventually(&format!("a healthy exchange {when}"), || {
            healthy();
            told() > before
        });
    };
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| unanswered(port)).collect();
    one_more("under load");
    let peak = daemon.peak_memory_bytes();
    println!("peak of the resident set: {} KiB", peak / 1024);
    drop(connections);
    one_more("afterwards");
    let finished = daemon.stop();
    let lost = finished.lost();
    assert!(lost.contains("memory_full"), "{lost}");
    assert!(peak < GROUP_BYTES, "{peak}");
}

/// A connection with requests over HTTP/2 that nobody will answer.
fn unanswered(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).expect("sent");
    for number in 0..STREAMS {
        // :method GET, :scheme http, :path as a literal that is not indexed (RFC 7541 §6.2.2).
        let mut block = vec![0x82, 0x86, 0x04, 127];
        let rest = PATH_BYTES - 127;
        block.extend([(rest % 128) as u8 | 0x80, (rest / 128) as u8]);
        block.push(b'/');
        block.resize(block.len() + PATH_BYTES - 1, b'x');
        let len = u32::try_from(block.len()).expect("short");
        let mut frame = len.to_be_bytes()[1..].to_vec();
        frame.extend([1, 5]);
        frame.extend((number * 2 + 1).to_be_bytes());
        frame.extend(block);
        stream.write_all(&frame).expect("sent");
    }
    stream
}
