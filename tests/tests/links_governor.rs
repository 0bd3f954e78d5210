//! A process whose tasks cost too much to follow is left alone, and traced on.

use std::path::Path;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::wire::Wire;

#[test]
fn who_makes_tasks_without_end_loses_the_probes_and_no_span() {
    let port = ports::free();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/links/spinning.py");
    let mut command = tied("/usr/bin/python3");
    let server = Process::start("server", command.arg(program).arg(port.to_string()));
    server.expect_line("listening");
    let mut daemon = Daemon::for_port(port);
    daemon.wait_until_watching(server.pid());
    let gave_up = format!(
        "the tasks of process {} are not followed any longer",
        server.pid()
    );
    let line = daemon.process().stderr.wait_for_line(LIMIT, &gave_up);
    assert!(line.is_some(), "it is still followed");
    let mut wire = Wire::connect(port);
    for _ in 0..3 {
        wire.send("GET /on HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(wire.answer(false).status, 200);
    }
    daemon.wait_for_count(3);
    assert_eq!(daemon.stop().lost(), "nothing");
}
