//! A soak: daemons come and go, most of them killed, while programs are under load. No byte of
//! theirs may change, no request may fail, and nothing may stay in the kernel.

use std::time::Duration;

use wirespan_tests::daemon::Daemon;
use wirespan_tests::grpc::python_with_grpc;
use wirespan_tests::soak::{Load, Soak};
use wirespan_tests::tls::{self, Certificates};
use wirespan_tests::workload::{Nginx, Server, file, python};
use wirespan_tests::{ports, process};

/// Python over HTTP, nginx over TLS before it, Node over TLS with OpenSSL linked into it, and
/// grpcio.
struct System {
    python: Server,
    nginx: Nginx,
    node: Server,
    grpc: Server,
    certificates: Certificates,
}

impl System {
    fn start() -> Self {
        let certificates = Certificates::create();
        let python = Server::on(ports::free(), |port| python("soak/echo.py", &[port]));
        let nginx = Nginx::start_tls(
            &certificates,
            &format!(
                "upstream up {{ server 127.0.0.1:{}; keepalive 4; }}",
                python.port
            ),
            "location / { proxy_pass http://up; proxy_http_version 1.1;
             proxy_set_header Connection ''; }",
        );
        let node = Server::on(ports::free(), |port| {
            let mut command = process::tied(tls::built("bin/node"));
            command.arg(file("soak/echo.js")).arg(port);
            command.env("CERTIFICATE", certificates.certificate());
            command.env("KEY", certificates.key());
            command
        });
        let grpc = Server::on(ports::free(), |port| {
            let mut command = python_with_grpc("soak/grpc_echo.py");
            command.arg(port);
            command
        });
        Self {
            python,
            nginx,
            node,
            grpc,
            certificates,
        }
    }

    fn loads(&self) -> [Load; 4] {
        [
            Load::on("HTTP", self.python.port, None),
            Load::on("HTTPS by nginx", self.nginx.port, Some(&self.certificates)),
            Load::on("HTTPS by Node", self.node.port, Some(&self.certificates)),
            Load::over_grpc("gRPC", self.grpc.port),
        ]
    }
}

/// How long daemons are left alone.
const LIVES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

#[test]
#[ignore = "a soak"]
fn no_byte_changes_while_daemons_are_killed_and_started() {
    let soak = Soak::begin();
    let system = System::start();
    let loads = system.loads();
    let ports = [
        system.python.port,
        system.nginx.port,
        system.node.port,
        system.grpc.port,
    ];
    let ports = ports.map(|port| port.to_string()).join(",");
    let mut rounds = 0;
    let mut made = 0;
    // The last one is not killed, so that there is one whose summary can be read.
    while soak.goes_on() || made == 0 {
        // Not JSON: it would be kept.
        let daemon = Daemon::start(&[
            ("BEYLA_OPEN_PORT", &ports),
            ("BEYLA_TRACE_PRINTER", "counter"),
        ]);
        // At any moment of its life: while it still looks at libraries, and later.
        std::thread::sleep(LIVES[rounds % LIVES.len()]);
        rounds += 1;
        // Both look that nothing stays in the kernel.
        if rounds % LIVES.len() == 0 || !soak.goes_on() {
            made += daemon.stop_uncounted().made();
        } else {
            daemon.kill();
        }
    }
    for load in loads {
        let told = load.finish();
        println!("{rounds} daemons, {made} spans told, {told:?}");
        assert_eq!(told.bad, 0, "{told:?}");
        assert!(told.requests > 0, "{told:?}");
    }
}
