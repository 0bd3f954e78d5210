//! Spans of what runs in pods. The API server is one that can be told to misbehave; control groups
//! are real ones, called as those of pods are, and nobody runs containers.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use wirespan_tests::api_server::{ApiServer, Mood};
use wirespan_tests::cgroup::NamedGroups;
use wirespan_tests::cluster::Cluster;
use wirespan_tests::daemon::{Daemon, binary, run_to_end};
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::spans::{Kind, Seen};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::{Client, Server, eventually};

const NODE: &str = "this-node";

/// A server on all addresses.
const ANYWHERE: &str = r#"
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
server = socketserver.ThreadingTCPServer(("0.0.0.0", int(sys.argv[1])), Handler)
print("listening", flush=True)
server.serve_forever()
"#;

/// A process in a container of a pod.
struct Contained {
    port: u16,
    process: Process,
    _groups: NamedGroups,
}

/// Uid of a pod that only this process makes.
fn uid(number: u32) -> String {
    format!(
        "1f0c2d3e-4b5a-6978-8796-{:06x}{number:06x}",
        std::process::id()
    )
}

fn container_id(number: u32) -> String {
    format!("{:058x}{number:06x}", std::process::id())
}

/// A server in container `container` of pod `pod`, from its first instruction on.
fn contained(pod: u32, container: u32, port: u16) -> Contained {
    contained_in(&uid(pod), container, port)
}

fn contained_in(uid: &str, container: u32, port: u16) -> Contained {
    started_in(uid, container, port, &[])
}

/// The same, started by a command that makes it something else besides.
fn started_in(uid: &str, container: u32, port: u16, by: &[&str]) -> Contained {
    let pod = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
    let scope = format!("cri-containerd-{}.scope", container_id(container));
    let groups = NamedGroups::new(&[&pod, &scope]).expect("control groups are handed down");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/memory/server.py");
    let mut command = tied("sh");
    command.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]);
    command
        .arg(groups.innermost())
        .args(by)
        .arg("python3")
        .arg(program)
        .arg(port.to_string());
    let process = Process::start("server", &mut command);
    process.expect_line("ready");
    Contained {
        port,
        process,
        _groups: groups,
    }
}

/// A pod on this node, of which a container has been started so often before.
fn pod(name: &str, number: u32, container: u32, restarts: u32) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": uid(number)},
        "spec": {"nodeName": NODE, "containers": [{"name": "app", "image": "shop:1"}]},
        "status": {"containerStatuses": [{
            "name": "app", "restartCount": restarts,
            "containerID": format!("containerd://{}", container_id(container)),
        }]},
    })
}

/// A daemon that asks this server.
fn daemon(server: &ApiServer, ports: &[u16], files: &TempDir) -> Daemon {
    let file = files.path().join("kubeconfig");
    server.kubeconfig(&file, &json!({}), &json!({}));
    daemon_by(&file, ports)
}

/// A daemon that asks as this kubeconfig says.
fn daemon_by(file: &Path, ports: &[u16]) -> Daemon {
    daemon_with(file, ports, &[])
}

/// The same, set in this way too.
fn daemon_with(file: &Path, ports: &[u16], settings: &[(&str, &str)]) -> Daemon {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(",");
    let mut all = vec![
        ("BEYLA_OPEN_PORT", ports.as_str()),
        ("BEYLA_KUBE_METADATA_ENABLE", "true"),
        ("KUBECONFIG", file.to_str().expect("text")),
        ("NODE_NAME", NODE),
        ("BEYLA_KUBE_CLUSTER_NAME", "prod"),
    ];
    all.extend(settings);
    Daemon::start(&all)
}

