//! The programs that are traced: nginx, Python, Node and hyper servers and clients, each of which
//! tells what it did. Nothing in them knows of tracing.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::profile;
use crate::tls::Certificates;
use crate::truth::Exchange;

/// A server that tells each request that it answered, on standard output.
#[derive(Debug)]
pub struct Server {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The process; the parent of others, maybe.
    pub process: Process,
}

impl Server {
    /// Python's http.server, a thread for each connection.
    #[must_use]
    pub fn python() -> Self {
        Self::on(ports::free(), |port| python("server.py", &[port]))
    }

    /// The same on a given port.
    #[must_use]
    pub fn python_on(port: u16) -> Self {
        Self::on(port, |port| python("server.py", &[port]))
    }

    /// The same, accepting in that many forked processes.
    #[must_use]
    pub fn python_forked(forks: usize) -> Self {
        Self::on(ports::free(), |port| {
            python("server.py", &[port, &forks.to_string()])
        })
    }

    /// Node's http server.
    #[must_use]
    pub fn node() -> Self {
        Self::on(ports::free(), |port| {
            let mut command = tied("node");
            command.arg(file("server.js")).arg(port);
            command
        })
    }

    /// hyper on tokio.
    #[must_use]
    pub fn hyper() -> Self {
        Self::on(ports::free(), |port| {
            let mut command = tied(binary("hyper-server"));
            command.arg(port);
            command
        })
    }

    /// Starts whatever `command` makes of a port, and waits until it says `listening`.
    #[must_use]
    pub fn on(port: u16, command: impl FnOnce(&str) -> Command) -> Self {
        let mut command = command(&port.to_string());
        let process = Process::start("server", &mut command);
        process.expect_line("listening");
        Self {
            scheme: "http",
            port,
            process,
        }
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        format!("{}://127.0.0.1:{}{target}", self.scheme, self.port)
    }

    /// What it answered, once that is `count` requests.
    ///
    /// # Panics
    /// It answered fewer.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Exchange> {
        truth(&self.process, count)
    }
}

/// nginx as Debian has it, with a configuration and files of its own.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The master.
    pub process: Process,
    /// Files that it serves lie in `html`.
    pub directory: TempDir,
    scheme: &'static str,
}

