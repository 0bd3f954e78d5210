//! What `wirespan processes` says about real programs.

use serde_json::Value;
use wirespan_tests::daemon::{command, run_to_end};
use wirespan_tests::ports;
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::tls::built;
use wirespan_tests::workload::{Nginx, Server, curl, eventually, file};

/// The rows for a pid.
fn processes(pid: u32) -> Vec<Value> {
    let pid = pid.to_string();
    let mut command = command();
    command.args(["processes", "--json", "--target-pid", &pid]);
    let (code, stdout, stderr) = run_to_end(&mut command);
    assert_eq!(code, Some(0), "{}", stderr.join("\n"));
    serde_json::from_str(&stdout.join("\n")).expect("JSON")
}

#[test]
fn openssl_within_node_is_read_by_return_instructions() {
    let server = Server::node();
    let rows = processes(server.process.pid());
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row["pid"], server.process.pid());
    assert_eq!(row["language"], "nodejs");
    assert_eq!(row["ports"], serde_json::json!([server.port]));
    assert_eq!(row["service_name"], "server");
    let tls = row["tls"].as_array().expect("a list");
    assert_eq!(tls.len(), 1, "{row}");
    assert_eq!(tls[0]["library"], "OpenSSL");
    assert_eq!(tls[0]["read_by"], "return instructions");
    assert_eq!(tls[0]["reason"], Value::Null);
}

/// By which the calls of a process are linked, and the reason if they are not.
fn links(pid: u32) -> (Value, Value) {
    let rows = processes(pid);
    let links = rows[0]["links"].as_array().expect("a list");
    assert_eq!(links.len(), 1, "{rows:?}");
    (links[0]["by"].clone(), links[0]["reason"].clone())
}

#[test]
fn how_calls_are_linked_is_told_or_why_not() {
    let nginx = Nginx::start(1, "", "");
    // The master and its workers run the same program.
    assert_eq!(
        links(nginx.process.pid()),
        ("proxy_request".into(), Value::Null)
    );
    let go = Server::on(ports::free(), |port| {
        let mut command = tied(built("bin/links-go-newest-stripped"));
        command.args(["back", port]);
        command
    });
    assert_eq!(links(go.process.pid()), ("goroutine".into(), Value::Null));
    let sleep = Process::start("sleep", tied("sleep").arg("60"));
    assert_eq!(links(sleep.pid()), ("thread".into(), Value::Null));
    // It serves all on one thread, of which nothing is known.
    let node = Server::node();
    let (by, reason) = links(node.process.pid());
    assert_eq!(by, Value::Null);
    assert!(reason.is_string(), "{reason}");
    let bash = Process::start("bash", tied("bash").args(["-c", "read line"]));
    assert_eq!(links(bash.pid()).0, Value::Null);
}

#[test]
fn node_with_the_script_is_told_from_node_without() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("any-name.cjs");
    let (code, ..) = run_to_end(command().arg("node-script").arg(&script));
    assert_eq!(code, Some(0));
    let require = format!("--require={}", script.display());
    for by_arguments in [true, false] {
        let node = Server::on(ports::free(), |port| {
            let mut command = tied("node");
            if by_arguments {
                command.arg(&require);
            } else {
                command.env("NODE_OPTIONS", &require);
            }
            command.arg(file("server.js")).arg(port);
            command
        });
        let expected = ("node_store".into(), Value::Null);
        assert_eq!(links(node.process.pid()), expected, "{by_arguments}");
    }
}