fn ask(port: u16) {
    let mut wire = Wire::connect(port);
    wire.send("GET /healthy HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(wire.answer(false).status, 200);
}

/// Pod, container and its restarts, as a span tells them.
fn place(span: &Seen) -> String {
    let told = |name: &str| span.resource.get(name).map_or("-", String::as_str);
    assert_eq!(told("k8s.cluster.name"), "prod");
    let names = ["k8s.namespace.name", "k8s.pod.name", "k8s.container.name"];
    let restarts = told("k8s.container.restart_count");
    format!("{} {restarts}", names.map(told).join("/"))
}

/// Asks, and where the span of that comes from.
fn asked(daemon: &Daemon, server: &Contained) -> String {
    let before = daemon.spans().len();
    ask(server.port);
    let spans = daemon.wait_for_count(before + 1);
    let span = &spans[before];
    let pid = span.resource.get("process.pid").map(String::as_str);
    assert_eq!(pid, Some(&*server.process.pid().to_string()));
    place(span)
}

#[test]
fn each_span_has_the_pod_of_its_process_and_no_other() {
    let server = ApiServer::start();
    let files = tempfile::tempdir().expect("a directory");
    let ports = [(); 5].map(|()| ports::free());
    server.put(&pod("web", 1, 11, 0));
    server.put(&pod("db", 2, 21, 3));
    // Somebody else's, with a container of the same id.
    let mut other = pod("other", 9, 11, 0);
    other["spec"]["nodeName"] = "there".into();
    server.put(&other);
    let web = contained(1, 11, ports[0]);
    let db = contained(2, 21, ports[1]);
    let daemon = daemon(&server, &ports, &files);
    daemon.wait_until_watching(web.process.pid());
    daemon.wait_until_watching(db.process.pid());
    // One pid namespace, one program: what differs is the container.
    assert_eq!(asked(&daemon, &web), "shop/web/app 0");
    assert_eq!(asked(&daemon, &db), "shop/db/app 3");
    // The container is started again, in the same pod, and what ran before runs on for a while.
    server.put(&pod("db", 2, 22, 4));
    let again = contained(2, 22, ports[2]);
    daemon.wait_until_watching(again.process.pid());
    assert_eq!(asked(&daemon, &again), "shop/db/app 4");
    assert_eq!(asked(&daemon, &db), "shop/db/app 3");
    // The pod is made again, with the same name.
    server.remove(&uid(1));
    server.put(&pod("web", 3, 31, 0));
    let made_again = contained(3, 31, ports[3]);
    daemon.wait_until_watching(made_again.process.pid());
    let spans = daemon.spans().len();
    assert_eq!(asked(&daemon, &made_again), "shop/web/app 0");
    assert_eq!(asked(&daemon, &web), "shop/web/app 0");
    let told = daemon.spans();
    let uids = told[spans..]
        .iter()
        .map(|span| span.resource["k8s.pod.uid"].as_str());
    assert_eq!(uids.collect::<Vec<_>>(), [uid(3), uid(1)]);
    // Group and API server tell of different pods: neither is believed.
    drop(web);
    let between = contained(1, 31, ports[4]);
    assert_eq!(asked(&daemon, &between), "-/-/- -");
    assert_eq!(daemon.stop().lost(), "nothing");
}

/// The only child of a process.
fn child(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("it runs");
    children.trim().parse().expect("one child")
}

#[test]
fn containers_that_see_each_others_processes_are_told_apart() {
    let server = ApiServer::start();
    let files = tempfile::tempdir().expect("a directory");
    let mut both = pod("web", 6, 61, 0);
    both["spec"]["shareProcessNamespace"] = true.into();
    both["spec"]["containers"] = json!([{"name": "app"}, {"name": "proxy"}]);
    let beside = json!({
        "name": "proxy", "restartCount": 2,
        "containerID": format!("containerd://{}", container_id(62)),
    });
    let statuses = both["status"]["containerStatuses"].as_array_mut();
    statuses.expect("a list").push(beside);
    server.put(&both);
    let ports = [(); 2].map(|()| ports::free());
    // What a pod's first container is, the others join.
    let first = ["unshare", "--pid", "--fork", "--kill-child"];
    let app = started_in(&uid(6), 61, ports[0], &first);
    let namespace = format!("--pid=/proc/{}/ns/pid_for_children", app.process.pid());
    let proxy = started_in(&uid(6), 62, ports[1], &["nsenter", &namespace]);
    let pids = [&app, &proxy].map(|it| child(it.process.pid()));
    let namespaces = pids.map(|pid| std::fs::read_link(format!("/proc/{pid}/ns/pid")));
    let [one, other] = namespaces.map(|it| it.expect("it runs"));
    assert_eq!(one, other);
    let daemon = daemon(&server, &ports, &files);
    for (pid, (server, told)) in pids
        .into_iter()
        .zip([(&app, "shop/web/app 0"), (&proxy, "shop/web/proxy 2")])
    {
        daemon.wait_until_watching(pid);
        let before = daemon.spans().len();
        ask(server.port);
        assert_eq!(place(&daemon.wait_for_count(before + 1)[before]), told);
    }
    assert_eq!(daemon.stop().lost(), "nothing");
    // The namespace ends with its first process, and whoever is in it.
    drop(app);
}

#[test]
fn spans_wait_for_a_pod_that_is_told_late_and_what_began_before_is_told_with_it() {
    let server = ApiServer::later();
    let files = tempfile::tempdir().expect("a directory");
    let ports = [(); 2].map(|()| ports::free());
    let web = contained(4, 41, ports[0]);
    // Nobody is there to be asked, and nothing waits for that but spans.
    let daemon = daemon(&server, &ports, &files);
    daemon.wait_until_watching(web.process.pid());
    assert_eq!(asked(&daemon, &web), "-/-/- -");
    server.put(&pod("web", 4, 41, 0));
    server.come_up();
    server.wait_until_asked(&["watch=true"], 1);
    let late = || asked(&daemon, &web) == "shop/web/app 0";
    eventually("the pod of a process that runs already", late);
    // One that begins is told with its pod from its first span on, though that is known later. A
    // machine that is busy may take longer than spans wait.
    let is_in_time = (50..60).any(|number| {
        let begun = contained(number, number, ports[1]);
        let before = daemon.spans().len();
        ask(begun.port);
        server.put(&pod("late", number, number, 0));
        let spans = daemon.wait_for_count(before + 1);
        place(&spans[before]) == "shop/late/app 0"
    });
    assert!(is_in_time);
    let _ = daemon.stop();
}

#[test]
fn without_the_right_it_says_which_and_goes_on() {
    let server = ApiServer::start();
    server.is(Mood::Forbidding);
    let files = tempfile::tempdir().expect("a directory");
    let ports = [ports::free()];
    let web = contained(6, 61, ports[0]);
    let mut daemon = daemon(&server, &ports, &files);
    daemon.wait_until_watching(web.process.pid());
    let log = &daemon.process().stderr;
    let limit = wirespan_tests::process::LIMIT;
    let said = log.wait_for_line(limit, "resources [pods], verbs [list, watch]");
    assert!(said.is_some_and(|line| line.contains("it refuses")));
    assert_eq!(asked(&daemon, &web), "-/-/- -");
    let finished = daemon.stop();
    assert_eq!(finished.lost(), "nothing");
    let lines = finished
        .log
        .iter()
        .filter(|line| line.contains("Kubernetes' API server"));
    // One of pods, and one of services.
    assert_eq!(lines.count(), 2, "{:?}", finished.log);
}

/// Asks one server and then another, which is told of: whether the first one is.
fn is_told(daemon: &Daemon, server: &Contained, other: &Contained) -> bool {
    let before = daemon.spans().len();
    let of = |span: &Seen, server: &Contained| {
        let pid = span.resource.get("process.pid");
        pid.is_some_and(|pid| *pid == server.process.pid().to_string())
    };
    ask(server.port);
    ask(other.port);
    let spans = daemon.wait_for("the other server's span", |spans| {
        spans[before..].iter().any(|span| of(span, other))
    });
    spans[before..].iter().any(|span| of(span, server))
}

#[test]
fn only_what_runs_in_pods_that_are_meant_is_told() {
    let server = ApiServer::start();
    let files = tempfile::tempdir().expect("a directory");
    let ports = [(); 4].map(|()| ports::free());
    let labelled = |name: &str, number: u32, traced: &str| {
        let mut pod = pod(name, number, number, 0);
        pod["metadata"]["labels"] = json!({"traced": traced});
        pod
    };
    server.put(&labelled("web", 301, "yes"));
    server.put(&labelled("db", 302, "no"));
    let web = contained(301, 301, ports[0]);
    let db = contained(302, 302, ports[1]);
    let file = files.path().join("kubeconfig");
    server.kubeconfig(&file, &json!({}), &json!({}));
    let labels = ("WIRESPAN_K8S_POD_LABELS", "traced=yes");
    let daemon = daemon_with(&file, &ports, &[labels]);
    daemon.wait_until_watching(web.process.pid());
    assert_eq!(asked(&daemon, &web), "shop/web/app 0");
    assert!(!is_told(&daemon, &db, &web));
    // One that begins, in a pod that is known by then, and in one that is told later.
    server.put(&labelled("late", 303, "yes"));
    let begun = contained(303, 303, ports[2]);
    daemon.wait_until_watching(begun.process.pid());
    let unknown = contained(304, 304, ports[3]);
    assert!(!is_told(&daemon, &unknown, &web));
    server.put(&labelled("unknown", 304, "yes"));
    daemon.wait_until_watching(unknown.process.pid());
    assert_eq!(asked(&daemon, &unknown), "shop/unknown/app 0");
    // What is meant changes, in either direction.
    server.put(&labelled("db", 302, "yes"));
    daemon.wait_until_watching(db.process.pid());
    assert_eq!(asked(&daemon, &db), "shop/db/app 0");
    server.put(&labelled("web", 301, "no"));
    let is_left = || !is_told(&daemon, &web, &db);
    eventually("the pod is not meant any more", is_left);
    assert!(!is_told(&daemon, &web, &db));
    assert_eq!(daemon.stop().lost(), "nothing");
}

/// Name and namespace of the service at the other end, as a span has them.
fn other_end(span: &Seen) -> String {
    let side = match span.kind {
        Kind::Client => "server",
        _ => "client",
    };
    let told = |what: &str| {
        let value = span.attributes.get(&format!("{side}.service.{what}"));
        value.map_or("-", String::as_str)
    };
    format!("{}/{}", told("namespace"), told("name"))
}

#[test]
fn nothing_is_ready_until_somebody_tells_of_the_pods_that_are_meant() {
    let server = ApiServer::start();
    server.is(Mood::Forbidding);
    let files = tempfile::tempdir().expect("a directory");
    let file = files.path().join("kubeconfig");
    server.kubeconfig(&file, &json!({}), &json!({}));
    let (port, health) = (ports::free(), ports::free().to_string());
    let settings = [
        ("WIRESPAN_K8S_NAMESPACE", "shop"),
        ("BEYLA_HEALTH_CHECK_PORT", &*health),
    ];
    let mut daemon = daemon_with(&file, &[port], &settings);
    let log = &daemon.process().stderr;
    let limit = wirespan_tests::process::LIMIT;
    let said = log.wait_for_line(limit, "nothing is watched until it tells of pods");
    assert!(said.is_some_and(|line| line.contains("ERROR")));
    let url = format!("http://127.0.0.1:{health}/readyz");
    let asked = || {
        let mut curl = tied("curl");
        curl.args(["--silent", "--write-out", "%{http_code}\\n", &url]);
        Process::start("curl", &mut curl).succeed().join(" ")
    };
    let answer = asked();
    assert!(answer.ends_with("503"), "{answer}");
    assert!(answer.contains("has not told of any"), "{answer}");
    server.is(Mood::Well);
    eventually("it is ready", || asked().ends_with("200"));
    let _ = daemon.stop();
}

#[test]
fn each_side_names_the_other_by_its_address() {
    let api = ApiServer::start();
    let files = tempfile::tempdir().expect("a directory");
    // The pod that asks, and the service that it asks.
    let mut web = pod("web-0", 401, 401, 0);
    web["metadata"]["labels"] = json!({});
    web["status"]["podIPs"] = json!([{"ip": "127.0.0.1"}]);
    api.put(&web);
    api.put(&json!({
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": "shop", "uid": uid(402)},
        "spec": {"clusterIP": "127.0.0.42"},
    }));
    let server = Server::on(ports::free(), |port| {
        let mut command = tied("python3");
        command.args(["-c", ANYWHERE, port]);
        command
    });
    let mut client = Client::python();
    let file = files.path().join("kubeconfig");
    api.kubeconfig(&file, &json!({}), &json!({}));
    let pid = client.process.pid().to_string();
    let daemon = daemon_with(&file, &[server.port], &[("BEYLA_TARGET_PID", &pid)]);
    daemon.wait_until_watching(client.process.pid());
    api.wait_until_asked(&["/api/v1/services?watch=true"], 1);
    let ask = |client: &mut Client, daemon: &Daemon| {
        let before = daemon.spans().len();
        client.send("GET", &format!("http://127.0.0.42:{}/cart", server.port), 0);
        let spans = daemon.wait_for_count(before + 2);
        let mut told: Vec<_> = spans[before..].iter().map(other_end).collect();
        told.sort();
        told
    };
    eventually("both sides are named", || {
        ask(&mut client, &daemon) == ["shop/cart", "shop/web-0"]
    });
    // Another one has the address now, too: it is nobody's.
    let mut other = pod("other-0", 403, 403, 0);
    other["status"]["podIPs"] = json!([{"ip": "127.0.0.1"}]);
    api.put(&other);
    eventually("two claim it", || {
        ask(&mut client, &daemon) == ["-/-", "shop/cart"]
    });
    api.remove(&uid(401));
    eventually("one is left", || {
        ask(&mut client, &daemon) == ["shop/cart", "shop/other-0"]
    });
    let _ = daemon.stop();
}

#[test]
fn without_the_right_to_services_pods_are_told_all_the_same() {
    let server = ApiServer::start();
    server.is(Mood::ForbiddingAllBut("pods"));
    let files = tempfile::tempdir().expect("a directory");
    server.put(&pod("web", 411, 411, 0));
    let ports = [ports::free()];
    let web = contained(411, 411, ports[0]);
    let mut daemon = daemon(&server, &ports, &files);
    daemon.wait_until_watching(web.process.pid());
    let log = &daemon.process().stderr;
    let limit = wirespan_tests::process::LIMIT;
    let said = log.wait_for_line(limit, "resources [services], verbs [list, watch]");
    assert!(said.is_some_and(|line| line.contains("lack the names of services")));
    assert_eq!(asked(&daemon, &web), "shop/web/app 0");
    let _ = daemon.stop();
}

/// A command of the daemon's that asks this server, and what it prints.
fn printed(file: &Path, arguments: &[&str]) -> String {
    let mut command = tied(binary());
    command.args(arguments);
    command.envs([
        ("BEYLA_KUBE_METADATA_ENABLE", "true"),
        ("KUBECONFIG", file.to_str().expect("text")),
        ("NODE_NAME", NODE),
    ]);
    // What of this machine stays closed to the test is another's concern.
    let (_, lines, log) = run_to_end(&mut command);
    assert!(!lines.is_empty(), "{log:?}");
    lines.join("\n")
}

#[test]
fn who_only_looks_is_told_of_pods_as_spans_tell_of_them() {
    let server = ApiServer::start();
    let files = tempfile::tempdir().expect("a directory");
    let mut web = pod("web-7f9c-x2x", 501, 501, 0);
    web["metadata"]["labels"] = json!({"pod-template-hash": "7f9c"});
    web["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f9c", "uid": "u-1",
        "controller": true,
    }]);
    server.put(&web);
    let port = ports::free();
    let contained = contained(501, 501, port);
    let file = files.path().join("kubeconfig");
    server.kubeconfig(&file, &json!({}), &json!({}));
    let pid = contained.process.pid().to_string();
    let port = port.to_string();
    let rows = printed(&file, &["processes", "--json", "--open-port", &port]);
    let rows: Value = serde_json::from_str(&rows).expect("it is JSON");
    assert_eq!(rows[0]["service_name"], "web");
    assert_eq!(rows[0]["service_namespace"], "shop");
    assert_eq!(rows[0]["pod"], "shop/web-7f9c-x2x");
    let told = printed(
        &file,
        &["explain", &pid, "--open-port", &port, "--watch", "0s"],
    );
    assert!(told.contains("called web,"), "{told}");
    let place = "shop/web-7f9c-x2x, container app, of ReplicaSet web-7f9c, of Deployment web, on \
                 node this-node";
    assert!(told.contains(place), "{told}");
}

