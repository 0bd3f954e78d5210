//! Files that recordings are: whose they are, how they end, and copies that can be handed on.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Signal;
use wirespan_tests::daemon::{binary, command, replayed_spans, run_to_end};
use wirespan_tests::process::{LIMIT, Process, tied};
use wirespan_tests::workload::{Server, curl};

const SECRET: &str = "S3cr3tV4lue";

/// Asks a server several times while `command` records, and ends that; exit code and log.
fn record(mut command: std::process::Command, server: &Server, requests: usize) -> (i32, String) {
    let port = server.port.to_string();
    command.args(["--open-port", &port]);
    let mut recorder = Process::start("wirespan", &mut command);
    let ready = recorder.stderr.wait_for_line(LIMIT, "wirespan: ready");
    assert!(ready.is_some(), "{}", recorder.story());
    let authorization = format!("Authorization: Bearer {SECRET}");
    for number in 0..requests {
        let url = server.url(&format!("/{number}?token={SECRET}"));
        let _ = curl(&["-H", &authorization, &url]);
    }
    recorder.signal(Signal::TERM);
    let status = recorder.wait();
    let log = recorder.stderr.finish(LIMIT).join("\n");
    (status.code().expect("it exits"), log)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_recording_is_its_owners_and_a_copy_without_secrets_makes_the_same_spans() {
    let folder = tempfile::tempdir().expect("a directory");
    let (file, copy) = (folder.path().join("calls"), folder.path().join("copy"));
    let server = Server::python();
    let mut recorder = command();
    recorder.args(["record", text(&file)]);
    let (code, log) = record(recorder, &server, 5);
    assert_eq!(code, 0, "{log}");
    let mode = std::fs::metadata(&file).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);

    let mut redact = command();
    redact.args(["redact", text(&file), text(&copy)]);
    let (code, _, log) = run_to_end(&mut redact);
    assert_eq!(code, Some(0), "{log:?}");
    let has_secret = |path| {
        let bytes = std::fs::read(path).expect("there");
        bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    };
    assert!(has_secret(&file) && !has_secret(&copy));
    let spans = |path| -> Vec<String> {
        let mut lines: Vec<_> = replayed_spans(text(path))
            .iter()
            .map(|span| span.line())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(spans(&file), spans(&copy));
    assert_eq!(spans(&copy).len(), 5);
}

#[test]
fn a_full_disk_is_said_and_no_success() {
    let server = Server::python();
    // A disk of 64 KiB that nobody else sees.
    let script = "mount --make-rprivate / && mount -t tmpfs -o size=64k none /mnt && \
                  exec \"$@\"";
    let mut recorder = tied("unshare");
    recorder
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(binary())
        .args(["record", "/mnt/calls"]);
    let (code, log) = record(recorder, &server, 100);
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("lost: not_recorded "), "{log}");
    assert!(log.contains("INCOMPLETE"), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
}
