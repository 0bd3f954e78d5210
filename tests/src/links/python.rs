//! Servers in Python as `workloads/links/python` has them, by any interpreter that there is, each
//! with a backend that it calls, under one daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::grpc::built_by_setup;
use crate::links::{Load, Row, Target};
use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::workload::{await_listening, file};

/// What each row must reach whose calls all have a request.
pub const TARGET: Target = Target {
    right: 99.0,
    wrong: 0.02,
};

/// What handlers do that await, with the number of calls that each makes.
pub const AWAITING: [(&str, usize); 3] = [("direct", 2), ("fan_out", 3), ("nested", 2)];
/// The same on threads.
pub const ON_THREADS: [(&str, usize); 2] = [("threads", 2), ("executor", 2)];

/// An interpreter, and where it finds the programs and what they need.
#[derive(Debug)]
pub struct Interpreter {
    program: PathBuf,
    /// The root of its files, if it has one of its own: then all paths are within that.
    root: Option<PathBuf>,
    scripts: PathBuf,
    libraries: PathBuf,
    /// Copies of the programs, where its own root needs them.
    _copies: Option<tempfile::TempDir>,
}

impl Interpreter {
    /// Debian's, with what set-up installed for it, unless the environment names another one.
    #[must_use]
    pub fn debians() -> Self {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let libraries = named("WIRESPAN_PYTHON_LIBRARIES");
        Self {
            program: named("WIRESPAN_PYTHON").unwrap_or_else(|| "/usr/bin/python3".into()),
            root: None,
            scripts: file("links/python"),
            libraries: libraries.unwrap_or_else(|| built_by_setup("links/python")),
            _copies: None,
        }
    }

    /// One of that version (`3.14`): as set-up unpacked it, else what is on the `PATH`, else the
    /// newest of those that pyenv installed at home. `None` if this machine has none.
    ///
    /// # Panics
    /// Its root can't be written to.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        let place = built_by_setup(&format!("python/{version}"));
        let program = Path::new("usr/bin").join(format!("python{version}"));
        if place.join(&program).is_file() {
            return Some(Self::within(place, &program));
        }
        let name = format!("python{version}");
        let mut candidates = vec![PathBuf::from(name)];
        candidates.extend(pyenvs(version));
        let program = candidates.into_iter().find_map(|it| executable(&it))?;
        Some(Self {
            program,
            root: None,
            scripts: file("links/python"),
            libraries: place.join(LIBRARIES),
            _copies: None,
        })
    }

    /// One whose files have a root of their own, as a container's have.
    fn within(root: PathBuf, program: &Path) -> Self {
        let temporary = root.join("tmp");
        std::fs::create_dir_all(&temporary).expect("a directory in the root");
        let copies = tempfile::tempdir_in(&temporary).expect("a directory in the root");
        let entries = std::fs::read_dir(file("links/python")).expect("the programs");
        for entry in entries {
            let entry = entry.expect("a program");
            let to = copies.path().join(entry.file_name());
            std::fs::copy(entry.path(), to).expect("a copy of it");
        }
        let inside = |path: &Path| {
            let path = path.strip_prefix(&root).expect("a path in the root");
            Path::new("/").join(path)
        };
        Self {
            program: Path::new("/").join(program),
            scripts: inside(copies.path()),
            libraries: Path::new("/").join(LIBRARIES),
            root: Some(root),
            _copies: Some(copies),
        }
    }

    /// A command line that begins with it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = match &self.root {
            Some(root) => {
                let mut command = tied("chroot");
                command.arg(root).arg(&self.program);
                command
            }
            None => {
                let mut command = tied(&self.program);
                command.current_dir(&self.scripts);
                command
            }
        };
        let mut path = self.libraries.clone().into_os_string();
        path.push(":");
        path.push(&self.scripts);
        command
            .env("PYTHONPATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// One of the programs, told a port.
    #[must_use]
    pub fn script(&self, name: &str, port: &str, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("-u").arg(self.scripts.join(name)).arg(port);
        command.args(arguments);
        command
    }

    /// gunicorn on a port.
    #[must_use]
    pub fn gunicorn(&self, port: &str, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command
            .args(["-m", "gunicorn", "--bind", &format!("127.0.0.1:{port}")])
            .args(arguments);
        command
    }
}

