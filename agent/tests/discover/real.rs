//! Real processes on the real `/proc`. Each is waited for by what it says on its standard output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use wirespan::config::{DiscoverConfig, ServiceOverride};
use wirespan::discover::{Action, Describer, Look, ProcRoot, Process, Watcher};
use wirespan_common::record::{Life, LifeEvent};

use crate::targets;

/// A child that is ended with the test.
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }

    fn is_told(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it reads");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn describe(pid: u32) -> Process {
    Describer::new(ProcRoot::host(), ServiceOverride::default())
        .describe(pid)
        .expect("it runs")
}

fn life(event: LifeEvent, watched: u8) -> Life {
    Life {
        event: event as u8,
        watched,
        port: 0,
        other: 0,
        comm: *b"gone\0\0\0\0\0\0\0\0\0\0\0\0",
    }
}

/// The look that was asked for last.
fn look(actions: &[Action]) -> &Look {
    let mut looks = actions.iter().filter_map(|action| match action {
        Action::Look(look) => Some(look),
        _ => None,
    });
    looks.next_back().expect("a look")
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn a_listening_python_server_is_found_by_its_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("till.py");
    let code = "import socket, sys\n\
                s = socket.socket()\n\
                s.bind(('127.0.0.1', 0))\n\
                s.listen()\n\
                print(s.getsockname()[1], flush=True)\n\
                sys.stdin.read()\n";
    std::fs::write(&script, code).expect("written");
    let mut server = Running::start(
        Command::new("python3")
            .arg("-u")
            .arg(&script)
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=prod,team=a"),
    );
    let port = server.says();

    let mut watcher = Watcher::new(
        ProcRoot::host(),
        DiscoverConfig {
            targets: targets(&[("BEYLA_OPEN_PORT", &port)]),
            ..DiscoverConfig::default()
        },
    );
    let mut actions = Vec::new();
    watcher.scan(&mut actions);
    assert_eq!(actions.len(), 3, "{actions:?}");
    assert_eq!(actions[0], Action::Watch(server.pid()));
    let process = watcher.describer().describe(look(&actions).pid);
    let process = process.expect("it runs");
    assert_eq!(process.service_name, "till");
    assert_eq!(process.service_namespace.as_deref(), Some("prod"));
    assert_eq!(process.resource_attributes["team"], "a");
    assert_eq!(process.language.as_deref(), Some("python"));
    assert!(process.start_ns > 0);
    assert_eq!(
        process.service_instance_id,
        format!("{}:{}", process.host_name, server.pid())
    );
}

#[test]
fn a_module_of_python_gives_the_name() {
    let mut shell = Running::start(Command::new("python3").args(["-u", "-m", "code", "-q"]));
    shell.is_told("print(6 * 7)");
    assert!(shell.says().ends_with("42"));
    assert_eq!(describe(shell.pid()).service_name, "code");
}

#[test]
fn a_node_server_is_named_by_its_folder() {
    if !is_installed("node") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().join("till");
    std::fs::create_dir(&folder).expect("created");
    let code = "console.log('ready'); process.stdin.resume();";
    std::fs::write(folder.join("index.js"), code).expect("written");
    let mut node = Running::start(Command::new("node").arg("index.js").current_dir(&folder));
    assert_eq!(node.says(), "ready");
    let process = describe(node.pid());
    assert_eq!(process.service_name, "till");
    assert_eq!(process.language.as_deref(), Some("nodejs"));
}

#[test]
fn a_shell_that_runs_another_program_is_judged_again() {
    // `cat` answers, so its answer says that the exec is over.
    let mut shell = Running::start(Command::new("sh").args(["-c", "echo ready; read x; exec cat"]));
    assert_eq!(shell.says(), "ready");
    let root = ProcRoot::host();
    let mut watcher = Watcher::new(
        root,
        DiscoverConfig {
            targets: targets(&[("BEYLA_EXECUTABLE_NAME", "/(dash|bash|sh|busybox)$")]),
            ..DiscoverConfig::default()
        },
    );
    let mut actions = Vec::new();
    watcher.observe(
        shell.pid(),
        LifeEvent::Exec,
        &life(LifeEvent::Exec, 0),
        &mut actions,
    );
    assert_eq!(actions[0], Action::Watch(shell.pid()));

    shell.is_told("");
    shell.is_told("hello");
    assert_eq!(shell.says(), "hello");
    actions.clear();
    watcher.observe(
        shell.pid(),
        LifeEvent::Exec,
        &life(LifeEvent::Exec, 1),
        &mut actions,
    );
    assert_eq!(actions, [Action::Unwatch(shell.pid())]);
}

