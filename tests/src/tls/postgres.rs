//! PostgreSQL over TLS, as a cluster of its own in a temporary directory; the system's service is
//! not touched. It speaks no HTTP, so no span can come of it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::tls::Certificates;
use crate::workload::eventually;

/// Where Debian 12 puts the server's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The postmaster.
    pub process: Process,
    directory: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(certificates: &Certificates) -> Self {
        let port = ports::free();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path();
        // PostgreSQL refuses to run as root, and to use a key that others may read.
        let owner = std::fs::metadata("/var/lib/postgresql").expect("postgresql-15 is installed");
        for (name, from) in [
            ("key.pem", certificates.key()),
            ("certificate.pem", certificates.certificate()),
        ] {
            std::fs::copy(from, here.join(name)).expect("a copy");
        }
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(here.join("key.pem"), private).expect("our file");
        for path in [
            here.into(),
            here.join("key.pem"),
            here.join("certificate.pem"),
        ] {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("run as root");
        }
        let cluster = here.join("cluster");
        let mut create = by_owner(&format!("{PROGRAMS}/initdb"), here);
        create.args(["--auth=trust", "--no-sync", "--username=truth"]);
        create.arg("--pgdata").arg(&cluster);
        Process::start("initdb", &mut create).succeed();
        let mut serve = by_owner(&format!("{PROGRAMS}/postgres"), here);
        serve.arg("-D").arg(&cluster);
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", here.display()),
            "ssl=on".into(),
            format!("ssl_cert_file={}/certificate.pem", here.display()),
            format!("ssl_key_file={}/key.pem", here.display()),
            "fsync=off".into(),
        ] {
            serve.arg("-c").arg(setting);
        }
        let postgres = Self {
            port,
            process: Process::start("postgres", &mut serve),
            directory,
        };
        eventually("PostgreSQL to serve", || {
            postgres
                .client()
                .arg("-c")
                .arg("select 1")
                .output()
                .is_ok_and(|ran| ran.status.success())
        });
        postgres
    }

    /// psql, connected over TLS. Its own file: what is in `/usr/bin` is a script that looks for it.
    #[must_use]
    pub fn client(&self) -> Command {
        self.client_by("require")
    }

    /// The same in plain.
    #[must_use]
    pub fn plain_client(&self) -> Command {
        self.client_by("disable")
    }

    fn client_by(&self, mode: &str) -> Command {
        let mut command = tied(format!("{PROGRAMS}/psql"));
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        command.arg(format!(
            "host=127.0.0.1 port={} user=truth dbname=postgres sslmode={mode}",
            self.port
        ));
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Fast": connections are cut.
        self.process.signal(rustix::process::Signal::INT);
        let _ = self.process.wait_within(LIMIT);
        let _ = &self.directory;
    }
}

/// A command that becomes `program` as the user of Debian's PostgreSQL. The tie to this thread is
/// set after the change of user, which would undo it.
fn by_owner(program: &str, here: &Path) -> Command {
    let mut command = tied("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .args(["setpriv", "--pdeathsig", "TERM", "--", program])
        .current_dir(here);
    command
}
