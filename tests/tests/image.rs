//! The image that is shipped, run from its layout alone, as pods of the manifests that users have:
//! those of `deploy/`, and one that was written for Beyla.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use wirespan_tests::api_server::{ApiServer, Mood};
use wirespan_tests::cgroup::NamedGroups;
use wirespan_tests::container::{Container, Image, Node, TOKEN};
use wirespan_tests::daemon::{Daemon, run_to_end};
use wirespan_tests::deploy::{data, deploy, documents, kustomize, only, validate};
use wirespan_tests::network::Host;
use wirespan_tests::process::{LIMIT, Process};
use wirespan_tests::receiver::{Receiver, text_of};
use wirespan_tests::tls::Certificates;
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::python;

/// A port that each of the manifests selects.
const PORT: u16 = 8080;
const OTLP_PORT: u16 = 4318;
const NODE: &str = "node-1";
/// What each of the manifests' pods is called.
const POD: &str = "agent-x2x4z";

/// The namespace of each of the manifests' pods, as its service account says.
const NAMESPACE: &str = "wirespan";
/// What is watched is in this pod.
const SERVED: &str = "shop-0";
const SERVED_UID: &str = "2a1b3c4d-5e6f-4708-9182-a3b4c5d6e7f8";

/// A pod with a server in it, on a network of its own.
struct Served {
    host: Host,
    server: Process,
    container: String,
    _groups: NamedGroups,
}

impl Served {
    fn start() -> Self {
        static BEFORE: AtomicU32 = AtomicU32::new(0);
        let host = Host::new();
        let number = BEFORE.fetch_add(1, Ordering::Relaxed);
        let container = format!("{:056x}{number:08x}", std::process::id());
        let pod = format!("kubepods-pod{}.slice", SERVED_UID.replace('-', "_"));
        let scope = format!("cri-containerd-{container}.scope");
        let groups = NamedGroups::new(&[&pod, &scope]).expect("control groups");
        let server = host.run(|| {
            let port = PORT.to_string();
            Process::start("server", &mut python("server.py", &[&port]))
        });
        server.expect_line("listening");
        groups.take_in(server.pid());
        Self {
            host,
            server,
            container,
            _groups: groups,
        }
    }

    /// As the API server tells it.
    fn pod(&self) -> Value {
        json!({
            "metadata": {"name": SERVED, "namespace": "default", "uid": SERVED_UID},
            "spec": {"nodeName": NODE, "containers": [{"name": "app"}]},
            "status": {"containerStatuses": [{
                "name": "app", "containerID": format!("containerd://{}", self.container),
            }]},
        })
    }

    fn ask(&self, path: &'static str) {
        self.host.run(move || {
            let mut wire = Wire::connect(PORT);
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n"));
            assert_eq!(wire.answer(false).status, 200);
        });
    }
}

/// An API server that grants what Beyla's ClusterRole grants: lists and watches, and no `get`. It
/// knows a pod that is watched, and the one that watches.
fn api_server(own: &Host, served: &Served) -> (ApiServer, Certificates) {
    let (server, certificates) = own.run(|| {
        let certificates = Certificates::create();
        (ApiServer::with_tls(&certificates), certificates)
    });
    server.wants_token(TOKEN);
    server.is(Mood::ForbiddingGet);
    server.put(&served.pod());
    server.put(&json!({
        "metadata": {"name": POD, "namespace": NAMESPACE, "uid": "uid-of-agent"},
        "spec": {"nodeName": NODE, "containers": [{"name": "agent"}]},
    }));
    (server, certificates)
}

/// What the pod of a manifest tells of requests to a server that it knows nothing of. Its network
/// is its own: there is the receiver, and nothing else.
fn told_by(what: &str, pod: &Value) -> Resource {
    let served = Served::start();
    let own = Host::new();
    let listener = own.run(|| TcpListener::bind(("127.0.0.1", OTLP_PORT)).expect("it is free"));
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _within = runtime.enter();
    let receiver = Receiver::on(listener).expect("it listens");
    let (api_server, certificates) = api_server(&own, &served);
    let node = Node {
        api_server: Some((api_server.port(), certificates.authority())),
        address: "127.0.0.1".to_owned(),
        name: NODE.to_owned(),
        pod: POD.to_owned(),
        network: Some(own.namespace()),
        hosts: "127.0.0.1 localhost otel-collector otel-collector.wirespan\n".to_owned(),
        ..Node::default()
    };
    let image = Image::packed();
    let container = Container::new(pod, &image, &node);
    let daemon = Daemon::started_below(&mut container.command());
    daemon.wait_until_watching(served.server.pid());
    api_server.wait_until_asked(&["/api/v1/pods?watch=true"], 1);
    served.ask("/healthy?token=secret");
    // Others of this machine may serve a port of that number, too.
    let is_ours = |span: &Span| text_of(span, "url.path") == Some("/healthy");
    let waited = receiver.wait_for(|spans| spans.iter().any(is_ours), LIMIT);
    let spans = runtime.block_on(waited);
    assert_probes_succeed(what, &pod["containers"][0], &own);
    let finished = daemon.stop();
    let log = finished.log.join("\n");
    let spans = spans.unwrap_or_else(|error| panic!("{what}: {error}\n{log}"));
    let ours: Vec<_> = spans.into_iter().filter(is_ours).collect();
    assert_eq!(ours.len(), 1, "{what}: {ours:?}");
    assert_eq!(ours[0].name, "GET", "{what}");
    assert_eq!(finished.lost(), "nothing", "{what}");
    let received = receiver.received();
    let mut resources = received.iter().flat_map(|one| &one.resource_spans);
    let ours = resources.find(|resource| {
        let mut scopes = resource.scope_spans.iter();
        scopes.any(|scope| scope.spans.iter().any(is_ours))
    });
    let ours = ours.expect("it was found").resource.clone();
    let ours = ours.expect("a resource");
    for (name, text) in [
        ("k8s.pod.name", SERVED),
        ("k8s.pod.uid", SERVED_UID),
        ("k8s.container.name", "app"),
        ("k8s.node.name", NODE),
    ] {
        assert_eq!(told(&ours, name).as_deref(), Some(text), "{what}: {log}");
    }
    own.run(move || drop(api_server));
    ours
}

