//! Test executables: compiled all at once by cargo, and run one after the other without it, so that
//! only running counts as running, and so that virtual machines can run the same files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::counts::Counts;
use crate::process;
use crate::workspace;

/// Whose tests run end to end; the others need neither root nor a server.
const END_TO_END: &str = "wirespan-tests";

/// Tests of this prefix are soaks and not for every run.
pub const SOAK: &str = "soak_";

/// A test executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// What cargo calls it: the name of its file without `.rs`, or of the crate.
    pub name: String,
    /// Where cargo left it.
    pub path: PathBuf,
    /// The package's directory, in which cargo would run it.
    directory: PathBuf,
    /// Of its package.
    end_to_end: bool,
}

/// What became of the compilation.
#[derive(Default)]
pub struct Compiled {
    executables: Vec<Executable>,
    failed: bool,
    /// The daemon that they test.
    pub daemon: PathBuf,
}

impl Compiled {
    /// What a command of cargo's leaves, for tests of this daemon.
    pub fn by(cargo: &mut Command, daemon: PathBuf) -> Result<Self> {
        let (status, messages) =
            process::output_of(cargo.args(["--message-format", "json-render-diagnostics"]))?;
        Ok(Self {
            executables: messages.lines().filter_map(executable).collect(),
            failed: !status.success(),
            daemon,
        })
    }

    /// Fails if anything did not compile; the compiler has said what.
    pub fn complete(&self) -> Result<()> {
        if self.failed {
            bail!("not everything compiled");
        }
        if self.executables.is_empty() {
            bail!("there are no tests");
        }
        Ok(())
    }

    /// Those that need neither root nor a server.
    pub fn units(&self) -> impl Iterator<Item = &Executable> {
        self.executables.iter().filter(|found| !found.end_to_end)
    }

    /// Those that run end to end, without the soaks.
    pub fn end_to_end(&self) -> impl Iterator<Item = &Executable> {
        let all = self.executables.iter();
        all.filter(|found| found.end_to_end && !found.name.starts_with(SOAK))
    }

    /// The soaks.
    pub fn soaks(&self) -> impl Iterator<Item = &Executable> {
        let all = self.executables.iter();
        all.filter(|found| found.end_to_end && found.name.starts_with(SOAK))
    }
}

/// Compiles the tests of the workspace, as many as compile. One command for all: what one package
/// asks of a dependency would have it compiled once more for the others.
pub fn compile() -> Result<Compiled> {
    Compiled::by(
        // `cargo test --no-run` would stop at the first that does not compile.
        workspace::cargo(&["build", "--quiet", "--keep-going", "--bins", "--tests"]).args([
            "--workspace",
            "--exclude",
            "wirespan-ebpf",
        ]),
        workspace::daemon(),
    )
}

/// Runs each to its end with `adapt`ed command, and counts. One that crashes is a failure, and so
/// is one that says nothing for `silence`.
pub fn run<'a>(
    executables: impl Iterator<Item = &'a Executable>,
    silence: Duration,
    adapt: impl Fn(&mut Command),
) -> Counts {
    let mut counts = Counts::default();
    for executable in executables {
        if process::interrupted() {
            break;
        }
        println!("running {}", executable.name);
        let mut command = process::tied(&executable.path);
        command.current_dir(&executable.directory);
        adapt(&mut command);
        let watched = process::run_watched(&mut command, "", silence);
        if let Err(error) = &watched.status {
            eprintln!("{}: {error:#}", executable.name);
        }
        counts.add(Counts::of_executables(&watched.said, 1));
    }
    counts
}

/// From a message of cargo about a finished artifact.
fn executable(message: &str) -> Option<Executable> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let directory = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(Executable {
        name: message["target"]["name"].as_str()?.to_owned(),
        path: message["executable"].as_str()?.into(),
        directory: directory.to_owned(),
        end_to_end: package(message["package_id"].as_str()?, directory) == END_TO_END,
    })
}

/// `path+file:///w/tests#wirespan-tests@0.1.0`; without a name if the directory has the same.
fn package<'a>(id: &'a str, directory: &'a Path) -> &'a str {
    let (_, fragment) = id.rsplit_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => directory
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(test: bool, id: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","profile":{{"test":{test}}},"executable":"/t/x-0f",
            "target":{{"name":"x"}},"manifest_path":"/w/xtask/Cargo.toml","package_id":"{id}"}}"#
        )
    }

    #[test]
    fn only_tests_are_executables_to_run() {
        let id = "path+file:///w/tests#wirespan-tests@0.1.0";
        let found = executable(&message(true, id)).expect("a test");
        assert_eq!((&*found.name, found.path), ("x", "/t/x-0f".into()));
        assert_eq!(found.directory, Path::new("/w/xtask"));
        assert!(found.end_to_end);
        assert_eq!(executable(&message(false, id)), None);
        assert_eq!(executable(r#"{"reason":"build-finished"}"#), None);
    }

    #[test]
    fn a_package_is_known_whether_or_not_its_directory_has_its_name() {
        let id = "path+file:///w/xtask#0.1.0";
        assert_eq!(package(id, Path::new("/w/xtask")), "xtask");
        let found = executable(&message(true, id)).expect("a test");
        assert!(!found.end_to_end);
    }
}
