//! What a machine may deny: wirespan works all the same, or it refuses to start in one line that
//! names it, and `doctor` knows beforehand. Here nothing is denied; `cargo xtask test --kernels`
//! runs the same test where something is, and says what is to come of it.

use wirespan_tests::daemon::{Daemon, command, run_to_end};
use wirespan_tests::examination::examined;
use wirespan_tests::visits::{assert_told, visit};
use wirespan_tests::workload::Server;

/// What the line has to name, where a run is to be refused.
const REFUSAL: &str = "WIRESPAN_TEST_REFUSAL";

#[test]
fn a_run_works_or_says_what_is_in_its_way_and_doctor_knows() {
    let server = Server::python();
    let port = server.port.to_string();
    let settings = [("BEYLA_OPEN_PORT", &*port), ("BEYLA_TRACE_PRINTER", "json")];
    let (code, checks, last) = examined(command(), &settings);
    if let Ok(named) = std::env::var(REFUSAL) {
        assert_eq!(code, Some(1), "{checks:#} {last}");
        let (code, _, log) = run_to_end(command().envs(settings));
        assert_eq!(code, Some(1), "{log:?}");
        let lines = log.iter().filter(|line| line.contains(&named));
        assert_eq!(lines.count(), 1, "{named}: {log:?}");
        let found = checks.to_string();
        assert!(found.contains(&named), "{named}: {checks:#}");
        return;
    }
    assert_eq!(code, Some(0), "{checks:#} {last}");
    let daemon = Daemon::for_port(server.port);
    let count = visit(|target| server.url(target));
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told("spans of a server", server.truth(count), &spans);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}
