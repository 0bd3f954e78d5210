//! What differs between two configurations: which parts, and what of them has to wait.

use log::LevelFilter;
use wirespan::config::{Changes, Purpose, SETTINGS, Setting};

use crate::{config_with, load};

const PLAIN: [(&str, &str); 1] = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")];

fn changes(old: &[(&str, &str)], new: &[(&str, &str)]) -> Changes {
    config_with(old).changes_to(&config_with(new))
}

/// Names of the parts that differ.
fn parts(changes: &Changes) -> Vec<&'static str> {
    let parts = [
        ("discover", changes.discover.is_none()),
        ("kubernetes", changes.kubernetes.is_none()),
        ("surroundings", changes.surroundings.is_none()),
        ("asking", changes.asking.is_none()),
        ("capture", changes.capture.is_none()),
        ("spans", changes.spans.is_none()),
        ("traces", changes.traces.is_none()),
        ("metrics", changes.metrics.is_none()),
        ("health_check", changes.health_check.is_none()),
        ("sandbox", changes.sandbox.is_none()),
        ("memory", changes.memory.is_none()),
        ("governor", changes.governor.is_none()),
        ("log", changes.log.is_none()),
        ("ending", changes.ending.is_none()),
    ];
    let differ = parts.into_iter().filter(|(_, is_none)| !is_none);
    differ.map(|(name, _)| name).collect()
}