/// Of those that a manifest has, asked as the kubelet asks.
fn assert_probes_succeed(what: &str, container: &Value, host: &Host) {
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let Some(path) = container[probe]["httpGet"]["path"].as_str() else {
            continue;
        };
        let ports = container["ports"].as_array().expect("ports");
        let port = ports.iter().find(|port| port["name"] == "health");
        let port = port.and_then(|port| port["containerPort"].as_u64());
        let port = port
            .and_then(|port| u16::try_from(port).ok())
            .expect("a port");
        let request = format!("GET {path} HTTP/1.1\r\nHost: node-1\r\n\r\n");
        let status = host.run(move || {
            let mut wire = Wire::connect(port);
            wire.send(request);
            wire.answer(false).status
        });
        assert_eq!(status, 200, "{what}: {probe}");
    }
}

/// A text among the attributes of a resource.
fn told(resource: &Resource, name: &str) -> Option<String> {
    let mut attributes = resource.attributes.iter();
    let value = &attributes.find(|attribute| attribute.key == name)?.value;
    match value.as_ref()?.value.as_ref()? {
        StringValue(text) => Some(text.clone()),
        other => panic!("{other:?}"),
    }
}

/// The pod of the only DaemonSet.
fn pod(yaml: &str) -> Value {
    only(&documents(yaml), "DaemonSet")["spec"]["template"]["spec"].clone()
}

#[test]
fn a_manifest_for_beyla_works_by_changing_the_image_alone() {
    let yaml = std::fs::read_to_string(data("beyla/daemonset.yaml")).expect("a manifest");
    validate(&yaml, "1.37").expect("it is one");
    let rights = std::fs::read_to_string(data("beyla/rbac.yaml")).expect("a manifest");
    validate(&rights, "1.37").expect("it is one");
    // What the API server of `told_by` grants is no more than this.
    let role = only(&documents(&rights), "ClusterRole").clone();
    let verbs = role["rules"].as_array().expect("rules").iter();
    assert!(
        verbs
            .map(|rule| &rule["verbs"])
            .all(|it| *it == json!(["list", "watch"]))
    );
    let resource = told_by("beyla", &pod(&yaml));
    let namespace = told(&resource, "service.namespace");
    assert_eq!(namespace.as_deref(), Some("shop"));
    let name = told(&resource, "service.name");
    assert_eq!(name.as_deref(), Some(SERVED));
    // It says nothing of the node, which is no reason to call that by the pod's name, unless the
    // machine's first process lets nobody look.
    let machine = std::fs::read_to_string("/proc/1/root/etc/hostname");
    let machine = machine.unwrap_or_else(|_| POD.to_owned());
    let host = told(&resource, "host.name");
    assert_eq!(host.as_deref(), Some(machine.trim()));
}

#[test]
fn our_own_manifests_trace_by_each_strength() {
    for overlay in ["minimal", "capabilities", "collector", "seccomp"] {
        let yaml = kustomize(&deploy(&format!("kubernetes/overlays/{overlay}")));
        let resource = told_by(overlay, &pod(&yaml));
        let host = told(&resource, "host.name");
        assert_eq!(host.as_deref(), Some(NODE), "{overlay}");
    }
}

#[test]
fn the_image_has_one_program_that_says_its_version() {
    let image = Image::packed();
    let mut names: Vec<_> = std::fs::read_dir(image.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["etc", "wirespan"]);
    let pod = json!({"containers": [{"securityContext": {
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "wirespan.json"},
    }}]});
    let node = Node {
        arguments: vec!["--version".to_owned()],
        ..Node::default()
    };
    let container = Container::new(&pod, &image, &node);
    let (code, printed, log) = run_to_end(&mut container.command());
    assert_eq!(code, Some(0), "{log:?}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(printed, [format!("wirespan {version}")]);
}
