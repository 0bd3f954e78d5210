//! A soak: daemons that insert fields come and go, most of them killed, while nginx passes requests
//! on over connections that are enrolled, and a client sends in every way there is. No byte that
//! anybody looks at may change but for the field, no request may fail, and nothing may stay in the
//! kernel. It takes a kernel that passes the self-test.

use std::time::Duration;

use wirespan_tests::cgroup::SocketGroup;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::python_with_grpc;
use wirespan_tests::ports;
use wirespan_tests::process::LIMIT;
use wirespan_tests::soak::{Load, Soak};
use wirespan_tests::workload::{Nginx, Server, children_of, eventually, python};

/// How long daemons are left alone once they carry.
const LIVES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Connections are opened anew all the time: only those that a daemon has seen open are enrolled.
const UPSTREAM: &str = "keepalive 4; keepalive_requests 20;";

#[test]
#[ignore = "a soak"]
fn no_byte_changes_while_daemons_that_carry_are_killed_and_started() {
    let group = match SocketGroup::new("wirespan-soak") {
        Ok(group) => group,
        Err(reason) => return eprintln!("not tried: {reason}"),
    };
    let soak = Soak::begin();
    let server = Server::on(ports::free(), |port| python("soak/echo.py", &[port]));
    let nginx = Nginx::start(
        1,
        &format!(
            "upstream up {{ server 127.0.0.1:{}; {UPSTREAM} }}",
            server.port
        ),
        "location / { proxy_pass http://up; proxy_http_version 1.1;
         proxy_set_header Connection ''; }",
    );
    eventually("a worker", || !children_of(nginx.process.pid()).is_empty());
    let worker = children_of(nginx.process.pid())[0];
    group.take_in(worker);
    let strict = Server::on(ports::free(), |port| {
        python("soak/wire.py", &["serve", port])
    });
    let grpc = Server::on(ports::free(), |port| {
        let mut command = python_with_grpc("soak/grpc_echo.py");
        command.arg(port);
        command
    });
    // The slowest to start first, while nobody else is busy.
    let loads = [
        Load::over_grpc("gRPC", grpc.port),
        Load::on("HTTP by nginx", nginx.port, None),
        Load::by_hand(strict.port),
    ];
    let [of_grpc, _, by_hand] = loads.each_ref().map(Load::pid);
    group.take_in(of_grpc);
    group.take_in(by_hand);
    let watched = format!("{worker},{of_grpc},{by_hand}");
    let path = group.path().to_str().expect("text");
    let (mut rounds, mut carried) = (0, 0);
    // The last one is not killed, so that there is one that says what it did.
    while soak.goes_on() || carried == 0 {
        let mut daemon = Daemon::start(&[
            ("BEYLA_TARGET_PID", &watched),
            ("BEYLA_TRACE_PRINTER", "counter"),
            ("BEYLA_BPF_CONTEXT_PROPAGATION", "headers"),
            ("WIRESPAN_CONTEXT_PROPAGATION_CGROUP", path),
        ]);
        let said = daemon
            .process()
            .stderr
            .wait_for_line(LIMIT, "carry their trace");
        let said = said.expect("it says so");
        if said.contains("no calls carry") {
            return eprintln!("not tried: {said}");
        }
        std::thread::sleep(LIVES[rounds % LIVES.len()]);
        rounds += 1;
        if rounds % LIVES.len() == 0 || !soak.goes_on() {
            carried += inserted(&daemon.stop_uncounted().log);
        } else {
            daemon.kill();
        }
    }
    let told = loads.map(Load::finish);
    println!("{rounds} daemons, {carried} fields told, {told:?}");
    for told in &told {
        assert_eq!(told.bad, 0, "{told:?}");
        assert!(told.requests > 0, "{told:?}");
    }
    assert!(told[0].inserted > 0 && told[2].inserted > 0, "{told:?}");
}

/// How many requests got a field, as the daemon says at its end.
fn inserted(stderr: &[String]) -> u64 {
    let line = stderr
        .iter()
        .find(|line| line.contains("context in headers: "));
    let line = line.unwrap_or_else(|| panic!("{stderr:?}"));
    let before = line
        .split(" requests with a field")
        .next()
        .unwrap_or_default();
    let count = before.rsplit(' ').next().and_then(|it| it.parse().ok());
    count
        .filter(|_| line.contains("requests with a field"))
        .unwrap_or(0)
}
