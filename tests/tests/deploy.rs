//! What is below `deploy/`: rendered by the tools that users have, held against the published
//! schemas, and compared with the plain manifests and the golden files that are kept.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wirespan::config::SETTINGS;
use wirespan_tests::deploy::{
    OVERLAYS, VERSIONS, assert_kept, data, deploy, documents, helm, kustomize, only, template,
    validate,
};

/// The agent's pod.
fn pod(documents: &[Value]) -> &Value {
    &only(documents, "DaemonSet")["spec"]["template"]["spec"]
}

/// Its only container.
fn container(documents: &[Value]) -> &Value {
    let containers = pod(documents)["containers"].as_array();
    let [container] = &containers.expect("a list")[..] else {
        panic!("one container: {containers:?}");
    };
    container
}

/// A variable that is given as it is.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let mut variables = container["env"].as_array().into_iter().flatten();
    variables.find(|variable| variable["name"] == name)?["value"].as_str()
}

/// Valid in each of the versions, by the validator's word.
fn assert_valid(what: &str, yaml: &str) {
    for version in VERSIONS {
        if let Err(why) = validate(yaml, version) {
            panic!("{what}, Kubernetes {version}: {why}");
        }
    }
}

#[test]
fn overlays_are_valid_and_the_plain_manifests_are_theirs() {
    let names = std::fs::read_dir(deploy("kubernetes/overlays")).expect("a folder");
    let names: BTreeSet<_> = names
        .map(|entry| entry.expect("an entry").file_name().into_string())
        .map(|name| name.expect("UTF-8"))
        .collect();
    assert_eq!(names, OVERLAYS.map(str::to_owned).into());
    for overlay in OVERLAYS {
        let rendered = kustomize(&deploy(&format!("kubernetes/overlays/{overlay}")));
        assert_valid(overlay, &rendered);
        let documents = documents(&rendered);
        assert_is_what_all_share(overlay, &documents);
        let context = &container(&documents)["securityContext"];
        if overlay == "minimal" {
            assert_eq!(context["privileged"], true, "{overlay}");
        } else {
            assert_is_by_capabilities(overlay, context);
        }
        assert_kept(&deploy(&format!("kubernetes/{overlay}.yaml")), &rendered);
    }
}

/// Whatever strength it has and whoever takes its traces.
fn assert_is_what_all_share(what: &str, documents: &[Value]) {
    let pod = pod(documents);
    assert_eq!(pod["hostPID"], true, "{what}");
    assert_eq!(pod["hostNetwork"], Value::Null, "{what}");
    let container = container(documents);
    if what == "peers" {
        let mounts = container["volumeMounts"].as_array().expect("a secret");
        assert!(mounts.len() == 1 && mounts[0]["readOnly"] == true, "{what}");
    } else {
        assert_eq!(container["volumeMounts"], Value::Null, "{what}");
    }
    assert_eq!(
        container["securityContext"]["readOnlyRootFilesystem"], true,
        "{what}"
    );
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path, "{what}");
    }
    let health = variable(container, "BEYLA_HEALTH_CHECK_PORT").expect("the probes' port");
    let address = variable(container, "BEYLA_HEALTH_CHECK_LISTEN_ADDRESS");
    assert_eq!(address, Some("::"), "{what}: probes come from the node");
    let ports = container["ports"].as_array().expect("ports");
    let port = ports.iter().find(|port| port["name"] == "health");
    let port = port.expect("the probes' port")["containerPort"].to_string();
    assert_eq!(health, port, "{what}");
    assert!(container["resources"]["limits"]["memory"].is_string());
    assert!(container["resources"]["requests"]["cpu"].is_string());
}

/// The other strength: nothing that the tests have not shown to be needed.
fn assert_is_by_capabilities(what: &str, context: &Value) {
    assert_eq!(context["privileged"], Value::Null, "{what}");
    assert_eq!(context["allowPrivilegeEscalation"], false, "{what}");
    let wanted = json!({
        "drop": ["ALL"],
        "add": ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"],
    });
    assert_eq!(context["capabilities"], wanted, "{what}");
    assert_ne!(context["seccompProfile"]["type"], "Unconfined", "{what}");
}

#[test]
fn the_seccomp_profile_is_one_and_lets_nobody_out() {
    let profile = std::fs::read_to_string(deploy("seccomp/wirespan.json")).expect("a profile");
    assert_kept(
        &deploy("kubernetes/components/seccomp/wirespan.json"),
        &profile,
    );
    let profile: Value = serde_json::from_str(&profile).expect("it is JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    for group in profile["syscalls"].as_array().expect("groups") {
        let names = group["names"].as_array().expect("names");
        let names: Vec<_> = names
            .iter()
            .map(|name| name.as_str().expect("text"))
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        for refused in [
            "ptrace",
            "mount",
            "setns",
            "unshare",
            "process_vm_writev",
            "kill",
        ] {
            assert!(!names.contains(&refused), "{refused}");
        }
    }
}

