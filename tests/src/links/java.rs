//! Services in Java, as `workloads/links/java` has them, compiled when a test needs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, tied};
use crate::tls::built;
use crate::workload::file;

/// Tomcat, and what it asks for; as Debian has them.
const JARS: [&str; 2] = [
    "/usr/share/java/tomcat10-embed-core.jar",
    "/usr/share/java/jakarta-annotation-api.jar",
];

/// Sources of the workload.
const SOURCES: [&str; 3] = ["Served.java", "Catalina.java", "Work.java"];

/// The compiled workload.
#[derive(Debug)]
pub struct Classes {
    directory: TempDir,
}

impl Classes {
    /// Compiles it.
    ///
    /// # Panics
    /// It can't be compiled.
    #[must_use]
    pub fn compile() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut compiler = tied("javac");
        compiler.args(["-nowarn", "-cp", &JARS.join(":"), "-d"]);
        compiler.arg(directory.path());
        compiler.args(SOURCES.map(|name| file(&format!("links/java/{name}"))));
        Process::start("javac", &mut compiler).succeed();
        Self { directory }
    }

    /// A server of a kind, on threads of a kind, run by that `java`; see `Served.java`.
    #[must_use]
    pub fn served(&self, java: &Path, kinds: [&str; 2], port: u16, backend: u16) -> Command {
        let mut command = tied(java);
        // Small: the tests' machine has other things to do.
        command.args(["-Xmx192m", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(format!(
            "{}:{}",
            self.directory.path().display(),
            JARS.join(":")
        ));
        command.arg("Served").args(kinds);
        command.args([port, backend].map(|number| number.to_string()));
        command
    }
}

/// A Java that set-up brought: `21` or `25`; or Debian's.
#[must_use]
pub fn java(version: &str) -> PathBuf {
    match version {
        "17" => "/usr/bin/java".into(),
        other => built(&format!("bin/java-{other}")),
    }
}

/// A copy of a Java, in `directory`, whose virtual machine tells debuggers nothing of the C
/// library's threads, by which the kernel side checks what it finds.
///
/// # Panics
/// It can't be copied.
#[must_use]
pub fn reticent(java: &Path, directory: &Path) -> PathBuf {
    const NAME: &[u8] = b"\0_pthread_id\0";
    let java = java.canonicalize().expect("a file");
    let runtime = java.ancestors().nth(2).expect("bin/java");
    let copy = directory.join("java");
    let mut cp = tied("cp");
    cp.arg("--recursive").arg(runtime).arg(&copy);
    Process::start("cp", &mut cp).succeed();
    let library = copy.join("lib/server/libjvm.so");
    let mut bytes = std::fs::read(&library).expect("a file");
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, NAME).collect();
    assert!(!places.is_empty(), "nothing to be renamed");
    for at in places {
        bytes[at + 1] = b'-';
    }
    std::fs::write(&library, bytes).expect("written");
    copy.join("bin/java")
}
