//! The object for kernels without ring buffers, forced upon this one: it tells the same of plain
//! and encrypted HTTP, counts what perf buffers lose, and says what it leaves out.

use std::path::Path;
use std::process::Command;

use wirespan_tests::daemon::{Daemon, binary, run_to_end};
use wirespan_tests::flood::Flooded;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::visits::{assert_told, visit, visit_rawly};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

/// By the first of its ways into socket calls; the other one takes kprobes, which not each kernel
/// has.
const WAY: &str = "legacy";

fn daemon_of(pids: &[u32]) -> Daemon {
    let selected: Vec<_> = pids.iter().map(u32::to_string).collect();
    let selected = selected.join(",");
    let daemon = Daemon::start(&[("WIRESPAN_CAPTURE", WAY), ("BEYLA_TARGET_PID", &selected)]);
    for &pid in pids {
        daemon.wait_until_watching(pid);
    }
    daemon
}

#[test]
fn plain_requests_of_all_shapes_are_told_as_they_were_served() {
    let server = Server::python();
    let daemon = daemon_of(&[server.process.pid()]);
    let count = visit(|target| server.url(target)) + visit_rawly(server.port);
    let truth = server.truth(count);
    daemon.wait_for_count(count);
    let finished = daemon.stop();
    let spans: Vec<_> = finished.spans.iter().collect();
    assert_told(WAY, truth, &spans);
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
    let says = |text: &str| finished.log.iter().any(|line| line.contains(text));
    assert!(says("capturing as old kernels can"), "{}", finished.story());
}

/// Connections at a time, and requests on each.
const SIDE_BY_SIDE: (usize, usize) = (4, 500);

#[test]
fn requests_on_several_processors_keep_their_order() {
    let servers = [Server::python(), Server::hyper()];
    let pids = servers.each_ref().map(|server| server.process.pid());
    let daemon = daemon_of(&pids);
    let (connections, each) = SIDE_BY_SIDE;
    std::thread::scope(|scope| {
        for server in &servers {
            for number in 0..connections {
                scope.spawn(move || {
                    let mut wire = Wire::connect(server.port);
                    for count in 0..each {
                        let size = (number * each + count) % 97;
                        wire.send(format!(
                            "GET /{number}/{count}?size={size} HTTP/1.1\r\nHost: h\r\n\r\n"
                        ));
                        assert_eq!(wire.answer(false).body, size as u64);
                    }
                });
            }
        }
    });
    let all = servers.len() * connections * each;
    daemon.wait_for_count(all);
    let finished = daemon.stop();
    assert_eq!(finished.spans.len(), all, "{}", finished.summary());
    assert_eq!(finished.lost(), "nothing", "{}", finished.summary());
    for span in &finished.spans {
        assert_eq!(span.exchange().status, Some(200), "{span}");
        assert_eq!(span.get("error.type"), None, "{span}");
    }
}

#[test]
fn what_perf_buffers_had_no_room_for_is_counted_and_nothing_is_made_up() {
    let mut flooded = Flooded::start();
    let mut daemon = daemon_of(&[flooded.process.pid()]);
    flooded.flood(&mut daemon);
    let finished = daemon.stop();
    assert!(finished.lost().contains("ring_full"), "{}", finished.lost());
    flooded.assert_nothing_made_up(&finished);
}

fn speak(arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/tls/speak.py");
    let mut command = tied("python3");
    command.arg("-u").arg(script).args(arguments);
    command
}

#[test]
fn what_openssl_encrypts_is_told_of_both_ends() {
    const COUNT: usize = 5;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
    let port = ports::free().to_string();
    let serve = ["serve", &port, &certificate, &key, "socket"];
    let mut server = Process::start("server", &mut speak(&serve));
    server.expect_line("listening");
    let fetch = ["fetch", &port, "socket", &COUNT.to_string()];
    let mut client = Process::start("client", &mut speak(&fetch));
    client.expect_line("ready");
    let daemon = daemon_of(&[server.pid(), client.pid()]);
    client.tell("go");
    client.expect_line("done");
    daemon.wait_for_count(2 * COUNT);
    client.stop();
    server.stop();
    let finished = daemon.stop();
    for kind in [Kind::Server, Kind::Client] {
        let told: Vec<&Seen> = finished.spans.iter().filter(|it| it.kind == kind).collect();
        assert_eq!(told.len(), COUNT, "{kind:?}\n{}", finished.story());
        for span in told {
            assert_eq!(span.get("http.response.status_code"), Some("200"), "{span}");
            assert_eq!(
                span.get("network.peer.address"),
                Some("127.0.0.1"),
                "{span}"
            );
        }
    }
    assert_eq!(finished.lost(), "nothing", "{}", finished.story());
}

#[test]
fn doctor_says_what_is_left_out() {
    let mut command = tied(binary());
    command
        .args(["doctor", "--json"])
        .env("WIRESPAN_CAPTURE", WAY);
    let (_, printed, log) = run_to_end(&mut command);
    let printed = printed.join("\n");
    let says = format!("calls are seen by {WAY}");
    assert!(printed.contains(&says), "{printed} {log:?}");
    assert!(printed.contains("by perf buffers"), "{printed}");
}