#[test]
fn rights_are_to_list_and_to_watch_and_no_more() {
    let rendered = kustomize(&deploy("kubernetes/overlays/capabilities"));
    let documents = documents(&rendered);
    let rules = only(&documents, "ClusterRole")["rules"].as_array();
    let rules = rules.expect("rules");
    for rule in rules {
        assert_eq!(rule["verbs"], json!(["list", "watch"]));
        assert_eq!(rule["apiGroups"], json!([""]));
    }
    let resources: Vec<_> = rules.iter().map(|rule| &rule["resources"]).collect();
    assert_eq!(resources, [&json!(["pods"]), &json!(["services"])]);
    let labels = &only(&documents, "Namespace")["metadata"]["labels"];
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "privileged");
}

#[test]
fn the_chart_renders_as_it_did() {
    for values in ["default", "beyla", "openshift", "peers"] {
        let file = data(&format!("helm/{values}.yaml"));
        let rendered = template((values != "default").then_some(&*file));
        let rendered = rendered.unwrap_or_else(|why| panic!("{values}: {why}"));
        assert_valid(values, &rendered);
        assert_is_what_all_share(values, &documents(&rendered));
        assert_kept(&data(&format!("helm/{values}.rendered.yaml")), &rendered);
    }
}

#[test]
fn by_itself_the_chart_takes_capabilities_and_sends_to_the_node() {
    let documents = documents(&template(None).expect("it renders"));
    let container = container(&documents);
    assert_is_by_capabilities("chart", &container["securityContext"]);
    let endpoint = variable(container, "OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(endpoint, Some("http://$(HOST_IP):4318"));
    // Kubernetes puts in only what was defined before.
    assert_eq!(container["env"][0]["name"], "HOST_IP");
}

#[test]
fn on_openshift_the_runtimes_own_profile_is_not_asked_for() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "openshift: {enabled: true}").expect("a file");
    let rendered = template(Some(file.path())).expect("it renders");
    assert_valid("openshift", &rendered);
    let documents = documents(&rendered);
    let context = &container(&documents)["securityContext"];
    assert_eq!(context["seccompProfile"]["type"], "Unconfined");
    assert_eq!(context["seLinuxOptions"]["type"], "spc_t");
    let constraints = only(&documents, "SecurityContextConstraints");
    let added = &context["capabilities"]["add"];
    assert_eq!(&constraints["allowedCapabilities"], added);
    assert_eq!(constraints["allowHostPID"], true);
}

#[test]
fn values_of_beylas_users_move_over_and_what_has_no_effect_is_said() {
    let values = data("helm/beyla.yaml");
    let documents = documents(&template(Some(&values)).expect("it renders"));
    let container = container(&documents);
    for (name, value) in [
        ("BEYLA_OPEN_PORT", "80,443,8000-8999"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://alloy.monitoring:4318",
        ),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("BEYLA_OTLP_TRACES_QUEUE_SIZE", "1000000"),
        ("BEYLA_KUBE_CLUSTER_NAME", "shop-eu"),
        ("BEYLA_TRACE_PRINTER", "text"),
        ("BEYLA_BPF_DEBUG", "false"),
    ] {
        assert_eq!(variable(container, name), Some(value), "{name}");
    }
    // Somebody names a receiver: there is none besides.
    assert_eq!(variable(container, "OTEL_EXPORTER_OTLP_ENDPOINT"), None);
    assert_eq!(container["securityContext"]["privileged"], true);
    assert_eq!(pod(&documents)["priorityClassName"], "system-node-critical");
    let install = ["install", "--dry-run=client"];
    let told = helm(Some(&values), &install).expect("it renders");
    let (_, notes) = told.split_once("NOTES:").expect("notes");
    for ignored in [
        "config.data.routes.unmatched",
        "config.data.prometheus_export.port",
        "config.data.attributes.select",
        "contextPropagation",
        "k8sCache",
        "service and serviceMonitor",
    ] {
        assert!(
            notes.contains(&format!("IGNORED: {ignored}")),
            "{ignored}: {notes}"
        );
    }
    assert!(!notes.contains("open_port"), "{notes}");
}

#[test]
fn a_selector_of_beylas_is_said_by_variables() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let values = r#"config: {data: {
        attributes: {host_id: {override: box}},
        discovery: {
            default_exclude_instrument: [],
            instrument: [{
                k8s_namespace: "shop,bank", open_ports: 8080-8090,
                k8s_pod_labels: {app: "web-*", tier: front}
            }]
        }}}"#;
    std::fs::write(file.path(), values).expect("a file");
    let documents = documents(&template(Some(file.path())).expect("it renders"));
    let container = container(&documents);
    for (name, value) in [
        ("WIRESPAN_K8S_NAMESPACE", "shop,bank"),
        ("BEYLA_OPEN_PORT", "8080-8090"),
        ("WIRESPAN_K8S_POD_LABELS", "app=web-*,tier=front"),
        ("WIRESPAN_DEFAULT_EXCLUDE", "false"),
        ("BEYLA_HOST_ID", "box"),
    ] {
        assert_eq!(variable(container, name), Some(value), "{name}");
    }
}

