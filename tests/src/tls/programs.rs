//! How the programs of `workloads/tls_programs` are started. What they need is compiled or fetched
//! by `cargo xtask setup test`; only C is compiled here, by the test that is about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ports;
use crate::process::{Process, tied};
use crate::profile;
use crate::tls::Certificates;
use crate::workload::{Client, Server, binary, file, python};

/// Debian 12's OpenSSL, for a linker.
pub const OPENSSL_3: [&str; 2] = ["-l:libssl.so.3", "-l:libcrypto.so.3"];

/// What `cargo xtask setup test` put below `target/tls`.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let path = profile::target().join("tls").join(name);
    assert!(
        path.exists(),
        "{} is not there: `cargo xtask setup test` makes it",
        path.display()
    );
    path
}

/// Compiles `openssl.c` or `gnutls.c` into `directory`, with arguments for the linker.
///
/// # Panics
/// It does not compile.
#[must_use]
pub fn c_program(directory: &Path, source: &str, arguments: &[&str]) -> PathBuf {
    let source = workload(source);
    let program = directory.join(source.file_stem().expect("a name"));
    let mut command = tied("cc");
    command.args(["-O1", "-o"]).arg(&program).arg(&source);
    command.args(arguments).arg("-lpthread");
    Process::start("cc", &mut command).succeed();
    program
}

/// `openssl.c` with Debian's OpenSSL 3, shared.
#[must_use]
pub fn openssl_3(directory: &Path) -> PathBuf {
    c_program(directory, "openssl.c", &OPENSSL_3)
}

/// The same with OpenSSL 1.1, shared.
#[must_use]
pub fn openssl_1_1(directory: &Path) -> PathBuf {
    let libraries = built("openssl-1.1/usr/lib/x86_64-linux-gnu");
    let libraries = libraries.to_str().expect("a path in UTF-8");
    let [ssl, crypto] = ["ssl", "crypto"].map(|name| format!("{libraries}/lib{name}.so.1.1"));
    let runtime = format!("-Wl,-rpath,{libraries}");
    c_program(directory, "openssl.c", &[&ssl, &crypto, &runtime])
}

/// The same with OpenSSL 3 and everything else linked into a static position-independent
/// executable.
#[must_use]
pub fn static_openssl(directory: &Path) -> PathBuf {
    let libraries = ["-static-pie", "-l:libssl.a", "-l:libcrypto.a"];
    c_program(directory, "openssl.c", &libraries)
}

/// Takes all symbols out of a copy of `program`, which it returns.
#[must_use]
pub fn stripped(directory: &Path, program: &Path) -> PathBuf {
    let name = program.file_name().expect("a name").to_string_lossy();
    let copy = directory.join(format!("{name}-stripped"));
    let mut command = tied("strip");
    command.arg("--strip-all").arg("-o").arg(&copy).arg(program);
    Process::start("strip", &mut command).succeed();
    copy
}

/// A server that takes PORT CERTIFICATE KEY after the arguments that its command has, and `rest`
/// after them.
#[must_use]
pub fn tls_server(certificates: &Certificates, mut command: Command, rest: &[&str]) -> Server {
    let mut server = Server::on(ports::free(), |port| {
        command.arg(port);
        command.arg(certificates.certificate());
        command.arg(certificates.key());
        command.args(rest);
        command
    });
    server.scheme = "https";
    server
}

/// Python: aiohttp's or uvicorn's server.
#[must_use]
pub fn python_server(certificates: &Certificates, script: &str) -> Server {
    tls_server(certificates, python(&in_folder(script), &[]), &[])
}

/// Python's http.server behind the ssl module.
#[must_use]
pub fn plain_python_server(certificates: &Certificates) -> Server {
    let mut server = Server::on(ports::free(), |port| {
        let mut command = python("server.py", &[port]);
        command.env("CERTIFICATE", certificates.certificate());
        command.env("KEY", certificates.key());
        command
    });
    server.scheme = "https";
    server
}

