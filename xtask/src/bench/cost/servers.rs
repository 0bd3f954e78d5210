//! The programs that are measured, started once for all rows, each twice where one is looked at
//! unwatched. They measure nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::bench::cpu::family;
use crate::bench::{http2, tls};
use crate::demo::{Folder, free_port, wait_until_open};
use crate::process::{self, Running};
use crate::workspace;

/// A server with all of its processes.
pub struct CostServer {
    pub port: u16,
    pub pids: Vec<u32>,
    _process: Running,
}

pub struct CostServers {
    /// nginx with one worker, watched and not.
    pub plain: [CostServer; 2],
    /// The same over TLS.
    pub tls: [CostServer; 2],
    /// A server on Go's own TLS, with one thread that runs goroutines.
    pub go_tls: CostServer,
    pub http2: CostServer,
    pub grpc: CostServer,
    pub redis: CostServer,
    _folder: Folder,
}

impl CostServers {
    pub fn start() -> Result<Self> {
        let folder = Folder::create("cost")?;
        let path = &folder.path;
        fs::write(path.join("64k"), vec![b'x'; 64 << 10])?;
        fs::write(path.join("10m"), vec![b'x'; 10 << 20])?;
        let [certificate, key] = &tls::certificate(&folder)?;
        let tls = format!("ssl; ssl_certificate {certificate}; ssl_certificate_key {key}");
        Ok(Self {
            plain: [nginx(path, "", 1)?, nginx(path, "", 1)?],
            tls: [nginx(path, &tls, 1)?, nginx(path, &tls, 1)?],
            go_tls: start("go-newest", |port| {
                let mut command = process::tied(workspace::target().join("tls/bin/go-newest"));
                command.args(["serve", &port.to_string(), certificate, key]);
                command.env("SILENT", "1").env("GOMAXPROCS", "1");
                Ok(command)
            })?,
            http2: nginx(path, "http2", 1)?,
            grpc: start("tonic-server", |port| {
                let mut command = process::tied(http2::program("tonic-server"));
                command.arg(port.to_string());
                Ok(command)
            })?,
            redis: start("redis-server", |port| {
                let mut command = workspace::system("redis-server");
                command.args(["--bind", "127.0.0.1", "--port"]);
                command.arg(port.to_string());
                command.args(["--save", "", "--appendonly", "no"]);
                command.current_dir(path);
                Ok(command)
            })?,
            _folder: folder,
        })
    }
}

/// nginx with so many workers, for as many connections as are tried.
pub fn nginx(folder: &Path, how: &str, workers: u32) -> Result<CostServer> {
    start("nginx", |port| {
        let path = folder.display();
        let text = format!(
            "user root; daemon off; worker_processes {workers}; worker_rlimit_nofile 20000;\n\
             pid {path}/{port}.pid; error_log stderr crit;\n\
             events {{ worker_connections 12000; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1d;\n\
             client_body_temp_path {path}/b; proxy_temp_path {path}/p;\n\
             fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n\
             server {{ listen 127.0.0.1:{port} backlog=16384 {how};\n\
             location = /hello {{ return 200 \"hello\\n\"; }}\n\
             location / {{ root {path}; }} }} }}\n"
        );
        let file = folder.join(format!("{port}.conf"));
        fs::write(&file, text)?;
        let program = workspace::program("nginx").context("nginx is not installed")?;
        let mut command = limited(&program);
        command.args(["-e", "stderr", "-c"]).arg(file);
        Ok(command)
    })
}

/// A program that may have as many descriptors as 10,000 connections take.
pub fn limited(program: &Path) -> Command {
    let mut command = process::tied("prlimit");
    command.arg("--nofile=20000").arg(program);
    command
}

fn start(name: &str, command: impl FnOnce(u16) -> Result<Command>) -> Result<CostServer> {
    let port = free_port()?;
    let mut command = command(port)?;
    let mut process = Running::start(name, command.stdout(Stdio::null()))?;
    wait_until_open(port, &mut process)?;
    Ok(CostServer {
        port,
        pids: family(process.pid())?,
        _process: process,
    })
}
