//! The demo's servers, on loopback ports of their own, ended when dropped.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Stage;
use crate::process::{self, Running};
use crate::workspace;

/// One round of requests: found, found by number, not there, and failing two services deep.
pub const PATHS: [&str; 4] = [
    "/api/orders",
    "/api/orders/7",
    "/api/orders/999",
    "/api/orders/broken",
];

/// When waiting for a server is given up.
const START_LIMIT: Duration = Duration::from_secs(120);

/// nginx in front of orders.py, which asks stock.py.
pub struct System {
    nginx: Nginx,
    // Ended on drop, after nginx.
    _orders: Running,
    _stock: Running,
    ports: [u16; 3],
}

impl System {
    /// Starts the servers and waits until each accepts connections.
    pub fn start() -> Result<Self> {
        let [nginx_port, orders_port, stock_port] = [free_port()?, free_port()?, free_port()?];
        let mut stock = python("stock.py", &[stock_port])?;
        wait_until_open(stock_port, &mut stock)?;
        let mut orders = python("orders.py", &[orders_port, stock_port])?;
        wait_until_open(orders_port, &mut orders)?;
        Ok(Self {
            nginx: Nginx::start(nginx_port, orders_port)?,
            _orders: orders,
            _stock: stock,
            ports: [nginx_port, orders_port, stock_port],
        })
    }

    /// Where nginx listens.
    pub fn port(&self) -> u16 {
        self.nginx.port
    }

    /// A round of requests after the other.
    pub fn stage(&self) -> Stage {
        Stage {
            port: self.port(),
            ports: self.ports(),
            path: Box::new(|number| PATHS[number % PATHS.len()].to_owned()),
        }
    }

    /// All ports, as `BEYLA_OPEN_PORT` takes them.
    pub fn ports(&self) -> String {
        self.ports.map(|port| port.to_string()).join(",")
    }
}

/// nginx with one worker.
pub struct Nginx {
    /// Where it listens.
    pub port: u16,
    master: Running,
    _folder: Folder,
}

impl Nginx {
    /// The process that starts workers.
    pub fn pid(&self) -> u32 {
        self.master.pid()
    }

    /// Starts it and waits until it accepts connections. `/hello` is its own answer, `/api/` is
    /// asked for at `upstream`, and so is what follows `/behind`.
    pub fn start(port: u16, upstream: u16) -> Result<Self> {
        Self::listening("", port, upstream)
    }

    /// The same in HTTP/2 with prior knowledge, and with nobody behind it.
    pub fn start_http2(port: u16) -> Result<Self> {
        Self::listening("http2", port, 1)
    }

    /// The same over TLS, with files of a certificate and its key, and nobody behind it.
    pub fn start_tls(port: u16, [certificate, key]: &[String; 2]) -> Result<Self> {
        let how = format!("ssl; ssl_certificate {certificate}; ssl_certificate_key {key}");
        Self::listening(&how, port, 1)
    }

    /// Has another worker take over, which has no connections yet.
    pub fn renew_worker(&self) -> Result<()> {
        let master = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(master.context("no process")?, Signal::HUP)?;
        Ok(())
    }

    fn listening(how: &str, port: u16, upstream: u16) -> Result<Self> {
        let folder = Folder::create(&format!("nginx-{port}"))?;
        let template = workspace::root().join("xtask/demo/nginx.conf");
        let template = std::fs::read_to_string(&template)
            .with_context(|| format!("cannot read {}", template.display()))?;
        let configuration = template
            .replace("@FOLDER@", &folder.path.to_string_lossy())
            .replace("@PORT@", &port.to_string())
            .replace("@HOW@", how)
            .replace("@UPSTREAM@", &upstream.to_string());
        let file = folder.path.join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let program = workspace::program("nginx").context("nginx is not installed")?;
        let mut master = Running::start(
            "nginx",
            process::tied(program)
                .args(["-e", "stderr", "-c"])
                .arg(&file)
                .process_group(0),
        )?;
        wait_until_open(port, &mut master)?;
        Ok(Self {
            port,
            master,
            _folder: folder,
        })
    }
}

/// A folder of this run, removed when dropped.
pub struct Folder {
    /// Absolute.
    pub path: PathBuf,
}

impl Folder {
    pub fn create(name: &str) -> Result<Self> {
        let path = workspace::target()
            .join("runs")
            .join(std::process::id().to_string())
            .join(name);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
        // The folder of the run goes with the last of its folders.
        let _ = std::fs::remove_dir(self.path.parent().unwrap_or(Path::new("")));
    }
}

fn python(script: &str, ports: &[u16]) -> Result<Running> {
    let program = workspace::program("python3").context("python3 is not installed")?;
    Running::start(
        script,
        process::tied(program)
            .arg(workspace::root().join("xtask/demo").join(script))
            .args(ports.iter().map(u16::to_string))
            // Ctrl-C is for xtask, which ends the rest in order.
            .process_group(0),
    )
}

/// A port of loopback that nobody listens on now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until the server accepts connections.
pub fn wait_until_open(port: u16, server: &mut Running) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if let Some(status) = server.status()? {
            bail!("the server for port {port} ended: {status}");
        }
        if Instant::now() > end {
            bail!("nobody listens on port {port}");
        }
        process::pause(Duration::from_millis(20))?;
    }
    Ok(())
}

/// Sends one request and reads the whole answer.
pub fn get(port: u16, path: &str) -> Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("nobody listens on port {port}"))?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        connection,
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: wirespan-demo\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    connection
        .read_to_end(&mut answer)
        .with_context(|| format!("no answer to {path}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
