//! What `wirespan processes` says about real programs.

use serde_json::Value;
use wirespan_tests::daemon::{command, run_to_end};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::workload::Server;

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
