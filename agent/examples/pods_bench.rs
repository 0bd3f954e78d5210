//! What 250 pods on a node cost the daemon, with a real API server:
//! `WIRESPAN_BIN=target/release/wirespan cargo run --release -p wirespan --example pods_bench
//! [rounds]`, as root. How soon it is ready when it asks nobody, an API server that answers, and
//! one that is away; and how much more memory it has resident once it knows the pods. The three
//! take turns; the median counts.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use wirespan_tests::cluster::Cluster;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::LIMIT;

const NODE: &str = "this-node";
const PODS: usize = 250;

/// Whom the daemon asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked<'a> {
    Nobody,
    /// As this kubeconfig says, which leads to a server that answers.
    Server(&'a Path),
    /// As this kubeconfig says, which leads nowhere.
    Away(&'a Path),
}

/// What a start took.
struct Started {
    ready_ms: f64,
    resident_mib: f64,
}

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|argument| argument.parse().ok())
        .unwrap_or(5);
    let cluster = Cluster::start();
    let namespace = json!({"metadata": {"name": "shop"}});
    cluster.create("/api/v1/namespaces", &namespace);
    for number in 0..PODS {
        cluster.create("/api/v1/namespaces/shop/pods", &pod(number));
    }
    let there = cluster.admins_kubeconfig();
    let away = there.with_file_name("away.kubeconfig");
    let text = std::fs::read_to_string(&there).expect("it was written");
    let nowhere = format!("https://127.0.0.1:{}", ports::free());
    std::fs::write(&away, text.replace(&cluster.url(), &nowhere)).expect("a file");
    let cases = [Asked::Nobody, Asked::Server(&there), Asked::Away(&away)];
    // Caches are warm from the second start on.
    start(cases[0]);
    let mut started = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (case, started) in cases.iter().zip(&mut started) {
            started.push(start(*case));
        }
    }
    let median = |of: &dyn Fn(&Started) -> f64, case: usize| {
        let mut values: Vec<_> = started[case].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let ready = |case| median(&|it| it.ready_ms, case);
    let resident = |case| median(&|it| it.resident_mib, case);
    println!("ready, asking nobody  {:.0} ms", ready(0));
    println!("ready, API server there  {:.0} ms", ready(1));
    println!("ready, API server away  {:.0} ms", ready(2));
    println!(
        "memory of {PODS} pods  {:.2} MiB",
        resident(1) - resident(0)
    );
}

fn start(asked: Asked<'_>) -> Started {
    let port = ports::free().to_string();
    let mut settings = vec![("BEYLA_OPEN_PORT", &*port), ("NODE_NAME", NODE)];
    if let Asked::Server(file) | Asked::Away(file) = asked {
        settings.push(("BEYLA_KUBE_METADATA_ENABLE", "true"));
        settings.push(("KUBECONFIG", file.to_str().expect("text")));
    }
    let began = Instant::now();
    let mut daemon = Daemon::start(&settings);
    let ready_ms = began.elapsed().as_secs_f64() * 1e3;
    if let Asked::Server(_) = asked {
        let said = format!("{PODS} pods of node {NODE} are known");
        let known = daemon.process().stderr.wait_for_line(LIMIT, &said);
        assert!(known.is_some(), "its pods are told");
    }
    let resident_mib = daemon.resident_bytes() as f64 / f64::from(1 << 20);
    let _ = daemon.stop();
    Started {
        ready_ms,
        resident_mib,
    }
}

/// A pod as they are: twenty labels, fifteen annotations, three containers.
fn pod(number: usize) -> Value {
    let texts = |what: &str, count: usize, len: usize| -> Value {
        let pairs = (0..count).map(|it| {
            let text = format!("{what}-{number}-{it}-{}", "x".repeat(len));
            (format!("example.com/{what}-{it}"), Value::from(text))
        });
        Value::Object(pairs.collect())
    };
    let names = ["app", "proxy", "sidecar"];
    let containers = names.map(|name| {
        let image = format!("registry.example:5000/shop/{name}:v1.2.{number}");
        json!({"name": name, "image": image})
    });
    let statuses = names.map(|name| {
        let id = format!("containerd://{number:060x}{:04x}", name.len());
        json!({
            "name": name, "image": name, "imageID": "sha256:0", "ready": true, "restartCount": 1,
            "containerID": id,
        })
    });
    json!({
        "metadata": {
            "name": format!("web-{number}"),
            "labels": texts("label", 20, 20),
            "annotations": texts("annotation", 15, 100),
        },
        "spec": {"nodeName": NODE, "containers": containers},
        "status": {"phase": "Running", "containerStatuses": statuses},
    })
}
