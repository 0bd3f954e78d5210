//! What each setting means, and which of its names wins.

use std::time::Duration;

use log::LevelFilter;
use wirespan::config::{ApiReach, Config, LayoutSetting, PrinterFormat, Purpose, Strategy};
use wirespan::redact::Grammar;

use crate::{config_with, load, warnings_of};

#[test]
fn the_quick_start_needs_two_variables() {
    let loaded = load(&[
        ("BEYLA_OPEN_PORT", "80,443,8000-8999"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
    ])
    .expect("valid");
    assert_eq!(
        loaded.config.discover.targets.open_ports,
        [80..=80, 443..=443, 8000..=8999]
    );
    assert!(loaded.config.traces.otlp.is_some());
    assert_eq!(loaded.config.traces.printer, PrinterFormat::Disabled);
    assert_eq!(loaded.config.ending.timeout, Duration::from_secs(10));
    assert_eq!(loaded.config.log.level, LevelFilter::Info);
    assert_eq!(loaded.config.capture.strategy, None);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn every_setting_of_beyla_has_its_other_prefix() {
    let config = config_with(&[
        ("OTEL_EBPF_OPEN_PORT", "8080"),
        ("OTEL_EBPF_AUTO_TARGET_EXE", "*/nginx"),
        ("OTEL_EBPF_EXECUTABLE_NAME", "python[0-9.]*$"),
        ("OTEL_EBPF_TARGET_PID", "12, 34,12"),
        ("OTEL_EBPF_SERVICE_NAME", "shop"),
        ("OTEL_EBPF_SERVICE_NAMESPACE", "prod"),
        ("OTEL_EBPF_TRACE_PRINTER", "json"),
        ("OTEL_EBPF_SHUTDOWN_TIMEOUT", "1m30s"),
        ("OTEL_EBPF_LOG_LEVEL", "DEBUG"),
        ("OTEL_EBPF_BPF_DEBUG", "true"),
    ]);
    // BEYLA_OPEN_PORT and BEYLA_TRACE_PRINTER are set by the helper, and win.
    assert_eq!(config.discover.targets.open_ports, [80..=80]);
    let globs = config.discover.targets.auto_target_exe.expect("globs");
    assert!(globs.is_match("/usr/sbin/nginx"));
    let regex = config.discover.targets.executable_name.expect("a regex");
    assert!(regex.is_match("/usr/bin/python3.11"));
    assert_eq!(config.discover.targets.pids, [12, 34]);
    assert_eq!(config.discover.service.name.as_deref(), Some("shop"));
    assert_eq!(config.discover.service.namespace.as_deref(), Some("prod"));
    assert_eq!(config.ending.timeout, Duration::from_secs(90));
    assert_eq!(config.log.level, LevelFilter::Debug);
    assert!(config.capture.bpf_debug);
}

#[test]
fn pods_are_asked_for_within_pods_or_where_somebody_says_so() {
    const HOST: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    const FILE: (&str, &str) = ("KUBECONFIG", "/root/.kube/config:/etc/other");
    const HOME: (&str, &str) = ("HOME", "/home/ops");
    let account = |port: &str| ApiReach::ServiceAccount {
        host: "10.96.0.1".to_owned(),
        port: port.to_owned(),
    };
    let file = || ApiReach::File("/root/.kube/config".into());
    let users = || ApiReach::File("/home/ops/.kube/config".into());
    let enabled = |text| ("BEYLA_KUBE_METADATA_ENABLE", text);
    for (environment, expected) in [
        (vec![], None),
        (vec![HOST], Some(account("443"))),
        (
            vec![HOST, ("KUBERNETES_SERVICE_PORT", "6443")],
            Some(account("6443")),
        ),
        (vec![HOST, enabled("autodetect")], Some(account("443"))),
        (vec![HOST, enabled("false")], None),
        (vec![HOST, enabled("True")], Some(account("443"))),
        // It is usually set for other programs.
        (vec![FILE], None),
        (vec![FILE, HOST], Some(account("443"))),
        (vec![FILE, HOST, enabled("true")], Some(file())),
        (
            vec![FILE, ("OTEL_EBPF_KUBE_METADATA_ENABLE", "true")],
            Some(file()),
        ),
        (vec![enabled("true")], None),
        // Where kubectl would look, and only if somebody asked for it.
        (vec![HOME], None),
        (vec![HOME, enabled("true")], Some(users())),
        (vec![HOME, FILE, enabled("true")], Some(file())),
        (vec![HOME, HOST, enabled("true")], Some(account("443"))),
    ] {
        let kubernetes = config_with(&environment).kubernetes;
        assert_eq!(kubernetes.reach, expected, "{environment:?}");
        assert!(kubernetes.local_node_alone);
    }
    for name in ["NODE_NAME", "K8S_NODE_NAME", "KUBE_NODE_NAME"] {
        let config = config_with(&[(name, "node-1")]);
        assert_eq!(config.kubernetes.node.as_deref(), Some("node-1"));
        let of_host = config.discover.service.host_name;
        assert_eq!(of_host.as_deref(), Some("node-1"));
    }
    let config = config_with(&[
        ("OTEL_EBPF_KUBE_META_RESTRICT_LOCAL_NODE", "false"),
        ("BEYLA_KUBE_CLUSTER_NAME", "prod-1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=other"),
    ]);
    assert!(!config.kubernetes.local_node_alone);
    let attributes = config.discover.service.resource_attributes;
    assert_eq!(
        attributes.get("k8s.cluster.name").map(String::as_str),
        Some("prod-1")
    );
    let nobody = load(&[
        ("BEYLA_OPEN_PORT", "80"),
        ("BEYLA_TRACE_PRINTER", "text"),
        enabled("true"),
    ]);
    let warnings = nobody.expect("it starts all the same").warnings;
    assert!(
        warnings[0].contains("neither KUBECONFIG nor HOME"),
        "{warnings:?}"
    );
}

#[test]
fn every_printer_and_strategy_has_its_name() {
    for (text, format) in [
        ("text", PrinterFormat::Text),
        ("tree", PrinterFormat::Tree),
        ("json", PrinterFormat::Json),
        ("json_indent", PrinterFormat::JsonIndent),
        ("counter", PrinterFormat::Counter),
    ] {
        assert_eq!(
            config_with(&[("BEYLA_TRACE_PRINTER", text)]).traces.printer,
            format
        );
    }
    for (text, strategy) in [
        ("auto", None),
        ("socket_tracepoints", Some(Strategy::SocketTracepoints)),
        ("fexit", Some(Strategy::Fexit)),
        ("kprobes", Some(Strategy::Kprobes)),
        ("syscall_tracepoints", Some(Strategy::SyscallTracepoints)),
        ("legacy", Some(Strategy::Legacy)),
        ("legacy_kprobes", Some(Strategy::LegacyKprobes)),
    ] {
        let config = config_with(&[("WIRESPAN_CAPTURE", text)]);
        assert_eq!(config.capture.strategy, strategy);
    }
    for (text, layout) in [
        ("auto", LayoutSetting::Auto),
        ("observe", LayoutSetting::Observe),
        ("/var/lib/btf", LayoutSetting::File("/var/lib/btf".into())),
    ] {
        let config = config_with(&[("WIRESPAN_BTF", text)]);
        assert_eq!(config.capture.layout, layout);
    }
}

#[test]
fn the_name_by_which_beyla_reads_a_setting_wins_with_a_warning() {
    let both = [
        ("BEYLA_SERVICE_NAMESPACE", "a"),
        ("OTEL_EBPF_SERVICE_NAMESPACE", "b"),
    ];
    assert_eq!(
        config_with(&both).discover.service.namespace.as_deref(),
        Some("a")
    );
    assert_eq!(
        warnings_of(&both),
        [
            "BEYLA_SERVICE_NAMESPACE and OTEL_EBPF_SERVICE_NAMESPACE differ: \
          BEYLA_SERVICE_NAMESPACE is used, OTEL_EBPF_SERVICE_NAMESPACE is ignored"
        ]
    );

    let both = [
        ("BEYLA_BPF_DEBUG", "false"),
        ("OTEL_EBPF_BPF_DEBUG", "true"),
    ];
    assert!(config_with(&both).capture.bpf_debug);
    assert_eq!(warnings_of(&both).len(), 1);

    let both = [("BEYLA_SERVICE_NAME", "a"), ("OTEL_SERVICE_NAME", "b")];
    assert_eq!(
        config_with(&both).discover.service.name.as_deref(),
        Some("b")
    );
}

#[test]
fn two_names_with_one_value_are_no_conflict() {
    let both = [("BEYLA_OPEN_PORT", "80"), ("OTEL_EBPF_OPEN_PORT", "80")];
    assert_eq!(warnings_of(&both), [""; 0]);
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let config = config_with(&[("BEYLA_LOG_LEVEL", ""), ("BEYLA_TARGET_PID", "")]);
    assert_eq!(config.log.level, LevelFilter::Info);
    assert!(config.discover.targets.pids.is_empty());
}

#[test]
fn who_asks_for_a_script_in_node_is_told_how_to_load_it() {
    for name in ["BEYLA_NODEJS_ENABLED", "OTEL_EBPF_NODEJS_ENABLED"] {
        let warnings = warnings_of(&[(name, "true")]);
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}")
        };
        assert!(warning.starts_with(name) && warning.contains("wirespan node-script"));
    }
}