#[test]
fn a_process_that_has_ended_is_named_by_the_kernel() {
    let mut child = Command::new("true").spawn().expect("it starts");
    let pid = child.id();
    child.wait().expect("it ends");
    let describer = Describer::new(ProcRoot::host(), ServiceOverride::default());
    assert_eq!(describer.describe(pid), None);

    let mut watcher = Watcher::new(
        ProcRoot::host(),
        DiscoverConfig {
            targets: targets(&[("BEYLA_OPEN_PORT", "1")]),
            ..DiscoverConfig::default()
        },
    );
    let mut actions = Vec::new();
    watcher.observe(
        pid,
        LifeEvent::Exec,
        &life(LifeEvent::Exec, 1),
        &mut actions,
    );
    let look = look(&actions).clone();
    actions.clear();
    watcher.looked(&look, None, &mut actions);
    assert!(
        matches!(&actions[..], [Action::Described(process)] if process.service_name == "gone"),
        "{actions:?}"
    );
}

#[test]
fn a_zombie_is_not_described() {
    let mut child = Command::new("true")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Its output ends when it has ended, but nobody has waited for it yet.
    let mut output = child.stdout.take().expect("a pipe");
    std::io::copy(&mut output, &mut std::io::sink()).expect("read");
    let pid = child.id();
    let describer = Describer::new(ProcRoot::host(), ServiceOverride::default());
    assert_eq!(describer.describe(pid), None);
    child.wait().expect("it ends");
}

#[test]
fn a_rust_program_is_told_by_its_headers() {
    assert_eq!(
        describe(std::process::id()).language.as_deref(),
        Some("rust")
    );
}

#[test]
fn the_own_pid_is_known() {
    assert_eq!(ProcRoot::host().own_pid(), std::process::id());
    assert!(!ProcRoot::host().host_name().is_empty());
    assert_eq!(ProcRoot::at("/nowhere").own_pid(), std::process::id());
}

#[test]
fn a_script_is_named_alike_before_and_after_node_sets_its_title() {
    if !is_installed("node") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("till.js");
    let text = "process.stdin.once('data', () => {
                    process.title = 'node ' + __filename;
                    console.log('set');
                });
                console.log('ready');";
    std::fs::write(&script, text).expect("written");
    let mut node = Running::start(Command::new("node").arg(&script));
    assert_eq!(node.says(), "ready");
    assert_eq!(describe(node.pid()).service_name, "till");
    node.is_told("go on");
    assert_eq!(node.says(), "set");
    let process = describe(node.pid());
    assert_eq!(process.command_args.len(), 1, "{process:?}");
    assert_eq!(process.service_name, "till");
}

#[test]
fn a_worker_that_python_spawned_is_named_by_its_parent() {
    if !is_installed("python3") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("till.py");
    let text = "
import multiprocessing, os, sys
def work(told, until):
    told.put(os.getpid())
    until.wait()
if __name__ == '__main__':
    multiprocessing.set_start_method('spawn')
    told, until = multiprocessing.Queue(), multiprocessing.Event()
    worker = multiprocessing.Process(target=work, args=(told, until))
    worker.start()
    print(told.get(), flush=True)
    sys.stdin.readline()
    until.set()
    worker.join()
    print('ended', flush=True)
";
    std::fs::write(&script, text).expect("written");
    let mut python = Running::start(Command::new("python3").arg(&script));
    let worker = python.says().parse().expect("a pid");
    assert_eq!(describe(worker).service_name, "till");
    python.is_told("end");
    assert_eq!(python.says(), "ended");
}
