//! What `wirespan doctor` says where all is well, and where what it looks at is really missing.

use std::process::Command;

use wirespan_tests::api_server::{ApiServer, Mood};
use wirespan_tests::daemon::{binary, run_to_end};
use wirespan_tests::examination::{examined, of};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::receiver::Receiver;
use wirespan_tests::workload::Server;

fn within(arguments: &[&str]) -> Command {
    let mut command = tied(arguments[0]);
    command.args(&arguments[1..]).arg(binary());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_it_says_how_a_run_would_work() {
    let receiver = Receiver::start().await.expect("a port");
    let server = Server::python();
    let (to, port) = (receiver.address().to_string(), server.port.to_string());
    let told = tokio::task::spawn_blocking(move || {
        let settings = [
            ("BEYLA_OPEN_PORT", &*port),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{to}")),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                &format!("http://{to}/v1/metrics"),
            ),
        ];
        examined(tied(binary()), &settings)
    });
    let (code, checks, last) = told.await.expect("no panic");
    assert_eq!(code, Some(0), "{checks:#} {last}");
    for name in [
        "capabilities",
        "kernel",
        "kernel types (BTF)",
        "sockets",
        "pid namespace",
        "targets",
        "target",
        "receiver",
        "receiver of metrics",
    ] {
        assert_eq!(of(&checks, name).0, "PASS", "{checks:#}");
    }
    let names = format!("(pid {})", server.process.pid());
    assert!(of(&checks, "target").1.contains(&names), "{checks:#}");
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].resource_spans.is_empty());
    assert_eq!(received[0].headers["x-tenant"], "shop");
}

#[test]
fn what_keeps_a_run_from_working_fails_with_a_remedy() {
    let without_bpf = "--bounding-set=-all,+perfmon,+sys_ptrace,+dac_read_search";
    for (within_what, check, says) in [
        (
            &["setpriv", "--inh-caps=-all", without_bpf][..],
            "capabilities",
            "missing CAP_BPF",
        ),
        (
            &["unshare", "--pid", "--fork", "--mount-proc"],
            "pid namespace",
            "hostPID: true",
        ),
    ] {
        let (code, checks, last) = examined(within(within_what), &[]);
        let (grade, said) = of(&checks, check);
        assert_eq!((code, grade), (Some(1), "FAIL"), "{checks:#}");
        assert!(said.contains(says), "{said}");
        assert!(last.contains(check), "{last}");
    }
    let endpoint = format!("http://127.0.0.1:{}", ports::free());
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint)];
    let (code, checks, _) = examined(tied(binary()), &settings);
    let (grade, said) = of(&checks, "receiver");
    assert_eq!((code, grade), (Some(1), "FAIL"), "{checks:#}");
    assert!(said.contains("Connection refused"), "{said}");
}

#[test]
fn what_kubernetes_refuses_is_a_warning_with_the_rule_that_is_missing() {
    let server = ApiServer::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, &serde_json::json!({}), &serde_json::json!({}));
    let settings = [
        ("KUBECONFIG", file.to_str().expect("text")),
        ("BEYLA_KUBE_METADATA_ENABLE", "true"),
        ("BEYLA_TRACE_PRINTER", "text"),
    ];
    for (mood, grade, says) in [
        (Mood::Well, "PASS", "pods may be listed and watched"),
        (Mood::Forbidding, "WARN", "resources [pods]"),
    ] {
        server.is(mood);
        let (code, checks, _) = examined(tied(binary()), &settings);
        let (graded, said) = of(&checks, "Kubernetes rights");
        assert_eq!((code, graded), (Some(0), grade), "{checks:#}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_node_without_pods_is_none_and_one_with_pods_is_known() {
    let server = ApiServer::start();
    server.put(&serde_json::json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app"}]},
    }));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, &serde_json::json!({}), &serde_json::json!({}));
    for (node, grade, says) in [
        (Some("node-1"), "PASS", "pods are: 1; NODE_NAME says so"),
        (Some("node-2"), "WARN", "no pod is on node-2"),
        // The machine's own name is that of no node.
        (None, "WARN", "NODE_NAME has to say"),
    ] {
        let mut settings = vec![
            ("KUBECONFIG", file.to_str().expect("text")),
            ("BEYLA_KUBE_METADATA_ENABLE", "true"),
            ("BEYLA_TRACE_PRINTER", "text"),
        ];
        settings.extend(node.map(|node| ("NODE_NAME", node)));
        let (code, checks, _) = examined(tied(binary()), &settings);
        let (graded, said) = of(&checks, "Kubernetes node");
        assert_eq!((code, graded), (Some(0), grade), "{checks:#}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn where_pods_alone_are_watched_and_nobody_tells_of_them_a_run_is_of_no_use() {
    let shop = ("WIRESPAN_K8S_NAMESPACE", "shop");
    let settings = [shop, ("BEYLA_TRACE_PRINTER", "text")];
    let (code, checks, _) = examined(tied(binary()), &settings);
    let (grade, said) = of(&checks, "Kubernetes rights");
    assert_eq!((code, grade), (Some(1), "FAIL"), "{checks:#}");
    assert!(said.contains("refuses to start"), "{said}");
    assert!(said.contains("WIRESPAN_K8S_NAMESPACE"), "{said}");

    let server = ApiServer::start();
    server.is(Mood::Forbidding);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, &serde_json::json!({}), &serde_json::json!({}));
    let settings = [
        shop,
        ("KUBECONFIG", file.to_str().expect("text")),
        ("BEYLA_KUBE_METADATA_ENABLE", "true"),
        ("BEYLA_TRACE_PRINTER", "text"),
    ];
    let (code, checks, _) = examined(tied(binary()), &settings);
    let (grade, said) = of(&checks, "Kubernetes rights");
    assert_eq!((code, grade), (Some(1), "FAIL"), "{checks:#}");
    assert!(said.contains("nothing is watched"), "{said}");
    // Who only lists is told, too.
    let mut command = tied(binary());
    command.arg("processes").envs(settings);
    let (code, _, log) = run_to_end(&mut command);
    assert_eq!(code, Some(1), "{log:?}");
    let last = log.last().expect("a line");
    assert!(last.contains("nobody tells of pods"), "{last}");
}

#[test]
fn what_makes_a_run_see_less_is_a_warning() {
    // Somebody else's, which root without capabilities may not look into.
    let mut other = tied("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let _other = Process::start("sleep", other.args(["sleep", "600"]));
    // Before 5.11 maps count as locked memory, which is little without sys_resource.
    let without_search = "--bounding-set=-all,+bpf,+perfmon,+sys_ptrace,+sys_resource";
    let command = within(&["setpriv", "--inh-caps=-all", without_search]);
    let (code, checks, last) = examined(command, &[("BEYLA_TRACE_PRINTER", "text")]);
    assert_eq!(code, Some(0), "{checks:#} {last}");
    for name in ["capabilities", "processes"] {
        let (grade, said) = of(&checks, name);
        assert_eq!(grade, "WARN", "{said}");
        assert!(said.contains("CAP_DAC_READ_SEARCH"), "{said}");
    }
    // Nobody said whom to watch.
    assert_eq!(of(&checks, "targets").0, "WARN");
}
