//! The programs that are measured: those of the tests of links, each in front of an nginx that
//! answers at once. It measures nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::super::Args;
use super::super::cpu::{family, more};
use super::super::table::{Row, Target};
use super::{Subject, WITH, WITHOUT, least};
use crate::demo::{Folder, free_port, wait_until_open};
use crate::process::{self, Running};
use crate::setup;
use crate::workspace;

/// All of them, running.
pub struct Programs {
    _back: Running,
    started: Vec<Started>,
    /// Node without and with the script.
    nodes: [Started; 2],
    _folder: Folder,
}

/// One of them.
struct Started {
    name: &'static str,
    process: Running,
    port: u16,
    /// See [`Subject`].
    target: Target,
}

impl Programs {
    /// Starts them.
    pub fn start() -> Result<Self> {
        let folder = Folder::create("links")?;
        let to = free_port()?;
        let mut back = Running::start("nginx", &mut nginx(&folder.path, to, None)?)?;
        wait_until_open(to, &mut back)?;
        let path = &folder.path;
        let script = path.join("script.cjs");
        let mut hand_out = Command::new(workspace::daemon());
        process::run(hand_out.arg("node-script").arg(&script))?;
        let pool = pool(path)?;
        let classes = java_classes(path)?;
        let started = vec![
            begin("Go, net/http", Target::AtMost(10.0), |port| {
                Ok(front("bin/links-go-newest", port, to))
            })?,
            begin("tokio, hyper and reqwest", Target::AtMost(5.0), |port| {
                Ok(front("bin/links-tokio-plain", port, to))
            })?,
            begin("Python, aiohttp", Target::AtMost(8.0), |port| {
                Ok(python(port, to))
            })?,
            begin("nginx, proxy_pass", Target::AtMost(1.0), |port| {
                nginx(path, port, Some(to))
            })?,
            begin("HAProxy", Target::AtMost(1.0), |port| {
                haproxy(path, port, to)
            })?,
            begin("a pool of threads, in C", Target::AtMost(1.0), |port| {
                let mut command = process::tied(&pool);
                command
                    .args([port, to].map(|port| port.to_string()))
                    .arg("8");
                Ok(command)
            })?,
            begin("Java 21, threads", Target::AtMost(1.0), |port| {
                Ok(java(&classes, "pool", port, to))
            })?,
            begin("Java 21, virtual threads", Target::AtMost(1.0), |port| {
                Ok(java(&classes, "virtual", port, to))
            })?,
        ];
        Ok(Self {
            _back: back,
            started,
            nodes: [
                begin("Node", Target::None, |port| node(None, port, to))?,
                begin("Node with the script", Target::None, |port| {
                    node(Some(&script), port, to)
                })?,
            ],
            _folder: folder,
        })
    }

    /// What is measured with and without links.
    pub fn subjects(&self) -> Result<Vec<Subject<'_>>> {
        self.started.iter().map(Started::subject).collect()
    }

    /// Node with the script and links, beside one without either.
    pub fn script(&self, args: &Args) -> Result<Row> {
        let [without, with] = [self.nodes[0].subject()?, self.nodes[1].subject()?];
        for node in [&without, &with] {
            super::load::run_path(node.port, super::PATH, 1)?;
        }
        let mut turns = Vec::new();
        for _ in 0..args.pairs {
            let [before, after] = [
                without.run(WITHOUT, args.seconds)?,
                with.run(WITH, args.seconds)?,
            ];
            println!(
                "bench: Node: {:.2} µs for a request, {:.2} with the script",
                before.request, after.request
            );
            turns.push([before, after]);
        }
        let [without, with] = [0, 1].map(|side| least(turns.iter().map(|turn| &turn[side])));
        Ok(Row::new(
            "links: Node with its script: CPU for a request, more than without",
            more(without.request, with.request),
            "%",
            Target::None,
        ))
    }
}

impl Started {
    fn subject(&self) -> Result<Subject<'_>> {
        Ok(Subject {
            name: self.name,
            pids: family(self.process.pid())?,
            port: self.port,
            target: self.target,
        })
    }
}

fn begin(
    name: &'static str,
    target: Target,
    command: impl FnOnce(u16) -> Result<Command>,
) -> Result<Started> {
    let port = free_port()?;
    let mut process = Running::start(name, command(port)?.stdout(Stdio::null()))?;
    wait_until_open(port, &mut process)?;
    Ok(Started {
        name,
        process,
        port,
        target,
    })
}