#[test]
fn who_may_be_asked_of_peers_is_asked() {
    for (rbac, expected) in [
        ("{}", None),
        ("{nodes: true}", Some("services,nodes")),
        ("{nodes: true, services: false}", Some("nodes")),
        ("{services: false}", Some("none")),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("rbac: {rbac}")).expect("a file");
        let documents = documents(&template(Some(file.path())).expect("it renders"));
        let asked = variable(container(&documents), "WIRESPAN_KUBE_PEERS");
        assert_eq!(asked, expected, "{rbac}");
    }
}

#[test]
fn values_that_would_trace_too_much_or_nothing_are_refused() {
    let why = template(Some(&data("helm/namespaces.yaml"))).expect_err("another selection");
    assert!(why.contains("config.data.discovery.instrument"), "{why}");
    for (values, says) in [
        (
            "config: {data: {discovery: {exclude_instrument: [{k8s_namespace: x}]}}}",
            "config.data.discovery.exclude_instrument",
        ),
        ("privileged: maybe", "privileged"),
        ("extraCapabilities: [CAP_SYS_ADMIN]", "extraCapabilities"),
        ("prometheus: {ports: 9090}", "prometheus"),
        ("defaultOpenPort: http", "defaultOpenPort"),
        ("peers: {enabled: true}", "peers.secretName"),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), values).expect("a file");
        let why = template(Some(file.path())).expect_err(values);
        assert!(why.contains(says), "{values}: {why}");
    }
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let peers = "peers: {enabled: true, secretName: shared}";
    for (values, says) in [
        (
            "{env: {BEYLA_OPEN_PORT: 80}, envValueFrom: {BEYLA_OPEN_PORT: {fieldRef: {}}}}",
            "env.BEYLA_OPEN_PORT and envValueFrom.BEYLA_OPEN_PORT",
        ),
        (
            &format!("{peers}\nenv: {{WIRESPAN_PEERS: 'agents:4319'}}"),
            "peers.enabled and WIRESPAN_PEERS",
        ),
        (
            "peers: {enabled: true, secretName: shared, port: 13133}",
            "peers.port and health.port",
        ),
        (
            "{privileged: true, securityContext: {privileged: false}}",
            "securityContext.privileged",
        ),
        (
            "{privileged: true, seccompProfile: {type: Localhost}}",
            "seccompProfile.type",
        ),
        (
            "{rbac: {services: false}, env: {WIRESPAN_KUBE_PEERS: services}}",
            "rbac.services",
        ),
        ("env: {WIRESPAN_KUBE_PEERS: 'services,nodes'}", "rbac.nodes"),
    ] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), values).expect("a file");
        let why = template(Some(file.path())).expect_err(values);
        assert!(why.contains(says), "{values}: {why}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), peers).expect("a file");
    template(Some(file.path())).expect("peers alone");
}

#[test]
fn variables_that_are_set_are_some_that_are_read() {
    let beylas = include_str!("../../agent/src/config/known_settings.txt");
    let read: BTreeSet<_> = SETTINGS
        .iter()
        .flat_map(|names| names.variables.iter().copied())
        .chain(beylas.lines())
        .chain(["HOST_IP", "NODE_NAME"])
        .map(bare)
        .collect();
    let mut set = BTreeSet::new();
    for values in [
        None,
        Some(data("helm/beyla.yaml")),
        Some(data("helm/peers.yaml")),
    ] {
        let documents = documents(&template(values.as_deref()).expect("it renders"));
        for variable in container(&documents)["env"].as_array().expect("a list") {
            set.insert(variable["name"].as_str().expect("text").to_owned());
        }
    }
    let chart = std::fs::read_to_string(deploy("helm/wirespan/templates/_environment.tpl"));
    let chart = chart.expect("a template");
    let lines = chart.lines().filter_map(|line| line.split_once(": "));
    set.extend(
        lines
            .filter(|(_, variable)| {
                variable
                    .chars()
                    .all(|letter| letter.is_ascii_uppercase() || letter == '_')
            })
            .map(|(_, variable)| variable.to_owned()),
    );
    assert!(set.contains("BEYLA_SHUTDOWN_TIMEOUT"), "{set:?}");
    let unknown: Vec<_> = set
        .iter()
        .filter(|name| !read.contains(bare(name)))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Without the prefix of which there are two.
fn bare(name: &str) -> &str {
    let bare = name.strip_prefix("BEYLA_");
    bare.or_else(|| name.strip_prefix("OTEL_EBPF_"))
        .unwrap_or(name)
}

#[test]
fn what_is_wrong_is_seen() {
    let rendered = kustomize(&deploy("kubernetes/overlays/minimal"));
    for (right, wrong) in [
        ("hostPID: true", "hostPID: maybe"),
        ("tolerations:", "tolerration:"),
        ("kind: ClusterRole\n", "kind: ClusterRol\n"),
    ] {
        let broken = rendered.replace(right, wrong);
        assert_ne!(rendered, broken);
        validate(&broken, VERSIONS[0]).expect_err(wrong);
    }
}
