//! Apache as a proxy that makes tunnels (CONNECT), in the clear or over TLS. Its configuration lies
//! in a temporary directory; the system's service is not touched.

use std::process::Command;

use tempfile::TempDir;

use crate::ports;
use crate::process::{Process, tied};
use crate::tls::Certificates;
use crate::workload::eventually;

/// Where Debian puts modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// A running proxy.
#[derive(Debug)]
pub struct Tunnels {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The parent.
    pub process: Process,
    _directory: TempDir,
}

impl Tunnels {
    /// Starts one that makes tunnels to that port and no other; over TLS if it gets certificates.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(to: u16, certificates: Option<&Certificates>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = ports::free();
        let here = directory.path().display();
        let mut names = vec!["mpm_worker", "authz_core", "proxy", "proxy_connect"];
        let mut over_tls = String::new();
        if let Some(certificates) = certificates {
            names.push("ssl");
            over_tls = format!(
                "SSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\n",
                certificates.certificate().display(),
                certificates.key().display()
            );
        }
        let modules: String = names
            .iter()
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .collect();
        let configuration = format!(
            "ServerName localhost\nServerRoot {here}\n{modules}Listen 127.0.0.1:{port}\n\
             PidFile {here}/pid\nDefaultRuntimeDir {here}\nMutex file:{here}\nUser www-data\n\
             Group www-data\nErrorLog {here}/error.log\nStartServers 1\nServerLimit 1\n\
             <VirtualHost 127.0.0.1:{port}>\n{over_tls}ProxyRequests On\nAllowCONNECT {to}\n\
             </VirtualHost>\n"
        );
        let path = directory.path().join("apache.conf");
        std::fs::write(&path, configuration).expect("a file");
        let mut command = tied("apache2");
        command.arg("-f").arg(&path).arg("-DFOREGROUND");
        Self {
            port,
            process: listening("apache2", command, port),
            _directory: directory,
        }
    }
}

/// Starts a program on a port, and waits until it listens there.
///
/// # Panics
/// It ends, or does not come up.
#[must_use]
pub fn listening(name: &str, mut command: Command, port: u16) -> Process {
    let mut process = Process::start(name, &mut command);
    eventually("the intermediary to listen", || {
        assert!(process.status().is_none(), "{}", process.story());
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    process
}
