//! Every line that refuses a configuration.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use wirespan::config::{Config, Purpose};

use crate::{ENOUGH, config_with, error_of, load};

#[test]
fn a_wrong_value_is_answered_with_its_variable_the_value_and_what_is_allowed() {
    const URL: &str = "a URL such as http://collector:4318 or https://collector:4317";
    const DURATION: &str = "a duration such as 10s, 500ms or 1m30s";
    for (name, value, allowed) in [
        (
            "BEYLA_OPEN_PORT",
            "80a",
            "TCP ports and ranges from 1 to 65535, such as 80,443,8000-8999",
        ),
        (
            "OTEL_EBPF_OPEN_PORT",
            "0",
            "TCP ports and ranges from 1 to 65535, such as 80,443,8000-8999",
        ),
        (
            "BEYLA_AUTO_TARGET_EXE",
            "[",
            "globs for the full path of an executable, such as */nginx or /opt/{shop,bank}/*",
        ),
        (
            "BEYLA_EXECUTABLE_NAME",
            "(",
            "a regular expression for the path of an executable, such as nginx|haproxy",
        ),
        (
            "BEYLA_TARGET_PID",
            "-1",
            "process ids, such as 1234 or 1234,5678",
        ),
        (
            "BEYLA_TRACE_PRINTER",
            "xml",
            "text, tree, json, json_indent, counter or disabled",
        ),
        ("BEYLA_SHUTDOWN_TIMEOUT", "10", DURATION),
        (
            "BEYLA_HEALTH_CHECK_PORT",
            "65536",
            "a TCP port, or 0 for none",
        ),
        (
            "BEYLA_HEALTH_CHECK_LISTEN_ADDRESS",
            "eth0",
            "an address to listen on, such as 127.0.0.1, 0.0.0.0, :: or localhost",
        ),
        (
            "BEYLA_LOG_LEVEL",
            "loud",
            "error, warn, info, debug, trace or off",
        ),
        ("BEYLA_BPF_DEBUG", "maybe", "true or false"),
        (
            "WIRESPAN_CAPTURE",
            "ptrace",
            "auto, socket_tracepoints, fexit, kprobes, syscall_tracepoints, legacy or \
             legacy_kprobes",
        ),
        (
            "WIRESPAN_BTF",
            "vmlinux",
            "auto, observe, or the absolute path of a BTF file or of a folder of archives",
        ),
        (
            "WIRESPAN_TAIL_SAMPLING",
            "slow=1s",
            "rules such as error,slower=500ms,/cart/*:slower=200ms,share=0.05",
        ),
        ("WIRESPAN_QUEUE_SPANS", "yes", "true or false"),
        (
            "BEYLA_EXCLUDE_OTEL_INSTRUMENTED_SERVICES",
            "no",
            "true or false",
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "zipkin",
            "otlp, console, both with a comma between them, or none",
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "none,otlp",
            "otlp, console, both with a comma between them, or none",
        ),
        (
            "OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE",
            "0",
            "a number of spans from 1 to 1048576",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector:4318", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:70000", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:0", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:", URL),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a b", URL),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces", URL),
    ] {
        if name == "OTEL_EBPF_OPEN_PORT" {
            let line = load(&[(name, value)]).expect_err("refused").to_string();
            assert_eq!(
                line,
                format!("{name}={value:?} is not allowed: expected {allowed}")
            );
            continue;
        }
        assert_eq!(
            error_of(&[(name, value)]),
            format!("{name}={value:?} is not allowed: expected {allowed}")
        );
    }
}

#[test]
fn a_wrong_detail_of_otlp_is_answered_too() {
    for (name, value, allowed) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http",
            "grpc, http/protobuf or http/json",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "GRPC",
            "grpc, http/protobuf or http/json",
        ),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "0",
            "a whole number of milliseconds from 1 on, such as 10000, or a duration such as 10s",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "yes", "true or false"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/no/such/file",
            "the path of an existing PEM file",
        ),
        (
            "OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE",
            "many",
            "a number of spans from 1 to 65536",
        ),
        (
            "OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT",
            "5",
            "a duration such as 10s, 500ms or 1m30s",
        ),
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            "soon",
            "a whole number of milliseconds from 1 on, such as 10000, or a duration such as 10s",
        ),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(
            error_of(&[endpoint, (name, value)]),
            format!("{name}={value:?} is not allowed: expected {allowed}")
        );
    }
}