#[test]
fn the_same_settings_change_nothing() {
    let all = [
        ("BEYLA_AUTO_TARGET_EXE", "*/nginx,*/caddy"),
        ("BEYLA_EXECUTABLE_NAME", "a|b"),
        ("BEYLA_TARGET_PID", "1,2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
        ("BEYLA_SENSITIVE_QUERY_PARAMS_ADD", "ticket"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://collector:4318/v1/metrics",
        ),
        ("WIRESPAN_MEMORY_LIMIT", "64M"),
        ("WIRESPAN_CPU_LIMIT", "2"),
    ];
    assert!(changes(&all, &all).is_none());
    // Other words for the same.
    assert!(
        changes(
            &[("BEYLA_OPEN_PORT", "80,81")],
            &[("BEYLA_OPEN_PORT", "80-81")]
        )
        .is_none()
    );
}

/// A value for each setting that differs from its default, and the part that it belongs to.
fn other_value(setting: Setting) -> (&'static str, &'static str) {
    match setting {
        Setting::OpenPort => ("81", "discover"),
        Setting::AutoTargetExe => ("*/nginx", "discover"),
        Setting::ExecutableName => ("nginx|caddy", "discover"),
        Setting::TargetPid => ("7", "discover"),
        Setting::K8sNamespace
        | Setting::K8sPodName
        | Setting::K8sContainerName
        | Setting::K8sOwnerName
        | Setting::K8sDeploymentName
        | Setting::K8sReplicasetName
        | Setting::K8sStatefulsetName
        | Setting::K8sDaemonsetName
        | Setting::K8sJobName
        | Setting::K8sCronjobName => ("shop-*", "discover"),
        Setting::K8sPodLabels | Setting::K8sPodAnnotations => ("app=shop", "discover"),
        Setting::DefaultExclude => ("false", "discover"),
        Setting::HostId => ("box", "discover"),
        Setting::ServiceName | Setting::ServiceNamespace => ("shop", "discover"),
        Setting::ResourceAttributes => ("a=b", "discover"),
        Setting::KubeServiceNames => ("beyla", "discover"),
        Setting::KubeLabels | Setting::KubeAnnotations => ("team", "discover"),
        Setting::KubeClusterName => ("shop", "discover"),
        Setting::CloudMetadata | Setting::ContainerEngines => ("false", "surroundings"),
        // Without somebody to ask they have no effect.
        Setting::KubeMetadataEnable => ("true", ""),
        Setting::KubeConfig | Setting::KubernetesServicePort | Setting::Home => ("8443", ""),
        Setting::KubernetesServiceHost => ("10.0.0.1", "kubernetes"),
        Setting::NodeName => ("node-1", "kubernetes"),
        Setting::KubeRestrictLocalNode => ("false", "kubernetes"),
        Setting::KubePeers => ("nodes", "kubernetes"),
        Setting::Capture => ("fexit", "capture"),
        Setting::Btf => ("observe", "capture"),
        Setting::BpfDebug => ("true", "capture"),
        Setting::ConnectionsMax => ("100", "capture"),
        Setting::CpuLimit => ("off", "governor"),
        Setting::Shards => ("2", "capture"),
        Setting::FollowCpuMax => ("5", "capture"),
        Setting::ContextPropagation => ("headers", "capture"),
        Setting::ContextPropagationGroup => ("/sys/fs/cgroup/shop", "capture"),
        Setting::ContextPropagationServices => ("cart", "capture"),
        Setting::ContextPropagationPublic => ("true", "capture"),
        Setting::ContextPropagationTcpKind => ("254", "capture"),
        Setting::ContextPropagationTcpMagic => ("4f54", "capture"),
        Setting::NodeLinks => ("false", "capture"),
        Setting::Peers => ("other:4319", "asking"),
        Setting::PeersListen => ("127.0.0.1:4319", "asking"),
        // Without anybody to ask they have no effect.
        Setting::PeersSecret => ("correct horse battery", ""),
        Setting::PeersSecretFile => ("/etc/secret", ""),
        Setting::PeersTimeout => ("2s", ""),
        Setting::PeersCertificate | Setting::PeersKey | Setting::PeersAuthority => {
            ("/etc/peer.pem", "")
        }
        Setting::IgnoreHealthChecks
        | Setting::DropQuery
        | Setting::LinkRequestIds
        | Setting::QueueSpans => ("true", "spans"),
        Setting::LateCalls => ("1s", "spans"),
        Setting::ExcludeInstrumented => ("false", "spans"),
        Setting::Propagators => ("b3", "spans"),
        Setting::TailSampling => ("error", "spans"),
        Setting::TracesSampler => ("always_off", "spans"),
        // Without a sampler that takes one it has no effect.
        Setting::TracesSamplerArg => ("0.5", ""),
        Setting::SensitiveQueryParamsAdd => ("ticket", "spans"),
        Setting::SensitiveQueryParamsRemove => ("code", "spans"),
        Setting::Endpoint | Setting::TracesEndpoint => ("http://other:4318", "traces"),
        Setting::Protocol | Setting::TracesProtocol => ("http/json", "traces"),
        Setting::Headers | Setting::TracesHeaders => ("a=b", "traces"),
        Setting::Timeout | Setting::TracesTimeout => ("77", "traces"),
        Setting::Compression | Setting::TracesCompression => ("gzip", "traces"),
        Setting::Certificate
        | Setting::TracesCertificate
        | Setting::ClientCertificate
        | Setting::TracesClientCertificate
        | Setting::ClientKey
        | Setting::TracesClientKey => {
            (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "traces")
        }
        Setting::Insecure | Setting::TracesInsecure => ("true", ""),
        Setting::TracesExporter => ("otlp,console", ""),
        Setting::BatchMaxSize | Setting::BatchScheduleDelay => ("77", "traces"),
        Setting::BatchTimeout => ("77ms", "traces"),
        Setting::QueueSize => ("77", "traces"),
        Setting::TracePrinter => ("json", "traces"),
        Setting::NoColor => ("1", "traces"),
        Setting::MetricsEndpoint => ("http://other:4318/v1/metrics", "metrics"),
        Setting::MetricExportInterval => ("77", ""),
        Setting::HealthCheckPort => ("9090", "health_check"),
        // Without a port it has no effect.
        Setting::HealthCheckListenAddress => ("0.0.0.0", ""),
        Setting::KeepPrivileges => ("true", "sandbox"),
        Setting::MemoryLimit => ("64M", "memory"),
        Setting::ShutdownTimeout => ("3s", "ending"),
        Setting::LogLevel => ("debug", "log"),
    }
}

#[test]
fn every_setting_changes_its_part_and_those_of_what_is_made_once_wait_for_a_restart() {
    for names in SETTINGS {
        let (value, part) = other_value(names.setting);
        let mut new = vec![PLAIN[0], (names.variables[0], value)];
        // A key without a certificate is refused.
        match names.setting {
            Setting::ClientCertificate | Setting::TracesClientCertificate => {
                new.push(("OTEL_EXPORTER_OTLP_CLIENT_KEY", value));
            }
            Setting::ClientKey | Setting::TracesClientKey => {
                new.push(("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", value));
            }
            Setting::Endpoint => drop(new.remove(0)),
            // Without a secret they are refused.
            Setting::Peers | Setting::PeersListen => {
                new.push(("WIRESPAN_PEERS_SECRET", "correct horse battery"));
            }
            _ => {}
        }
        let mut old = PLAIN.to_vec();
        // Without somebody to ask of pods these are refused.
        if names.variables[0].starts_with("WIRESPAN_K8S_") {
            old.push(("KUBERNETES_SERVICE_HOST", "10.0.0.1"));
            new.push(("KUBERNETES_SERVICE_HOST", "10.0.0.1"));
        }
        let changes = changes(&old, &new);
        let mut wanted: Vec<_> = (!part.is_empty()).then_some(part).into_iter().collect();
        if part == "asking" {
            // Spans wait for answers from then on.
            wanted.push("spans");
        }
        assert_eq!(parts(&changes), wanted, "{:?}", names.setting);
        let setting = match names.setting {
            Setting::KubernetesServiceHost => Setting::KubeMetadataEnable,
            // All of it is made as the run starts.
            Setting::PeersListen => Setting::Peers,
            setting => setting,
        };
        let fixed_parts = ["asking", "capture", "kubernetes", "sandbox", "surroundings"];
        let is_fixed = fixed_parts.contains(&part);
        let fixed: Vec<_> = is_fixed.then_some(setting).into_iter().collect();
        assert_eq!(changes.restart(), fixed, "{:?}", names.setting);
        assert!(changes.capture.follow.is_none() && changes.kubernetes.follow.is_none());
    }
}

#[test]
fn what_can_be_followed_comes_with_the_change() {
    let changes = changes(
        &PLAIN,
        &[
            PLAIN[0],
            ("BEYLA_LOG_LEVEL", "debug"),
            ("BEYLA_OPEN_PORT", "90"),
            ("WIRESPAN_CAPTURE", "fexit"),
        ],
    );
    assert_eq!(parts(&changes), ["discover", "capture", "log"]);
    assert_eq!(changes.restart(), [Setting::Capture]);
    let discover = changes.discover.follow.expect("it can be followed");
    assert_eq!(discover.targets.open_ports, [90..=90]);
    assert_eq!(
        changes.log.follow.map(|log| log.level),
        Some(LevelFilter::Debug)
    );
}

#[test]
fn a_refused_configuration_leaves_nothing_to_compare() {
    assert!(load(&[("BEYLA_OPEN_PORT", "0")]).is_err());
    let nothing: [(&str, &str); 0] = [];
    assert!(wirespan::config::Config::load(Purpose::Trace, [], nothing).is_err());
}
