//! The shop's programs, up and running on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::daemon;
use crate::grpc::built_by_setup;
use crate::links::Load;
use crate::links::java::java;
use crate::ports;
use crate::process::{Process, tied};
use crate::redis::RedisServer;
use crate::tls::built;
use crate::tunnels::listening;
use crate::workload::{Nginx, Server, file};

/// A running shop.
#[derive(Debug)]
pub struct Shop {
    nginx: Nginx,
    // From the front to the back, so that each is there as long as somebody asks it.
    services: Vec<(u16, Process)>,
    redis: RedisServer,
    _directory: TempDir,
}

impl Shop {
    /// Starts all of it.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn open() -> Self {
        let redis = RedisServer::start(&[]);
        let to = redis.port.to_string();
        let directory = tempfile::tempdir().expect("a directory");
        let shipping = shipping(&to);
        let script = node_script(directory.path());
        let taxes = service("taxes", |port| {
            let mut command = tied("node");
            command.arg("--require").arg(&script);
            command.arg(file("shop/taxes.js"));
            command.args([port, &shipping.0.to_string()]);
            command
        });
        let prices = service("prices", |port| {
            // As programs are released: tests are compiled in a way that is not known.
            let mut command = tied(built("bin/links-tokio-plain"));
            let back = format!("http://127.0.0.1:{}", taxes.0);
            command.args(["front", port, &back]);
            command
        });
        let stock = service("stock", |port| stock(&directory, port, &to));
        let catalogue = service("catalogue", |port| {
            let mut command = tied(built("bin/links-go-newest"));
            let back = format!("http://127.0.0.1:{}", stock.0);
            command.args(["front", port, &back]);
            command
        });
        let cart = service("cart", |port| {
            let mut command = tied("/usr/bin/python3");
            command.arg(file("shop/cart.py"));
            command.args([port, &catalogue.0.to_string(), &prices.0.to_string()]);
            command
                .env("PYTHONPATH", built_by_setup("links/python"))
                .env("PYTHONDONTWRITEBYTECODE", "1");
            command
        });
        let upstream = format!(
            "upstream cart {{ server 127.0.0.1:{}; keepalive 8; }}",
            cart.0
        );
        let locations = r#"location / { proxy_pass http://cart; proxy_http_version 1.1;
            proxy_set_header Connection ""; }"#;
        Self {
            nginx: Nginx::start(2, &upstream, locations),
            services: vec![cart, catalogue, prices, stock, taxes, shipping],
            redis,
            _directory: directory,
        }
    }

    /// Where it takes orders.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.nginx.port
    }

    /// All ports that it listens on, as `BEYLA_OPEN_PORT` takes them.
    #[must_use]
    pub fn ports(&self) -> String {
        let mut ports = vec![self.nginx.port, self.redis.port];
        ports.extend(self.services.iter().map(|(port, _)| *port));
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        ports.join(",")
    }

    /// Sends so many orders whose ids begin with `r` and this digit, 50 at a time.
    ///
    /// # Panics
    /// One of them is not answered well.
    pub fn order(&self, series: u8, requests: usize) {
        let load = Load {
            requests,
            ..Load::of_a_row()
        };
        let answered = load.send(&self.nginx.url(""), |id| {
            format!("/r{series}{:0>6}/order", &id[1..])
        });
        assert_eq!(answered, requests);
    }
}

/// Starts a service under a name of its own, and waits until it says `listening`.
fn service(name: &str, command: impl FnOnce(&str) -> Command) -> (u16, Process) {
    let server = Server::on(ports::free(), |port| {
        let mut command = command(port);
        command.env("OTEL_SERVICE_NAME", name);
        command
    });
    (server.port, server.process)
}

/// What a user loads into Node, so that its calls are linked.
fn node_script(directory: &Path) -> PathBuf {
    let script = directory.join("wirespan-node.cjs");
    let mut wirespan = tied(daemon::binary());
    Process::start("wirespan", wirespan.arg("node-script").arg(&script)).succeed();
    script
}

/// puma does not say `listening`.
fn shipping(redis: &str) -> (u16, Process) {
    let port = ports::free();
    let mut command = tied("puma");
    command.args(["--threads", "32:32", "--quiet", "--bind"]);
    command.arg(format!("tcp://127.0.0.1:{port}"));
    command
        .arg(file("shop/shipping.ru"))
        .env("REDIS", redis)
        .env("OTEL_SERVICE_NAME", "shipping");
    (port, listening("shipping", command, port))
}

/// On virtual threads.
fn stock(classes: &TempDir, port: &str, redis: &str) -> Command {
    let mut compiler = tied("javac");
    compiler.args(["--release", "17", "-d"]).arg(classes.path());
    compiler.arg(file("shop/Stock.java"));
    Process::start("javac", &mut compiler).succeed();
    let mut command = tied(java("21"));
    command.args(["-Xmx128m", "-cp"]).arg(classes.path());
    command.args(["Stock", port, redis]);
    command
}