/// Ruby's WEBrick.
#[must_use]
pub fn ruby_server(certificates: &Certificates) -> Server {
    let mut command = tied("ruby");
    command.arg(workload("server.rb"));
    tls_server(certificates, command, &[])
}

/// Node's https server; Node is the one with OpenSSL linked into the executable.
#[must_use]
pub fn node_server(certificates: &Certificates) -> Server {
    let mut server = Server::on(ports::free(), |port| {
        let mut command = tied(built("bin/node"));
        command.arg(file("server.js")).arg(port);
        command.env("CERTIFICATE", certificates.certificate());
        command.env("KEY", certificates.key());
        command
    });
    server.scheme = "https";
    server
}

/// Go's net/http; `name` is one of the builds in `target/tls/bin`.
#[must_use]
pub fn go_server(certificates: &Certificates, name: &str) -> Server {
    let mut command = tied(built(&format!("bin/{name}")));
    command.arg("serve");
    tls_server(certificates, command, &[])
}

/// hyper over rustls, as that file has it.
#[must_use]
pub fn hyper_server(certificates: &Certificates, program: &Path) -> Server {
    tls_server(certificates, tied(program), &[])
}

/// Netty with a provider of TLS: `JDK` or `OPENSSL`.
#[must_use]
pub fn java_server(certificates: &Certificates, provider: &str) -> Server {
    let mut command = java();
    command.args(["serve", provider]);
    tls_server(certificates, command, &[])
}

/// Python's requests or aiohttp.
#[must_use]
pub fn python_client(certificates: &Certificates, script: &str, arguments: &[&str]) -> Client {
    trusting(certificates, python(&in_folder(script), arguments))
}

/// Python's urllib.
#[must_use]
pub fn urllib_client(certificates: &Certificates) -> Client {
    trusting(certificates, python("client.py", &[]))
}

/// Ruby's net/http.
#[must_use]
pub fn ruby_client(certificates: &Certificates) -> Client {
    let mut command = tied("ruby");
    command.arg(workload("client.rb"));
    trusting(certificates, command)
}

/// Node with a script: its https module's client or fetch.
#[must_use]
pub fn node_client(certificates: &Certificates, script: &Path) -> Client {
    let mut command = tied(built("bin/node"));
    command.arg(script);
    trusting(certificates, command)
}

/// Go's net/http.
#[must_use]
pub fn go_client(certificates: &Certificates, name: &str) -> Client {
    let mut command = tied(built(&format!("bin/{name}")));
    command.arg("call");
    trusting(certificates, command)
}

/// reqwest over rustls; as cargo test builds it, or another file.
#[must_use]
pub fn reqwest_client(certificates: &Certificates, program: Option<&Path>) -> Client {
    let ours = || binary("reqwest-client");
    let program = program.map_or_else(ours, Path::to_owned);
    trusting(certificates, tied(program))
}

/// Netty, connected to that port.
#[must_use]
pub fn java_client(certificates: &Certificates, provider: &str, port: u16) -> Client {
    let mut command = java();
    command
        .args(["call", provider])
        .arg(certificates.authority());
    command.arg(port.to_string());
    Client::start(&mut command)
}

/// The path of a file of `workloads/tls_programs`.
#[must_use]
pub fn workload(name: &str) -> PathBuf {
    file(&in_folder(name))
}

fn in_folder(name: &str) -> String {
    format!("tls_programs/{name}")
}

fn trusting(certificates: &Certificates, mut command: Command) -> Client {
    certificates.trusted_by(&mut command);
    Client::start(&mut command)
}

fn java() -> Command {
    let class_path = std::fs::read_to_string(built("java/class-path")).expect("a file");
    let mut command = tied("java");
    // Small: the tests' machine has other things to do.
    command.args(["-Xmx192m", "-XX:TieredStopAtLevel=1", "-cp", &class_path]);
    let mut libraries = std::ffi::OsString::from("-Djava.library.path=");
    libraries.push(built("java"));
    command.arg(libraries).arg("Truth");
    command
}
