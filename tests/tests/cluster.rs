//! What users apply, applied to a real API server: it is accepted, admitted, and grants what the
//! agent needs and nothing else.

use std::fs;

use serde_json::{Value, json};
use wirespan_tests::cluster::Cluster;
use wirespan_tests::deploy::{OVERLAYS, deploy, documents, helm_at, only};

#[test]
fn it_keeps_what_it_is_told_over_a_restart() {
    let mut cluster = Cluster::start();
    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}));
    let pod = json!({
        "metadata": {"name": "web"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "shop/web:1"}]},
        "status": {"phase": "Running", "startTime": "2026-01-02T03:04:05Z"},
    });
    let made = cluster.create("/api/v1/namespaces/shop/pods", &pod);
    assert_eq!(made["status"]["startTime"], "2026-01-02T03:04:05Z");
    cluster.stop_serving();
    cluster.serve();
    cluster.delete("/api/v1/namespaces/shop/pods/web");
}

/// The pod that a DaemonSet's controller would make for a node.
fn pod(documents: &[Value]) -> Value {
    let template = &only(documents, "DaemonSet")["spec"]["template"];
    let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
    pod["metadata"]["name"] = json!("wirespan-1");
    pod["spec"]["nodeName"] = json!("node-1");
    pod
}

#[test]
fn plain_manifests_are_applied_and_their_pods_admitted() {
    let cluster = Cluster::start();
    let admin = cluster.admins_kubeconfig();
    cluster.create(
        "/api/v1/namespaces",
        &json!({"metadata": {
            "name": "careful", "labels": {"pod-security.kubernetes.io/enforce": "baseline"},
        }}),
    );
    for overlay in OVERLAYS {
        let file = deploy(&format!("kubernetes/{overlay}.yaml"));
        let file = file.to_str().expect("UTF-8");
        let said = cluster.kubectl(&admin, &["apply", "--server-side", "-f", file]);
        let said = said.unwrap_or_else(|why| panic!("{overlay}: {why}"));
        assert!(!said.contains("Warning"), "{overlay}: {said}");
        let manifests = documents(&fs::read_to_string(file).expect("a manifest"));
        let pod = pod(&manifests);
        cluster.create("/api/v1/namespaces/wirespan/pods", &pod);
        let refused = cluster.try_create("/api/v1/namespaces/careful/pods", &pod);
        let why = refused.expect_err("the label of the namespace is needed");
        assert!(why.contains("PodSecurity"), "{overlay}: {why}");
        cluster.delete("/api/v1/namespaces/wirespan/pods/wirespan-1");
    }
}

#[test]
fn the_chart_is_installed_upgraded_and_removed() {
    let cluster = Cluster::start();
    let admin = cluster.admins_kubeconfig();
    let installed = helm_at(&admin, None, &["install", "--create-namespace"]);
    installed.unwrap_or_else(|why| panic!("install: {why}"));
    let upgraded = helm_at(&admin, None, &["upgrade", "--set", "privileged=true"]);
    upgraded.unwrap_or_else(|why| panic!("upgrade: {why}"));
    assert_eq!(rights(&cluster, "wirespan", "wirespan"), RIGHTS);
}

/// Verbs of the agent by what it may do them with, in all namespaces.
const RIGHTS: [&str; 4] = ["list pods", "list services", "watch pods", "watch services"];

#[test]
fn the_agents_account_may_do_what_the_agent_needs_and_nothing_else() {
    let cluster = Cluster::start();
    let file = deploy("kubernetes/capabilities.yaml");
    let file = file.to_str().expect("UTF-8");
    let applied = cluster.kubectl(&cluster.admins_kubeconfig(), &["apply", "-f", file]);
    applied.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(rights(&cluster, "wirespan", "wirespan"), RIGHTS);
}

/// What an account may do with what clusters have, by the API server's own review.
fn rights(cluster: &Cluster, namespace: &str, account: &str) -> Vec<String> {
    let kubeconfig = cluster.kubeconfig(namespace, account);
    let mut may = Vec::new();
    for verb in ["create", "delete", "get", "list", "patch", "watch"] {
        for resource in ["configmaps", "nodes", "pods", "secrets", "services"] {
            let arguments = ["auth", "can-i", verb, resource, "--all-namespaces"];
            if cluster.kubectl(&kubeconfig, &arguments).is_ok() {
                may.push(format!("{verb} {resource}"));
            }
        }
    }
    may.sort();
    may
}