/// Where set-up installs what programs need, in the place of a version.
const LIBRARIES: &str = "libraries";

/// Those of a version that pyenv installed at home, the newest first.
fn pyenvs(version: &str) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let versions = Path::new(&home).join(".pyenv/versions");
    let release = |name: &str| {
        let rest = name.strip_prefix(version)?.strip_prefix('.')?;
        rest.parse::<u32>().ok()
    };
    let entries = std::fs::read_dir(&versions).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some((release(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    found.sort_unstable();
    let paths = found.into_iter().rev();
    paths.map(|(_, path)| path.join("bin/python3")).collect()
}

/// The interpreter that a program runs, which may be a script that chooses one.
fn executable(program: &Path) -> Option<PathBuf> {
    let told = Command::new(program)
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .ok()?;
    let path = String::from_utf8(told.stdout).ok()?;
    let is_one = told.status.success() && path.starts_with('/');
    is_one.then(|| PathBuf::from(path.trim_end()))
}

/// A server, and the backend that it calls.
#[derive(Debug)]
pub struct Served {
    port: u16,
    server: Process,
    _backend: Process,
}

impl Served {
    /// Starts what `command` makes of a port, and waits until it listens.
    ///
    /// # Panics
    /// It does not.
    pub fn start(python: &Interpreter, command: impl FnOnce(&str) -> Command) -> Self {
        let (port, backend_port) = (ports::free(), ports::free());
        let mut backend = python.script("backend.py", &backend_port.to_string(), &[]);
        let backend = Process::start("backend", &mut backend);
        backend.expect_line("listening");
        let mut command = command(&port.to_string());
        command.env("BACKEND", backend_port.to_string());
        let mut server = Process::start("server", &mut command);
        await_listening(&mut server, port);
        Self {
            port,
            server,
            _backend: backend,
        }
    }

    /// Asks for shapes by turns, and looks at what became of their calls. The server has served
    /// those of `first` already when the daemon comes.
    ///
    /// # Panics
    /// A request is not answered.
    #[must_use]
    pub fn row(&self, shapes: &[(&str, usize)], first: &[(&str, usize)]) -> (Row, usize) {
        let base = format!("http://127.0.0.1:{}", self.port);
        let target = |shapes: &[(&str, usize)], id: &str| {
            let number: usize = id[1..].parse().expect("a number");
            format!("/{id}/{}", shapes[number % shapes.len()].0)
        };
        // What is imported late, and threads of pools, are there when it counts.
        let warm_up = Load {
            requests: 100,
            ..Load::of_a_row()
        };
        let answered = warm_up.send(&base, |id| target(first, id));
        assert_eq!(answered, warm_up.requests);
        let daemon = Daemon::for_port(self.port);
        daemon.wait_until_following();
        let load = Load::of_a_row();
        assert_eq!(load.send(&base, |id| target(shapes, id)), load.requests);
        let calls = (0..load.requests).map(|number| shapes[number % shapes.len()].1);
        let finished = daemon.stop();
        println!("{}", finished.log.join("\n"));
        (Row::of(&finished.spans), calls.sum())
    }

    /// Asks for shapes, and all their calls have to be linked.
    ///
    /// # Panics
    /// They are not.
    pub fn reaches(&self, name: &str, shapes: &[(&str, usize)]) {
        let (row, calls) = self.row(shapes, shapes);
        row.assert(name, Some(calls), TARGET);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The first process ends the others.
        self.server.signal(Signal::TERM);
        let _ = self.server.wait_within(LIMIT);
    }
}