#[test]
fn settings_that_wirespan_does_not_have_are_ignored_with_a_warning_each() {
    assert_eq!(
        warnings_of(&[
            ("BEYLA_PROMETHEUS_PORT", "9090"),
            ("OTEL_EBPF_PROMETHEUS_PORT", "9090"),
            ("BEYLA_OTEL_TRACES_INSTRUMENTATIONS", "http"),
            ("GRAFANA_CLOUD_ZONE", "eu"),
            ("OTEL_SDK_DISABLED", "true"),
        ]),
        [
            "BEYLA_OTEL_TRACES_INSTRUMENTATIONS is a setting that wirespan does not have: it is \
             ignored",
            "BEYLA_PROMETHEUS_PORT is a setting that wirespan does not have: it is ignored",
            "GRAFANA_CLOUD_ZONE is a setting that wirespan does not have: it is ignored",
            "OTEL_SDK_DISABLED is meant for SDKs inside of programs: wirespan ignores it",
        ]
    );
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest_one() {
    assert_eq!(
        warnings_of(&[
            ("BEYLA_OPEN_PORTS", "80"),
            ("OTEL_EBPF_TRACEPRINTER", "text"),
            ("WIRESPAN_CAPTUER", "auto"),
            ("BEYLA_NO_SUCH_THING_AT_ALL", "1"),
        ]),
        [
            "BEYLA_NO_SUCH_THING_AT_ALL is not a known setting: it is ignored",
            "BEYLA_OPEN_PORTS is not a known setting, did you mean BEYLA_OPEN_PORT? It is ignored",
            "OTEL_EBPF_TRACEPRINTER is not a known setting, did you mean OTEL_EBPF_TRACE_PRINTER? \
             It is ignored",
            "WIRESPAN_CAPTUER is not a known setting, did you mean WIRESPAN_CAPTURE? It is ignored",
        ]
    );
}

#[test]
fn variables_of_other_programs_and_kubernetes_service_links_are_nobodys_mistake() {
    let foreign = [
        ("PATH", "/bin"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
        ("KUBECONFIG", "/root/.kube/config"),
        ("BEYLA_SERVICE_HOST", "10.0.0.1"),
        ("BEYLA_SERVICE_PORT_HTTP", "80"),
        ("BEYLA_PORT", "tcp://10.0.0.1:80"),
        ("BEYLA_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(warnings_of(&foreign), [""; 0]);
}

#[test]
fn batch_and_queue_have_bounds_that_can_be_set() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let config = config_with(&[
        endpoint,
        ("OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE", "100"),
        ("BEYLA_OTLP_TRACES_BATCH_TIMEOUT", "250ms"),
        ("OTEL_BSP_SCHEDULE_DELAY", "7000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2048"),
    ]);
    let otlp = config.traces.otlp.expect("an endpoint");
    assert_eq!(otlp.batch_spans_max, 100);
    assert_eq!(otlp.batch_age_max, Duration::from_millis(250));
    assert_eq!(config.traces.queue_spans_max, 2048);

    let config = config_with(&[endpoint, ("OTEL_BSP_SCHEDULE_DELAY", "7000")]);
    let otlp = config.traces.otlp.expect("an endpoint");
    assert_eq!(otlp.batch_age_max, Duration::from_secs(7));
}

#[test]
fn a_recording_needs_targets_and_a_replay_needs_nothing() {
    let ports = [("BEYLA_OPEN_PORT", "80")];
    let loaded = Config::load(Purpose::Record, [], ports).expect("targets are enough");
    assert_eq!(loaded.config.traces.printer, PrinterFormat::Disabled);

    let nothing: [(&str, &str); 0] = [];
    let loaded = Config::load(Purpose::Replay, [], nothing).expect("nothing is enough");
    assert_eq!(loaded.config.traces.printer, PrinterFormat::Text);

    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")];
    let loaded = Config::load(Purpose::Replay, [], endpoint).expect("an endpoint is enough");
    assert_eq!(loaded.config.traces.printer, PrinterFormat::Disabled);

    let disabled = [("BEYLA_TRACE_PRINTER", "disabled")];
    let loaded = Config::load(Purpose::Replay, [], disabled).expect("nobody has to see spans");
    assert_eq!(loaded.config.traces.printer, PrinterFormat::Disabled);
}

#[test]
fn the_memory_limit_is_bytes_with_a_unit() {
    let limit = |text| {
        load(&[
            ("BEYLA_OPEN_PORT", "80"),
            ("BEYLA_TRACE_PRINTER", "text"),
            ("WIRESPAN_MEMORY_LIMIT", text),
        ])
        .map(|loaded| loaded.config.memory.limit)
    };
    for (text, bytes) in [
        ("64MiB", 64 << 20),
        ("64M", 64 << 20),
        ("64Mi", 64 << 20),
        ("1GiB", 1 << 30),
        ("8192k", 8 << 20),
        ("10MB", 10_000_000),
        ("16777216", 16 << 20),
        ("16777216 B", 16 << 20),
    ] {
        assert_eq!(limit(text).ok(), Some(bytes), "{text}");
    }
    for text in [
        "3MiB",
        "0",
        "-5M",
        "64MM",
        "64Mx",
        "M",
        "lots",
        "99999999999999999999",
    ] {
        let error = limit(text).expect_err(text).to_string();
        assert!(error.contains("WIRESPAN_MEMORY_LIMIT"), "{error}");
        assert!(error.contains("64MiB"), "{error}");
    }
}

#[test]
fn processors_are_limited_in_cores_unless_they_are_not() {
    let limit = |text| {
        load(&[
            ("BEYLA_OPEN_PORT", "80"),
            ("BEYLA_TRACE_PRINTER", "text"),
            ("WIRESPAN_CPU_LIMIT", text),
        ])
        .map(|loaded| loaded.config.governor.cpu_limit)
    };
    for (text, cores) in [
        ("", Some(0.5)),
        ("2", Some(2.0)),
        ("0.02", Some(0.02)),
        ("250m", Some(0.25)),
        ("0", None),
        ("0m", None),
        ("off", None),
        ("OFF", None),
    ] {
        let limit = limit(text).expect(text);
        assert_eq!(limit.map(|limit| limit.cores()), cores, "{text}");
    }
    for text in ["-1", "half", "50%", "0.0001", "1 core"] {
        let error = limit(text).expect_err(text).to_string();
        assert!(error.contains("WIRESPAN_CPU_LIMIT"), "{error}");
        assert!(error.contains("500m"), "{error}");
    }
}

#[test]
fn shards_are_few_and_each_has_its_part_of_the_memory() {
    let shards = |settings: &[(&str, &str)]| {
        let needed = [("BEYLA_OPEN_PORT", "80"), ("BEYLA_TRACE_PRINTER", "text")];
        load(&[&needed, settings].concat()).map(|loaded| loaded.config.capture.shards)
    };
    assert_eq!(shards(&[]).ok(), Some(1));
    assert_eq!(shards(&[("WIRESPAN_SHARDS", "8")]).ok(), Some(8));
    for text in ["0", "9", "-1", "two", "256", "1.5"] {
        let error = shards(&[("WIRESPAN_SHARDS", text)]).expect_err(text);
        let error = error.to_string();
        assert!(error.contains("WIRESPAN_SHARDS"), "{error}");
        assert!(error.contains("from 1 to 8"), "{error}");
    }
    let within = |limit| shards(&[("WIRESPAN_SHARDS", "4"), ("WIRESPAN_MEMORY_LIMIT", limit)]);
    assert_eq!(within("16MiB").ok(), Some(4));
    let error = within("15MiB").expect_err("too little").to_string();
    assert!(error.contains("at least 16MiB"), "{error}");
}

#[test]
fn what_is_hidden_can_be_widened_narrowed_and_made_whole() {
    let config = config_with(&[
        ("BEYLA_SENSITIVE_QUERY_PARAMS_ADD", "ticket, shop_id"),
        ("OTEL_EBPF_SENSITIVE_QUERY_PARAMS_REMOVE", "code"),
    ]);
    assert_eq!(
        config
            .spans
            .redaction()
            .of(Grammar::Query, "ticket=1&shop-id=2&code=3&sig=4"),
        "ticket=REDACTED&shop-id=REDACTED&code=3&sig=REDACTED"
    );
    assert!(!config.spans.redaction().drops_query());
    assert!(
        config_with(&[("WIRESPAN_DROP_QUERY", "true")])
            .spans
            .redaction()
            .drops_query()
    );
}

#[test]
fn wirespans_own_resource_attributes_are_of_every_service() {
    let config = config_with(&[(
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=prod,team=a%20b",
    )]);
    let told: Vec<_> = config
        .discover
        .service
        .resource_attributes
        .into_iter()
        .collect();
    assert_eq!(
        told,
        [("deployment.environment.name", "prod"), ("team", "a b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(config.discover.service.name, None);
}

#[test]
fn what_wirespans_own_list_may_not_say_is_named() {
    let list = "service.name=agent,k8s.pod.name=agent-x7,cloud.region=eu";
    assert_eq!(
        warnings_of(&[("OTEL_RESOURCE_ATTRIBUTES", list)]),
        [
            "OTEL_RESOURCE_ATTRIBUTES sets k8s.pod.name, service.name, which is not true of every \
             traced service: ignored"
        ]
    );
    assert_eq!(
        warnings_of(&[("OTEL_RESOURCE_ATTRIBUTES", "a=1,b=100%")]),
        [
            "OTEL_RESOURCE_ATTRIBUTES is ignored: the value of item 2 is not percent-encoded text \
             (% itself is written %25)"
        ]
    );
}

#[test]
fn health_checks_are_answered_where_a_port_is_set() {
    let address = |environment: &[(&str, &str)]| {
        let address = config_with(environment).health_check.address;
        address.map(|it| it.to_string())
    };
    assert_eq!(address(&[]), None);
    let port = ("BEYLA_HEALTH_CHECK_PORT", "9090");
    assert_eq!(address(&[port]).as_deref(), Some("127.0.0.1:9090"));
    assert_eq!(address(&[("OTEL_EBPF_HEALTH_CHECK_PORT", "0")]), None);
    for (given, listens) in [
        ("0.0.0.0", "0.0.0.0:9090"),
        ("::", "[::]:9090"),
        ("[::1]", "[::1]:9090"),
        ("localhost", "127.0.0.1:9090"),
    ] {
        let given = ("BEYLA_HEALTH_CHECK_LISTEN_ADDRESS", given);
        assert_eq!(address(&[port, given]).as_deref(), Some(listens));
        assert_eq!(warnings_of(&[port, given]), [""; 0]);
        assert_eq!(
            warnings_of(&[given]),
            ["BEYLA_HEALTH_CHECK_LISTEN_ADDRESS has no effect without BEYLA_HEALTH_CHECK_PORT"]
        );
    }
}
