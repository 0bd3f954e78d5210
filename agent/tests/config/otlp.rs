//! The OTLP variables, by the rules of the OpenTelemetry specification.

use std::path::PathBuf;
use std::time::Duration;

use wirespan::config::{OtlpConfig, OtlpProtocol, PrinterFormat};

use crate::{config_with, load, warnings_of};

fn otlp(environment: &[(&str, &str)]) -> OtlpConfig {
    config_with(environment).traces.otlp.expect("OTLP is on")
}

#[test]
fn the_general_endpoint_is_a_base_and_the_one_for_traces_is_taken_as_it_is() {
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (name, given, expected) in [
        (BASE, "http://c:4318", "http://c:4318/v1/traces"),
        (BASE, "http://c:4318/", "http://c:4318/v1/traces"),
        (BASE, "https://c/otlp/", "https://c/otlp/v1/traces"),
        (BASE, "http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        (
            BASE,
            "http://fd00::7:4318",
            "http://[fd00::7]:4318/v1/traces",
        ),
        (BASE, "http://fd00::7:4317/", "http://[fd00::7]:4317"),
        (TRACES, "http://::1/t?a=::1", "http://[::1]/t?a=::1"),
        (BASE, "http://me:pw@c:1", "http://me:pw@c:1/v1/traces"),
        (TRACES, "http://c:4318", "http://c:4318/"),
        (TRACES, "http://c:4318/my/traces", "http://c:4318/my/traces"),
        (TRACES, "http://c:9/t?tenant=a", "http://c:9/t?tenant=a"),
        (BASE, "http://c:4317/ignored", "http://c:4317"),
        (TRACES, "https://c:4317", "https://c:4317"),
    ] {
        assert_eq!(otlp(&[(name, given)]).endpoint, expected, "{name}={given}");
    }
    let both = [
        (BASE, "http://general:4318"),
        (TRACES, "http://traces:4318/t"),
    ];
    assert_eq!(otlp(&both).endpoint, "http://traces:4318/t");
}

#[test]
fn own_metrics_go_nowhere_but_to_an_endpoint_for_metrics() {
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    assert!(config_with(&[general]).metrics.is_none());
    let metrics = config_with(&[
        general,
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:4317/m?a=b"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "tenant=a"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
    ]);
    let metrics = metrics.metrics.expect("they are on");
    assert_eq!(metrics.endpoint, "http://m:4317/m?a=b");
    assert_eq!(metrics.headers, [("tenant".to_owned(), "a".to_owned())]);
    assert_eq!(metrics.interval, Duration::from_millis(1500));
}

#[test]
fn the_protocol_is_guessed_from_the_port_unless_it_is_set() {
    for (endpoint, protocol) in [
        ("http://c:4317", OtlpProtocol::Grpc),
        ("http://c:14317", OtlpProtocol::Grpc),
        ("http://c:4318", OtlpProtocol::HttpProtobuf),
        ("http://c:24318", OtlpProtocol::HttpProtobuf),
        ("https://c", OtlpProtocol::HttpProtobuf),
        ("http://c:9999", OtlpProtocol::HttpProtobuf),
    ] {
        let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)];
        assert_eq!(otlp(&set).protocol, protocol, "{endpoint}");
    }
    let set = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ];
    assert_eq!(otlp(&set).protocol, OtlpProtocol::HttpJson);
    assert_eq!(otlp(&set).endpoint, "http://c:4317/v1/traces");
}

#[test]
fn grpc_may_leave_the_scheme_out_and_then_insecure_decides() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(otlp(&[endpoint]).endpoint, "https://collector:4317");
    let insecure = [endpoint, ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
    assert_eq!(otlp(&insecure).endpoint, "http://collector:4317");
    let schemed = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
    ];
    assert_eq!(otlp(&schemed).endpoint, "https://collector:4317");
}

#[test]
fn headers_are_decoded_and_those_for_traces_replace_the_general_ones() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let general = (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization=Basic%20eDp5, x-a = 1%2C2 ,",
    );
    assert_eq!(
        otlp(&[endpoint, general]).headers,
        [
            ("authorization".to_owned(), "Basic eDp5".to_owned()),
            ("x-a".to_owned(), "1,2".to_owned()),
        ]
    );
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "k=a=b");
    assert_eq!(
        otlp(&[endpoint, general, traces]).headers,
        [("k".to_owned(), "a=b".to_owned())]
    );
}

#[test]
fn timeout_compression_and_certificates_are_read() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    let otlp = otlp(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", path),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", path),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", path),
    ]);
    let path = PathBuf::from(path);
    assert_eq!(otlp.timeout, Duration::from_millis(2500));
    assert!(otlp.gzip);
    assert_eq!(otlp.certificate.as_ref(), Some(&path));
    assert_eq!(otlp.client_identity, Some((path.clone(), path)));
}

#[test]
fn defaults_are_those_of_the_specification() {
    let otlp = otlp(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]);
    assert_eq!(otlp.timeout, Duration::from_secs(10));
    assert!(!otlp.gzip);
    assert!(otlp.headers.is_empty());
    assert_eq!(otlp.certificate, None);
    assert_eq!(otlp.client_identity, None);
}

#[test]
fn the_exporter_can_be_named() {
    let port = ("BEYLA_OPEN_PORT", "80");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
    let exporter = |names| ("OTEL_TRACES_EXPORTER", names);

    let config = load(&[port, exporter("otlp")]).expect("valid").config;
    let default = config.traces.otlp.expect("OTLP is on");
    assert_eq!(default.endpoint, "http://localhost:4318/v1/traces");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let config = load(&[port, grpc, exporter("otlp")]).expect("valid").config;
    assert_eq!(
        config.traces.otlp.expect("on").endpoint,
        "http://localhost:4317"
    );

    let config = load(&[port, exporter("console")]).expect("valid").config;
    assert_eq!(config.traces.printer, PrinterFormat::Text);
    let config = load(&[port, endpoint, exporter("otlp, console")])
        .expect("valid")
        .config;
    assert_eq!(config.traces.printer, PrinterFormat::Text);
    assert!(config.traces.otlp.is_some());

    let none = [endpoint, exporter("none")];
    assert!(config_with(&none).traces.otlp.is_none());
    assert_eq!(
        warnings_of(&none),
        ["OTEL_EXPORTER_OTLP_ENDPOINT is ignored because OTEL_TRACES_EXPORTER does not name otlp"]
    );
}