impl Nginx {
    /// Starts it with that many workers. `locations` stand within the `server` block, `upstreams`
    /// before it.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(workers: usize, upstreams: &str, locations: &str) -> Self {
        Self::start_over("http", "", workers, upstreams, locations)
    }

    /// The same, speaking HTTP/2 at once.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn http2(workers: usize, upstreams: &str, locations: &str) -> Self {
        Self::start_over("http", "http2", workers, upstreams, locations)
    }

    /// The same over TLS. The locations may use what `certificates` holds.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start_tls(certificates: &Certificates, upstreams: &str, locations: &str) -> Self {
        Self::start_tls_with(certificates, false, upstreams, locations)
    }

    /// The same, with HTTP/2 for who asks for it.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start_tls_with(
        certificates: &Certificates,
        http2: bool,
        upstreams: &str,
        locations: &str,
    ) -> Self {
        let secrets = format!(
            "ssl_certificate {}; ssl_certificate_key {}; {locations}",
            certificates.certificate().display(),
            certificates.key().display()
        );
        let how = if http2 { "ssl http2" } else { "ssl" };
        Self::start_over("https", how, 1, upstreams, &secrets)
    }

    fn start_over(
        scheme: &'static str,
        how: &str,
        workers: usize,
        upstreams: &str,
        locations: &str,
    ) -> Self {
        let port = ports::free();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path().display();
        // Requests are told as the workloads do it; `content_length` is empty where there is none.
        let configuration = format!(
            r#"
            daemon off;
            user root;
            worker_processes {workers};
            pid {here}/pid;
            error_log {here}/error.log notice;
            events {{ worker_connections 1024; }}
            http {{
                log_format truth escape=json
                    '{{"method":"$request_method","target":"$request_uri","status":$status,'
                    '"content_length":"$content_length","response_body":$body_bytes_sent,'
                    '"seconds":"$request_time"}}';
                access_log {here}/access.log truth;
                client_body_temp_path {here}/body;
                proxy_temp_path {here}/proxy;
                fastcgi_temp_path {here}/fastcgi;
                uwsgi_temp_path {here}/uwsgi;
                scgi_temp_path {here}/scgi;
                keepalive_requests 1000000;
                client_max_body_size 100m;
                sendfile on;
                {upstreams}
                server {{
                    listen 127.0.0.1:{port} {how} reuseport;
                    root {here}/html;
                    location /fixed/ {{ return 200 "fixed\n"; }}
                    location /missing/ {{ return 404; }}
                    {locations}
                }}
            }}
            "#
        );
        let path = directory.path().join("nginx.conf");
        std::fs::create_dir(directory.path().join("html")).expect("a directory");
        std::fs::write(&path, configuration).expect("a configuration");
        let mut command = tied("nginx");
        command.arg("-e").arg(directory.path().join("error.log"));
        command.arg("-p").arg(directory.path()).arg("-c").arg(&path);
        let mut nginx = Self {
            port,
            process: Process::start("nginx", &mut command),
            directory,
            scheme,
        };
        nginx.wait_until_up();
        nginx
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        format!("{}://127.0.0.1:{}{target}", self.scheme, self.port)
    }

    /// Puts a file of `size` bytes where it is served.
    ///
    /// # Panics
    /// It can't be written.
    pub fn serve_file(&self, name: &str, size: usize) {
        let path = self.directory.path().join("html").join(name);
        std::fs::write(path, vec![b'f'; size]).expect("a file");
    }

    /// Its access log: what it answered. nginx writes a line when a request is over, which may be
    /// after the client has the answer; so this waits for `count` of them.
    ///
    /// # Panics
    /// There are fewer.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Exchange> {
        logged(&self.directory.path().join("access.log"), count)
    }

    /// Process ids of its workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children_of(self.process.pid())
    }

    fn wait_until_up(&mut self) {
        let port = self.port;
        eventually("nginx to listen", || {
            if self.process.status().is_some() {
                panic!(
                    "nginx ended\n{}\n{}",
                    self.process.story(),
                    self.log("error.log")
                );
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers, and the directory goes after them.
        self.process.signal(rustix::process::Signal::TERM);
        let _ = self.process.wait_within(LIMIT);
    }
}

/// An access log with a line of JSON for each request, once it has `count` of them.
///
/// # Panics
/// There are fewer.
#[must_use]
pub fn logged(path: &Path, count: usize) -> Vec<Exchange> {
    let mut text = String::new();
    eventually(&format!("{count} lines in {}", path.display()), || {
        text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().count() >= count && text.ends_with('\n')
    });
    text.lines()
        .map(|line| {
            let told: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            let body = told["content_length"].as_str().unwrap_or_default();
            Exchange::parse(line)
                .unwrap_or_else(|| panic!("no truth in {line:?}"))
                .with_request_body(body.parse().unwrap_or(0))
        })
        .collect()
}

/// A client that sends what it is told and tells what came back.
#[derive(Debug)]
pub struct Client {
    /// The process.
    pub process: Process,
}

impl Client {
    /// Python's urllib.
    #[must_use]
    pub fn python() -> Self {
        Self::start(&mut python("client.py", &[]))
    }

    /// Node's http.request with a keep-alive agent.
    #[must_use]
    pub fn node() -> Self {
        let mut command = tied("node");
        command.arg(file("client.js"));
        Self::start(&mut command)
    }

    /// hyper-util's pooled client.
    #[must_use]
    pub fn hyper() -> Self {
        Self::start(&mut tied(binary("hyper-client")))
    }

    /// Starts any other, and waits until it says `ready`.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let process = Process::start("client", command);
        process.expect_line("ready");
        Self { process }
    }

    /// Sends a request, after those before it were answered.
    pub fn send(&mut self, method: &str, url: &str, body: u64) {
        self.process.tell(&format!("{method} {url} {body}"));
    }

    /// What it got, once that is `count` answers.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Exchange> {
        truth(&self.process, count)
    }
}

/// Runs curl to its end, quietly; returns standard output.
#[must_use]
pub fn curl(arguments: &[&str]) -> Vec<String> {
    let mut command = tied("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{http_code}\\n"])
        .args(arguments);
    Process::start("curl", &mut command).succeed()
}

/// The file of a workload.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("workloads")
        .join(name)
}

/// A binary of this crate.
///
/// # Panics
/// It was not built; `cargo test` builds it with the tests.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let path = profile::directory().join(name);
    assert!(
        path.exists(),
        "{} is not there: `cargo test -p wirespan-tests` builds it",
        path.display()
    );
    path
}

/// A Python program among the workloads. Not what a version manager puts before the system's own.
#[must_use]
pub fn python(script: &str, arguments: &[&str]) -> Command {
    let mut command = tied("python3");
    command.arg("-u").arg(file(script)).args(arguments);
    command
}

/// Waits until `condition` holds, for what has no event to wait for.
///
/// # Panics
/// It does not in time.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + LIMIT;
    while !condition() {
        assert!(
            std::time::Instant::now() < deadline,
            "waited for {what}, in vain"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Waits until a process listens there, which does not say so itself.
///
/// # Panics
/// It ends before, or does not in time.
pub fn await_listening(process: &mut Process, port: u16) {
    eventually("it to listen", || {
        assert!(process.status().is_none(), "{}", process.story());
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
}

/// Process ids of the children of a process.
#[must_use]
pub fn children_of(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

fn truth(process: &Process, count: usize) -> Vec<Exchange> {
    let told = process.stdout.wait_for(LIMIT, |lines| {
        let told: Vec<_> = lines
            .iter()
            .filter_map(|line| Exchange::parse(line))
            .collect();
        (told.len() >= count).then_some(told)
    });
    told.unwrap_or_else(|| panic!("fewer than {count} exchanges\n{}", process.story()))
}