/// A service account that may do to pods what it has to, and nothing else.
fn account(cluster: &Cluster) {
    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}}));
    let account = json!({"metadata": {"name": "wirespan"}});
    cluster.create("/api/v1/namespaces/shop/serviceaccounts", &account);
    let rights = "/apis/rbac.authorization.k8s.io/v1";
    let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]});
    let role = json!({"metadata": {"name": "wirespan"}, "rules": [rule]});
    cluster.create(&format!("{rights}/clusterroles"), &role);
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": "wirespan"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "wirespan"},
        "subjects": [{"kind": "ServiceAccount", "name": "wirespan", "namespace": "shop"}],
    });
    cluster.create(&format!("{rights}/clusterrolebindings"), &binding);
}

/// Makes a pod, and returns its uid.
fn made(cluster: &Cluster, name: &str, container: u32) -> String {
    let mut pod = pod(name, 0, container, 2);
    pod["metadata"] = json!({"name": name});
    let status = &mut pod["status"]["containerStatuses"][0];
    status["image"] = "shop:1".into();
    status["imageID"] = "".into();
    status["ready"] = true.into();
    let made = cluster.create("/api/v1/namespaces/shop/pods", &pod);
    made["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

#[test]
fn a_real_api_server_tells_pods_before_and_after_it_was_away() {
    let mut cluster = Cluster::start();
    account(&cluster);
    let ports = [(); 3].map(|()| ports::free());
    let web = contained_in(&made(&cluster, "web", 71), 71, ports[0]);
    let daemon = daemon_by(&cluster.kubeconfig("shop", "wirespan"), &ports);
    daemon.wait_until_watching(web.process.pid());
    eventually("the pods of this node", || {
        asked(&daemon, &web) == "shop/web/app 2"
    });
    // While it is watched.
    let db = contained_in(&made(&cluster, "db", 72), 72, ports[1]);
    eventually("a pod that came since", || {
        asked(&daemon, &db) == "shop/db/app 2"
    });
    cluster.crash();
    assert_eq!(asked(&daemon, &web), "shop/web/app 2");
    cluster.serve();
    let late = contained_in(&made(&cluster, "late", 73), 73, ports[2]);
    eventually("a pod that came later", || {
        asked(&daemon, &late) == "shop/late/app 2"
    });
    cluster.delete("/api/v1/namespaces/shop/pods/web");
    assert_eq!(asked(&daemon, &web), "shop/web/app 2");
    let _ = daemon.stop();
}

/// What `wirespan doctor` says of Kubernetes in a pod of this name, which has the token of a
/// service account and nothing that says its node.
fn examined_in_pod(cluster: &Cluster, token: &str, pod: &str) -> Vec<(String, String)> {
    let files = tempfile::tempdir().expect("a directory");
    std::fs::copy(cluster.authority(), files.path().join("ca.crt")).expect("a file");
    std::fs::write(files.path().join("token"), token).expect("a file");
    std::fs::write(files.path().join("namespace"), "shop").expect("a file");
    let script = "hostname \"$1\" && mount -t tmpfs none /run && \
        mkdir -p /run/secrets/kubernetes.io && \
        cp -r \"$2\" /run/secrets/kubernetes.io/serviceaccount && exec \"$0\" doctor --json";
    let mut command = tied("unshare");
    command.args(["--uts", "--mount", "sh", "-c", script]);
    command.arg(binary()).arg(pod).arg(files.path());
    let port = cluster.url().rsplit(':').next().expect("a port").to_owned();
    command.envs([
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", &*port),
        ("BEYLA_TRACE_PRINTER", "text"),
    ]);
    let (_, lines, log) = run_to_end(&mut command);
    let checks: Value = serde_json::from_str(&lines.join("\n")).unwrap_or_default();
    let checks = checks.as_array().unwrap_or_else(|| panic!("{log:?}"));
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let of_kubernetes = checks
        .iter()
        .filter(|it| text(it, "check").starts_with("Kubernetes"));
    of_kubernetes
        .map(|it| {
            (
                format!("{}: {}", text(it, "grade"), text(it, "check")),
                text(it, "found"),
            )
        })
        .collect()
}

/// The rights are those of Beyla's manifests but for what it needs of other kinds.
#[test]
fn a_real_api_server_tells_the_own_node_by_lists_and_what_may_be_asked() {
    let cluster = Cluster::start();
    account(&cluster);
    made(&cluster, "agent-x2x4z", 81);
    made(&cluster, "web", 82);
    let token = cluster.token("shop", "wirespan");
    let told = examined_in_pod(&cluster, &token, "agent-x2x4z");
    let said = |told: &[(String, String)], check: &str, found: &str| {
        let mut told = told.iter();
        told.any(|(it, why)| it == check && why.contains(found))
    };
    let by_name = format!("{NODE}, on which pods are: 2; wirespan's own pod is on it, by its name");
    assert!(said(&told, "PASS: Kubernetes node", &by_name), "{told:?}");
    let granted = "pods may be listed and watched";
    assert!(said(&told, "PASS: Kubernetes rights", granted), "{told:?}");
    let refused = "no right to list and watch";
    assert!(said(&told, "WARN: Kubernetes rights", refused), "{told:?}");
    // Nothing speaks for any node.
    let told = examined_in_pod(&cluster, &token, "nobody");
    assert!(
        said(&told, "WARN: Kubernetes node", "NODE_NAME"),
        "{told:?}"
    );
}

/// A pod as clusters have them: with a mesh's sidecar, and what everybody wrote into it.
fn heavy(number: u32) -> Value {
    let mut pod = pod(&format!("pod-{number}"), 1000 + number, 1000 + number, 0);
    let texts = |name: &str, count: usize, text: &str| -> Value {
        let texts = (0..count).map(|n| (format!("example.com/{name}-{n}"), json!(text)));
        texts.collect::<serde_json::Map<_, _>>().into()
    };
    pod["metadata"]["labels"] = texts("label", 20, "a-value-of-thirty-two-characters");
    pod["metadata"]["annotations"] = texts("annotation", 15, &"a text of some length ".repeat(5));
    pod["metadata"]["managedFields"] = texts("field", 200, "f:metadata");
    let environment = (0..40).map(|n| json!({"name": format!("V{n}"), "value": "v"}));
    let environment: Vec<_> = environment.collect();
    let names = ["app", "istio-proxy", "cloud-sql-proxy"];
    let containers = names.map(|name| json!({"name": name, "image": "shop:1", "env": environment}));
    pod["spec"]["containers"] = containers.to_vec().into();
    pod
}

#[test]
fn two_hundred_and_fifty_pods_take_little_memory() {
    let files = tempfile::tempdir().expect("a directory");
    let ports = [ports::free()];
    let resident = |pods: u32| {
        let server = ApiServer::start();
        for number in 0..pods {
            server.put(&heavy(number));
        }
        let mut daemon = daemon(&server, &ports, &files);
        server.wait_until_asked(&["watch=true"], 1);
        let log = &daemon.process().stderr;
        let said = format!("{pods} pods of node {NODE} are known");
        let said = log.wait_for_line(wirespan_tests::process::LIMIT, &said);
        assert!(said.is_some());
        let bytes = daemon.resident_bytes();
        let finished = daemon.stop();
        let ready = finished.log.iter().find(|line| line.contains("ready in"));
        eprintln!(
            "{pods} pods: {bytes} bytes resident; {}",
            ready.expect("it was")
        );
        bytes
    };
    let (none, many) = (resident(0), resident(250));
    let more = many.saturating_sub(none);
    assert!(
        more <= 5 << 20,
        "{more} bytes more with 250 pods than with none"
    );
}
