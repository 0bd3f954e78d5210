//! The real API server that other tests lean on does what clusters do.

use serde_json::json;
use wirespan_tests::cluster::Cluster;

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
