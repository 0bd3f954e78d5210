//! What the daemon says when it can't do what it was asked to, and how it lives with receivers that
//! are away.

use std::time::Duration;

use wirespan_tests::daemon::{Daemon, binary, command, run_to_end};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::receiver::Receiver;
use wirespan_tests::workload::{Server, curl};

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_2() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let port = ("BEYLA_OPEN_PORT", "20000");
    let printer = ("BEYLA_TRACE_PRINTER", "text");
    // What is set on top of, or instead of, a port and a printer; and what the line has to name.
    let cases: &[Case<'_>] = &[
        (
            &[("BEYLA_OPEN_PORT", "80a")],
            &["BEYLA_OPEN_PORT", "80a", "80,443,8000-8999"],
        ),
        (&[("BEYLA_OPEN_PORT", "9-1")], &["BEYLA_OPEN_PORT", "9-1"]),
        (
            &[("BEYLA_OPEN_PORT", "")],
            &["BEYLA_OPEN_PORT", "BEYLA_TARGET_PID"],
        ),
        (
            &[("BEYLA_AUTO_TARGET_EXE", "[")],
            &["BEYLA_AUTO_TARGET_EXE", "["],
        ),
        (
            &[("BEYLA_EXECUTABLE_NAME", "(")],
            &["BEYLA_EXECUTABLE_NAME", "("],
        ),
        (&[("BEYLA_TARGET_PID", "me")], &["BEYLA_TARGET_PID", "me"]),
        (
            &[("BEYLA_TRACE_PRINTER", "xml")],
            &["BEYLA_TRACE_PRINTER", "xml", "json_indent"],
        ),
        (
            &[("BEYLA_TRACE_PRINTER", "")],
            &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        ),
        (
            &[("BEYLA_SHUTDOWN_TIMEOUT", "10")],
            &["BEYLA_SHUTDOWN_TIMEOUT", "10s"],
        ),
        (&[("BEYLA_LOG_LEVEL", "loud")], &["BEYLA_LOG_LEVEL", "loud"]),
        (
            &[("WIRESPAN_CAPTURE", "ptrace")],
            &["WIRESPAN_CAPTURE", "ptrace", "fexit"],
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere")],
            &["OTEL_EXPORTER_OTLP_ENDPOINT"],
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "udp"),
            ],
            &["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"],
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ],
            &["OTEL_EXPORTER_OTLP_HEADERS"],
        ),
    ];
    for (settings, named) in cases {
        let mut command = command();
        command.envs([port, printer]).envs(settings.iter().copied());
        let (code, printed, log) = run_to_end(&mut command);
        assert_eq!(code, Some(2), "{settings:?}: {log:?}");
        assert!(printed.is_empty(), "{printed:?}");
        let [line] = log.as_slice() else {
            panic!("{settings:?}: one line, not {log:?}");
        };
        assert!(line.starts_with("wirespan: "), "{line}");
        for name in *named {
            assert!(line.contains(name), "{line:?} does not name {name}");
        }
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn a_wrong_flag_is_named_like_its_variable() {
    let mut command = command();
    command.args(["--open-port", "x", "--printer", "text"]);
    let (code, _, log) = run_to_end(&mut command);
    assert_eq!(code, Some(2));
    assert!(
        log[0].starts_with("wirespan: --open-port=\"x\" is not allowed"),
        "{log:?}"
    );
}

#[test]
fn without_privileges_one_line_names_what_is_missing_and_the_remedy() {
    // Somewhere that nobody may enter and read.
    let directory = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .expect("a directory");
    let copy = directory.path().join("wirespan");
    std::fs::copy(binary(), &copy).expect("a copy");
    let mut command = tied("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(&copy)
        .envs([
            ("BEYLA_OPEN_PORT", "20000"),
            ("BEYLA_TRACE_PRINTER", "text"),
        ]);
    let (code, _, log) = run_to_end(&mut command);
    assert_eq!(code, Some(1), "{log:?}");
    let [line] = log.as_slice() else {
        panic!("one line, not {log:?}");
    };
    for name in ["CAP_BPF", "CAP_PERFMON", "setcap", "sudo"] {
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn a_recording_that_is_none_is_refused_and_an_existing_file_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "precious").expect("a file");
    let name = file.to_str().expect("a path in UTF-8");
    let mut replay = command();
    replay.args(["replay", name, "--printer", "json"]);
    let (code, _, log) = run_to_end(&mut replay);
    assert_eq!(code, Some(1), "{log:?}");
    assert!(log.join("\n").contains(name), "{log:?}");
    let mut record = command();
    record.args(["record", name, "--open-port", "20000"]);
    let (code, _, log) = run_to_end(&mut record);
    assert_eq!(code, Some(1), "{log:?}");
    assert!(log.join("\n").contains(name), "{log:?}");
    assert_eq!(
        std::fs::read_to_string(&file).expect("still there"),
        "precious"
    );
}

/// A daemon that sends to `endpoint` besides printing.
fn exporting(port: u16, endpoint: &str) -> Daemon {
    Daemon::start(&[
        ("BEYLA_OPEN_PORT", &port.to_string()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "10"),
        ("BEYLA_SHUTDOWN_TIMEOUT", "3s"),
    ])
}

#[test]
fn a_receiver_that_comes_late_gets_what_the_queue_held_and_the_rest_is_counted() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut receiver = runtime.block_on(Receiver::start()).expect("a receiver");
    runtime.block_on(receiver.go_away());
    let server = Server::python();
    let endpoint = format!("http://{}", receiver.address());
    let daemon = exporting(server.port, &endpoint);
    for number in 0..30 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    // The application was served, and the printer saw all of it.
    daemon.wait_for_count(30);
    runtime.block_on(receiver.come_back()).expect("its port");
    let spans = runtime
        .block_on(receiver.wait_for(|spans| !spans.is_empty(), Duration::from_secs(30)))
        .expect("delivery resumes by itself");
    let _ = curl(&[&server.url("/after")]);
    let all = runtime
        .block_on(receiver.wait_for(
            |all| {
                all.iter().any(|span| {
                    span.attributes.iter().any(|pair| {
                        pair.key == "url.path" && format!("{:?}", pair.value).contains("/after")
                    })
                })
            },
            Duration::from_secs(30),
        ))
        .expect("what comes later is delivered too");
    assert!(spans.len() <= 31 && all.len() > spans.len().min(1));
    let finished = daemon.stop();
    let lost = finished.lost();
    let delivered = receiver.spans().len();
    let dropped: usize = lost
        .split(", ")
        .filter_map(|loss| loss.strip_prefix("queue_full "))
        .map(|count| count.parse::<usize>().expect("a number"))
        .sum();
    assert_eq!(delivered + dropped, 31, "{lost}");
}

#[test]
fn a_receiver_that_never_comes_costs_no_more_than_the_shutdown_timeout() {
    let server = Server::python();
    let port = wirespan_tests::ports::free();
    let daemon = exporting(server.port, &format!("http://127.0.0.1:{port}"));
    for number in 0..5 {
        let _ = curl(&[&server.url(&format!("/{number}"))]);
    }
    daemon.wait_for_count(5);
    // It ends at all, for nobody will ever take them.
    let finished = daemon.stop();
    assert!(
        finished.lost().contains("shutdown_timeout 5"),
        "{}",
        finished.summary()
    );
}

#[test]
fn help_tells_each_way_to_select() {
    let mut help = command();
    help.arg("--help");
    let said = Process::start("wirespan", &mut help).succeed().join("\n");
    for name in [
        "BEYLA_OPEN_PORT",
        "BEYLA_AUTO_TARGET_EXE",
        "BEYLA_EXECUTABLE_NAME",
        "BEYLA_TARGET_PID",
    ] {
        assert!(said.contains(name), "{said}");
    }
}