/// From the settings to the last loss.
#[test]
fn a_process_is_explained() {
    let server = Server::python();
    let pid = server.process.pid().to_string();
    let port = server.port.to_string();
    let other = ports::free().to_string();
    for (asked, verdict) in [(&port, "watched"), (&other, "not watched")] {
        let mut command = command();
        command.args(["explain", &pid, "--watch", "0s", "--open-port", asked]);
        let (code, stdout, stderr) = run_to_end(&mut command);
        assert_eq!(code, Some(0), "{}", stderr.join("\n"));
        let selection = format!("selection: {verdict}");
        assert!(stdout.contains(&selection), "{stdout:#?}");
        let found = format!("it listens on {port}");
        assert!(
            stdout.iter().any(|line| line.ends_with(&found)),
            "{stdout:#?}"
        );
    }
    let mut command = command();
    command.args(["explain", &pid, "--watch", "1h"]);
    let mut explained = Process::start("wirespan explain", &mut command);
    let begins = explained.stdout.wait_for_line(LIMIT, "what it says");
    assert!(begins.is_some(), "{}", explained.story());
    for number in 0..3 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    let _ = server.truth(3);
    assert!(explained.stop().success(), "{}", explained.story());
    let said = explained.succeed();
    for line in [
        "selection: no setting says which processes are watched",
        "  spans: server of HTTP/1.1 3",
        "  parents found, by how they are known: none",
        "  lost: nothing",
    ] {
        assert!(said.iter().any(|it| it == line), "{line:?} {said:#?}");
    }
    // One that is not there.
    let mut command = wirespan_tests::daemon::command();
    let (code, _, log) = run_to_end(command.args(["explain", "4194304"]));
    assert_eq!(code, Some(1));
    let last = log.last().expect("a line");
    assert!(
        last.ends_with("4194304 can't be explained: there is no such process"),
        "{last}"
    );
}

#[test]
fn a_library_that_is_loaded_late_is_there_then() {
    let script = "print('ready', flush=True); input(); import ssl; print('loaded', flush=True); \
                  input()";
    let mut python = Process::start("python", tied("/usr/bin/python3").args(["-c", script]));
    python.expect_line("ready");
    assert_eq!(processes(python.pid())[0]["tls"], serde_json::json!([]));
    python.tell("");
    python.expect_line("loaded");
    let rows = processes(python.pid());
    let tls = &rows[0]["tls"][0];
    assert_eq!(tls["library"], "OpenSSL", "{rows:?}");
    assert_eq!(tls["read_by"], "return probes");
    let file = tls["file"].as_str().expect("a path");
    assert!(file.contains("/libssl.so."), "{file}");
}

#[test]
fn a_program_without_tls_has_none() {
    let sleep = Process::start("sleep", tied("sleep").arg("60"));
    let rows = processes(sleep.pid());
    assert_eq!(rows[0]["tls"], serde_json::json!([]), "{rows:?}");
}

#[test]
fn programs_whose_bytes_cannot_be_copied_are_named() {
    // io_uring_setup(1, params).
    let script = "import ctypes; params = ctypes.create_string_buffer(120); \
                  made = ctypes.CDLL(None).syscall(425, 1, params); \
                  print('ready', made > 0, flush=True); input()";
    let python = Process::start("python", tied("/usr/bin/python3").args(["-c", script]));
    python.expect_line("ready True");
    let rows = processes(python.pid());
    assert_eq!(rows[0]["uncopied"], serde_json::json!(["io_uring"]));

    // It needs no library: pause(2), again and again.
    let source = "void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" :: \"a\"(29)); }";
    let directory = tempfile::tempdir().expect("a directory");
    let (file, program) = (
        directory.path().join("short.c"),
        directory.path().join("short"),
    );
    std::fs::write(&file, source).expect("a file");
    let mut compiler = tied("gcc");
    compiler.args(["-m32", "-nostdlib", "-static", "-fno-pie", "-o"]);
    compiler.arg(&program).arg(&file);
    let _ = Process::start("gcc", &mut compiler).succeed();
    let short = Process::start("short", &mut tied(&program));
    eventually("the program to run", || {
        std::fs::read_link(format!("/proc/{}/exe", short.pid()))
            .is_ok_and(|executable| executable == program)
    });
    let rows = processes(short.pid());
    assert_eq!(rows[0]["uncopied"], serde_json::json!(["32_bit"]));
}