/// A workload of the tests that was built, in front of who listens at `to`.
fn front(program: &str, port: u16, to: u16) -> Command {
    let mut command = process::tied(built(program));
    command.arg("front").arg(port.to_string());
    command.arg(format!("http://127.0.0.1:{to}"));
    command
}

fn python(port: u16, to: u16) -> Command {
    let mut command = workspace::system("python3");
    command
        .current_dir(workload("links/python"))
        .env("PYTHONPATH", workspace::tools().join("links/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("BACKEND", to.to_string())
        .args(["-u", "aiohttp_app.py", &port.to_string()]);
    command
}

fn java(classes: &str, threads: &str, port: u16, to: u16) -> Command {
    let mut command = process::tied(built("bin/java-21"));
    // The second compiler would go on for minutes, and be measured.
    command.args(["-Xmx192m", "-XX:TieredStopAtLevel=1"]);
    command.args(["-cp", classes, "Served", "jdk", threads]);
    command.args([port, to].map(|port| port.to_string()));
    command
}

fn node(script: Option<&Path>, port: u16, to: u16) -> Result<Command> {
    let mut command = process::tied(setup::node()?);
    if let Some(script) = script {
        command.arg("--require").arg(script);
    }
    command.arg(workload("links/node/app.js"));
    command.arg(port.to_string()).env("BACKEND", to.to_string());
    Ok(command)
}

/// The program in C, compiled.
fn pool(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("pool");
    let mut compiler = workspace::system("cc");
    compiler.args(["-O2", "-o"]).arg(&program);
    compiler.arg(workload("links/pool.c")).arg("-lpthread");
    process::run(&mut compiler)?;
    Ok(program)
}

/// What set-up built for the tests.
fn built(name: &str) -> PathBuf {
    workspace::target().join("tls").join(name)
}

fn workload(name: &str) -> PathBuf {
    workspace::root().join("tests/workloads").join(name)
}

/// nginx that answers at once, or passes on to another one.
fn nginx(folder: &Path, port: u16, upstream: Option<u16>) -> Result<Command> {
    let pool = upstream.map_or(String::new(), |to| {
        format!("upstream back {{ server 127.0.0.1:{to}; keepalive 64; }}")
    });
    let answer = match upstream {
        None => "return 200 'hello';",
        Some(_) => {
            "proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection '';"
        }
    };
    let path = folder.display();
    let text = format!(
        "daemon off; worker_processes 1; pid {path}/{port}.pid; error_log stderr warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000000;\n\
         keepalive_timeout 1d; client_header_timeout 1d; client_body_temp_path {path}/b;\n\
         proxy_temp_path {path}/p; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u;\n\
         scgi_temp_path {path}/s; {pool}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ {answer} }} }} }}\n"
    );
    let file = folder.join(format!("nginx-{port}.conf"));
    fs::write(&file, text)?;
    let program = workspace::program("nginx").context("nginx is not installed")?;
    let mut command = process::tied(program);
    command.args(["-e", "stderr", "-c"]).arg(file);
    Ok(command)
}

fn haproxy(folder: &Path, port: u16, to: u16) -> Result<Command> {
    let text = format!(
        "global\n nbthread 1\ndefaults\n mode http\n timeout connect 9s\n timeout client 60s\n \
         timeout server 60s\n http-reuse always\nfrontend front\n bind 127.0.0.1:{port}\n \
         default_backend back\nbackend back\n server back 127.0.0.1:{to}\n"
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let program = workspace::program("haproxy").context("HAProxy is not installed")?;
    let mut command = process::tied(program);
    command.arg("-f").arg(file);
    Ok(command)
}

/// Where the compiled workload is, with what it needs.
fn java_classes(folder: &Path) -> Result<String> {
    const JARS: [&str; 2] = [
        "/usr/share/java/tomcat10-embed-core.jar",
        "/usr/share/java/jakarta-annotation-api.jar",
    ];
    let classes = folder.join("classes");
    let sources = ["Served.java", "Catalina.java", "Work.java"];
    let sources = sources.map(|name| workload("links/java").join(name));
    process::run(
        workspace::system("javac")
            .args(["-nowarn", "-cp", &JARS.join(":"), "-d"])
            .arg(&classes)
            .args(sources),
    )?;
    Ok(format!("{}:{}", classes.display(), JARS.join(":")))
}