#[test]
fn a_wrong_header_is_answered_without_showing_the_secret() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    for headers in [
        "a=b,hunter2",
        "a=b,hun ter2=x",
        "a=b,k=hunter2%0A",
        "a=b,=hunter2",
    ] {
        assert_eq!(
            error_of(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", headers)]),
            "OTEL_EXPORTER_OTLP_HEADERS is not allowed as it is: expected key=value pairs with \
             commas between them and values percent-encoded, but pair 2 is not one"
        );
    }
}

#[test]
fn a_wrong_endpoint_does_not_show_its_password() {
    assert_eq!(
        error_of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@c:70000")]),
        "OTEL_EXPORTER_OTLP_ENDPOINT is not allowed as it is: expected a URL such as \
         http://collector:4318 or https://collector:4317"
    );
}

#[test]
fn half_a_client_identity_is_refused() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    assert_eq!(
        error_of(&[endpoint, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/hostname")]),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY is set without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: set \
         both, or neither of them"
    );
    assert_eq!(
        error_of(&[
            endpoint,
            (
                "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                "/etc/hostname"
            )
        ]),
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE is set without \
         OTEL_EXPORTER_OTLP_CLIENT_KEY: set both, or neither of them"
    );
}

#[test]
fn nothing_selected_says_what_to_set() {
    let error = load(&[("BEYLA_TRACE_PRINTER", "text")]).expect_err("nothing is selected");
    assert_eq!(
        error.to_string(),
        "no process is selected: set BEYLA_OPEN_PORT, BEYLA_AUTO_TARGET_EXE, \
         BEYLA_EXECUTABLE_NAME or BEYLA_TARGET_PID (for example BEYLA_OPEN_PORT=8080, or \
         --open-port 8080), or in Kubernetes WIRESPAN_K8S_NAMESPACE and its like"
    );
}

#[test]
fn nowhere_to_go_says_what_to_set() {
    let port = ("BEYLA_OPEN_PORT", "80");
    for environment in [
        &[port][..],
        &[port, ("BEYLA_TRACE_PRINTER", "disabled")],
        &[
            port,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ],
    ] {
        assert_eq!(
            load(environment).expect_err("nowhere to go").to_string(),
            "spans would go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT (for example \
             OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318) or BEYLA_TRACE_PRINTER=text"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_matter() {
    let raw = || OsString::from_vec(vec![b'8', 0xff]);
    let with = |name: &str| {
        let enough = ENOUGH.map(|(name, value)| (name.into(), value.into()));
        Config::load(
            Purpose::Trace,
            [],
            enough.into_iter().chain([(OsString::from(name), raw())]),
        )
    };
    assert_eq!(
        with("BEYLA_LOG_LEVEL").expect_err("refused").to_string(),
        "BEYLA_LOG_LEVEL=\"8\u{fffd}\" is not allowed: expected text in UTF-8"
    );
    assert!(with("LS_COLORS").is_ok());
}

#[test]
fn an_error_stays_one_short_line_whatever_the_value_is() {
    let line = error_of(&[("BEYLA_LOG_LEVEL", &"a\nb\u{1b}[31m".repeat(1000))]);
    assert!(line.len() < 400, "{} bytes", line.len());
    assert!(!line.contains('\u{1b}'));
}

#[test]
fn pods_that_nobody_tells_of_select_nothing() {
    let shop = ("WIRESPAN_K8S_NAMESPACE", "shop");
    let of_host = error_of(&[shop]);
    assert!(
        of_host.contains("BEYLA_KUBE_METADATA_ENABLE=false"),
        "{of_host}"
    );
    let refused = [
        shop,
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("BEYLA_KUBE_METADATA_ENABLE", "false"),
    ];
    assert_eq!(error_of(&refused), of_host);
    config_with(&refused[..2]);
}
