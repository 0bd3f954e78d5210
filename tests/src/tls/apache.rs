//! Apache with mod_ssl, as an instance of its own: configuration, files and log lie in a temporary
//! directory, and the system's service is not touched.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::tls::Certificates;
use crate::truth::Exchange;
use crate::workload::{eventually, logged};

/// Where Debian puts modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// What is loaded besides `ssl`.
const LOADED: [&str; 6] = [
    "mpm_event",
    "authz_core",
    "socache_shmcb",
    "proxy",
    "proxy_http",
    "ssl",
];

/// A line of its log, as the workloads tell a request.
const LOG: &str = r#"{"method":"%m","target":"%U%q","status":%>s,"response_body":%B,
"content_length":"%{Content-Length}i"}"#;

/// A running server.
#[derive(Debug)]
pub struct Apache {
    /// Where it listens, on 127.0.0.1, over TLS.
    pub port: u16,
    /// The parent.
    pub process: Process,
    directory: TempDir,
}

impl Apache {
    /// Starts it with two processes that serve files, and `directives` within the virtual host.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(certificates: &Certificates, directives: &str) -> Self {
        let port = ports::free();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path().display();
        let modules: String = LOADED
            .iter()
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .collect();
        let configuration = format!(
            r#"
            ServerName localhost
            ServerRoot {here}
            {modules}
            Listen 127.0.0.1:{port}
            PidFile {here}/pid
            DefaultRuntimeDir {here}
            Mutex file:{here}
            User www-data
            Group www-data
            ErrorLog {here}/error.log
            LogFormat "{log}" truth
            CustomLog {here}/access.log truth
            StartServers 2
            KeepAlive On
            MaxKeepAliveRequests 0
            EnableSendfile On
            SSLSessionCache shmcb:{here}/sessions(512000)
            <VirtualHost 127.0.0.1:{port}>
                DocumentRoot {here}/html
                SSLEngine on
                SSLCertificateFile {certificate}
                SSLCertificateKeyFile {key}
                {directives}
            </VirtualHost>
            "#,
            certificate = certificates.certificate().display(),
            key = certificates.key().display(),
            log = LOG.replace('\n', "").replace('"', r#"\""#),
        );
        std::fs::create_dir(directory.path().join("html")).expect("a directory");
        // Its children are not root.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), readable).expect("our directory");
        let path = directory.path().join("apache.conf");
        std::fs::write(&path, configuration).expect("a configuration");
        let mut command = tied("apache2");
        command.arg("-f").arg(&path).arg("-DFOREGROUND");
        let mut apache = Self {
            port,
            process: Process::start("apache2", &mut command),
            directory,
        };
        apache.wait_until_up();
        apache
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, target: &str) -> String {
        format!("https://127.0.0.1:{}{target}", self.port)
    }

    /// Puts a file of `size` bytes where it is served.
    ///
    /// # Panics
    /// It can't be written.
    pub fn serve_file(&self, name: &str, size: usize) {
        let path = self.directory.path().join("html").join(name);
        std::fs::write(path, vec![b'f'; size]).expect("a file");
    }

    /// Its access log, once it has `count` lines.
    #[must_use]
    pub fn truth(&self, count: usize) -> Vec<Exchange> {
        logged(&self.directory.path().join("access.log"), count)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }

    fn wait_until_up(&mut self) {
        eventually("apache2 to listen", || {
            if self.process.status().is_some() {
                panic!("apache2 ended\n{}\n{}", self.process.story(), self.log());
            }
            // It listens twice: it reads its configuration once only to check it.
            self.log().contains("resuming normal operations")
        });
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // The parent ends its children, and the directory goes after them.
        self.process.signal(rustix::process::Signal::TERM);
        let _ = self.process.wait_within(LIMIT);
    }
}
