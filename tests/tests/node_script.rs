//! The script that a user may load into Node: what it leaves of a program that it is loaded into.
//! Nobody watches here.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wirespan_tests::daemon::binary;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::tls::built;
use wirespan_tests::workload::file;

fn hand_out(directory: &Path) -> PathBuf {
    let script = directory.join("wirespan-node.cjs");
    let mut command = tied(binary());
    Process::start("wirespan", command.arg("node-script").arg(&script)).succeed();
    script
}

/// What a program says in the end into which the script is loaded, in such an environment.
fn loaded(node: &Path, script: &Path, strange: &str, options: &[&str]) -> Value {
    let mut command = tied(node);
    command.args(options).arg("--require");
    command.arg(file("links/node/strange.js")).arg("--require");
    command.arg(script).arg(file("links/node/alone.js"));
    command.env("STRANGE", strange);
    let lines = Process::start("node", &mut command).succeed();
    // It says nothing itself.
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn a_program_ends_as_without_it_and_what_is_strange_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = hand_out(directory.path());
    let loaded_nowhere = directory.path().join("nothing.cjs");
    std::fs::write(&loaded_nowhere, "").expect("a file");
    for node in [PathBuf::from("/usr/bin/node"), built("bin/node")] {
        let without = loaded(&node, &loaded_nowhere, "nothing", &[]);
        let expected = |before: bool, after: bool| {
            let mut expected = without.clone();
            (expected["before"], expected["after"]) = (json!(before), json!(after));
            expected
        };
        for (strange, before, after) in [
            ("nothing", true, true),
            ("another_version", false, false),
            ("a_later_version", false, false),
            ("bun", false, false),
            ("no_proc", true, false),
            ("no_channels", false, false),
            ("no_store", true, false),
        ] {
            let told = loaded(&node, &script, strange, &[]);
            assert_eq!(told, expected(before, after), "{strange}, {node:?}");
        }
    }
}

#[test]
fn it_may_be_loaded_twice_and_refuses_to_overwrite() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = hand_out(directory.path());
    let twice = ["--require", script.to_str().expect("text")];
    let told = loaded(Path::new("/usr/bin/node"), &script, "nothing", &twice);
    assert_eq!(
        (&told["answer"], &told["after"]),
        (&json!("/outer"), &json!(true))
    );
    let mut command = tied(binary());
    let again = Process::start("wirespan", command.arg("node-script").arg(&script));
    let printed = {
        let mut command = tied(binary());
        Process::start("wirespan", command.arg("node-script")).succeed()
    };
    let mut again = again;
    assert_eq!(again.wait().code(), Some(1));
    let written = std::fs::read_to_string(&script).expect("the script");
    assert_eq!(printed.join("\n"), written.trim_end());
}
