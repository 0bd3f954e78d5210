//! The API server in trouble, and out of it again: what the agent knows of pods is what there is.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wirespan::config::{ApiReach, KubernetesConfig, PeersAsked};
use wirespan::kubernetes::peer::PeerKind;
use wirespan::kubernetes::{
    NodeSign, NodeSought, OwnNode, OwnPod, PeerBook, PodNews, PodResource, Pods, ResourceRights,
    ResourceWatch, ServiceResource, WatchSetup, own_node, rights,
};
use wirespan_tests::api_server::{ApiServer, Mood};
use wirespan_tests::tls::Certificates;

/// Nothing in a test should take as long.
const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "S3cr3tV4lue";

/// A pod on a node.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}")},
        "spec": {"nodeName": node, "containers": [{"name": "app"}]},
    })
}

/// A pod in which the machine calls itself so, and of which nothing else is known.
fn named(host_name: &str) -> OwnPod {
    OwnPod {
        host_name: host_name.to_owned(),
        ..OwnPod::default()
    }
}

/// Somebody who asks, and what is known by that.
struct Bench {
    news: Receiver<PodNews>,
    pods: Pods,
    names: Vec<String>,
    silences: usize,
    _watch: ResourceWatch,
    directory: TempDir,
}

impl Bench {
    fn asking(server: &ApiServer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config");
        server.kubeconfig(&file, &json!({}), &json!({}));
        Self::with(ApiReach::File(file), Some("here"), directory)
    }

    fn with(reach: ApiReach, node: Option<&str>, directory: TempDir) -> Self {
        Self::as_pod(reach, node, named("agent-x"), directory)
    }

    fn as_pod(reach: ApiReach, node: Option<&str>, own: OwnPod, directory: TempDir) -> Self {
        let setup = WatchSetup {
            config: KubernetesConfig {
                reach: Some(reach),
                node: node.map(str::to_owned),
                local_node_alone: true,
                peers: PeersAsked::default(),
                is_demanded: true,
            },
            service_account: Some(directory.path().to_owned()),
            own,
            decides: false,
        };
        let (tells, news) = channel();
        let watch = ResourceWatch::start(setup, PodResource, move |news| tells.send(news).is_ok());
        Self {
            news,
            pods: Pods::awaited(),
            names: Vec::new(),
            silences: 0,
            _watch: watch.expect("a thread").expect("somebody is asked"),
            directory,
        }
    }

    /// Takes in the next news; `false` if there are none in time.
    fn hear(&mut self, limit: Duration) -> bool {
        let Ok(news) = self.news.recv_timeout(limit) else {
            return false;
        };
        match &news {
            PodNews::All(pods) => self.names = pods.iter().map(|it| it.name.clone()).collect(),
            PodNews::Is(pod) if !self.names.contains(&pod.name) => {
                self.names.push(pod.name.clone())
            }
            PodNews::Is(_) => {}
            PodNews::Gone(uid) => self.names.retain(|it| format!("uid-of-{it}") != **uid),
            PodNews::Silence => self.silences += 1,
        }
        self.names.sort_unstable();
        self.pods.hear(news, 8 << 20);
        true
    }

    /// Hears until these are known, and no others.
    fn expect(&mut self, names: &[&str]) {
        while self.names != names {
            assert!(self.hear(LIMIT), "{:?} instead of {names:?}", self.names);
        }
        assert_eq!(self.pods.len(), names.len());
    }

    fn expect_silence(&mut self) {
        while self.silences == 0 {
            assert!(self.hear(LIMIT), "nobody gives up");
        }
    }
}

#[test]
fn pods_come_change_and_go_and_those_of_other_nodes_are_not_kept() {
    let server = ApiServer::start();
    for n in 0..5000 {
        server.put(&pod(&format!("other-{n}"), "there"));
    }
    server.put(&pod("one", "here"));
    let mut bench = Bench::asking(&server);
    bench.expect(&["one"]);
    server.put(&pod("elsewhere", "there"));
    server.put(&pod("two", "here"));
    bench.expect(&["one", "two"]);
    server.remove("uid-of-one");
    bench.expect(&["two"]);
    let asked = server.asked();
    assert!(
        asked[0]
            .0
            .contains("resourceVersion=0&fieldSelector=spec.nodeName%3Dhere"),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 2, "a list and a watch: {asked:?}");
}

#[test]
fn a_watch_that_ends_goes_on_where_it_was() {
    let server = ApiServer::start();
    server.put(&pod("one", "here"));
    let mut bench = Bench::asking(&server);
    bench.expect(&["one"]);
    server.wait_until_asked(&["watch=true"], 1);
    // Only a bookmark tells of what happened on other nodes.
    server.put(&pod("other", "there"));
    server.bookmark();
    server.put(&pod("two", "here"));
    bench.expect(&["one", "two"]);
    server.disconnect();
    server.wait_until_asked(&["watch=true", "resourceVersion=3"], 1);
    server.put(&pod("three", "here"));
    bench.expect(&["one", "three", "two"]);
    let lists = server
        .asked()
        .iter()
        .filter(|(it, _)| !it.contains("watch"))
        .count();
    assert_eq!(lists, 1, "{:?}", server.asked());
}

#[test]
fn what_was_forgotten_is_listed_anew() {
    let server = ApiServer::start();
    server.put(&pod("one", "here"));
    server.put(&pod("two", "here"));
    let mut bench = Bench::asking(&server);
    bench.expect(&["one", "two"]);
    server.wait_until_asked(&["watch=true"], 1);
    server.remove("uid-of-one");
    bench.expect(&["two"]);
    // Within a watch, and where one begins.
    server.forget();
    server.wait_until_asked(&["resourceVersionMatch=NotOlderThan"], 1);
    server.wait_until_asked(&["watch=true"], 2);
    server.is(Mood::Garbage);
    server.disconnect();
    server.put(&pod("three", "here"));
    server.remove("uid-of-two");
    server.forget();
    server.is(Mood::Well);
    bench.expect(&["three"]);
}

#[test]
fn a_server_that_is_away_is_asked_until_it_is_there() {
    let server = ApiServer::later();
    let mut bench = Bench::asking(&server);
    assert!(!bench.hear(Duration::from_millis(300)), "nobody tells");
    server.put(&pod("one", "here"));
    server.come_up();
    bench.expect(&["one"]);
}

#[test]
fn whatever_it_answers_it_is_asked_again() {
    let elsewhere = ApiServer::start();
    for mood in [
        Mood::Busy(1),
        Mood::Elsewhere(format!("{}/api/v1/pods", elsewhere.url())),
        Mood::Garbage,
        Mood::Endless,
        Mood::Behind,
        Mood::Silent,
    ] {
        let server = ApiServer::start();
        server.put(&pod("one", "here"));
        server.is(mood.clone());
        let mut bench = Bench::asking(&server);
        server.wait_until_asked(&["/api/v1/pods"], 1);
        server.is(Mood::Well);
        bench.expect(&["one"]);
        // In the middle of a watch.
        server.wait_until_asked(&["watch=true"], 1);
        server.interject("{\"type\":\"ADDED\",\"object\":<");
        server.put(&pod("two", "here"));
        bench.expect(&["one", "two"]);
        assert_eq!(bench.silences, 0, "{mood:?}");
    }
    assert_eq!(elsewhere.asked(), []);
}

#[test]
fn a_server_that_has_just_begun_and_refuses_everybody_is_asked_again_soon() {
    let server = ApiServer::start();
    server.put(&pod("one", "here"));
    let mut bench = Bench::asking(&server);
    bench.expect(&["one"]);
    server.wait_until_asked(&["watch=true"], 1);
    server.is(Mood::Forbidding);
    server.disconnect();
    server.wait_until_asked(&["watch=true"], 3);
    server.is(Mood::Well);
    server.put(&pod("two", "here"));
    bench.expect(&["one", "two"]);
    assert_eq!(bench.silences, 0);
}

#[test]
fn who_may_not_ask_waits_for_nothing() {
    let server = ApiServer::start();
    server.is(Mood::Forbidding);
    let mut bench = Bench::asking(&server);
    bench.expect_silence();
    assert_eq!(
        server.asked().len(),
        1,
        "a right is not given within seconds"
    );
}

/// What a pod finds of its service account.
fn service_account(certificates: &Certificates, token: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text);
    write("token", token.as_bytes()).expect("a file");
    write("namespace", b"tracing\n").expect("a file");
    let authority = std::fs::read(certificates.authority()).expect("a file");
    write("ca.crt", &authority).expect("a file");
    directory
}

fn within_a_pod(server: &ApiServer) -> ApiReach {
    ApiReach::ServiceAccount {
        host: "127.0.0.1".to_owned(),
        port: server.port().to_string(),
    }
}

#[test]
fn in_a_pod_it_finds_its_node_and_follows_tokens_and_authorities_that_change() {
    let certificates = Certificates::create();
    let server = ApiServer::with_tls(&certificates);
    server.wants_token("first");
    let mut own = pod("agent-x", "here");
    own["metadata"]["namespace"] = "tracing".into();
    server.put(&own);
    server.put(&pod("other", "there"));
    let account = service_account(&Certificates::create(), "none");
    let mut bench = Bench::with(within_a_pod(&server), None, account);
    let replace = |name: &str, text: &[u8]| {
        std::fs::write(bench.directory.path().join(name), text).expect("a file");
    };
    // The authority is another one, then the token.
    assert!(bench.news.recv_timeout(Duration::from_millis(300)).is_err());
    assert_eq!(server.asked(), []);
    replace(
        "ca.crt",
        &std::fs::read(certificates.authority()).expect("a file"),
    );
    let own = "/api/v1/namespaces/tracing/pods?fieldSelector=metadata.name%3Dagent-x";
    server.wait_until_asked(&[own], 1);
    replace("token", b"first\n");
    bench.expect(&["agent-x"]);
    server.wait_until_asked(&["watch=true"], 1);
    // It is replaced while it is used.
    server.wants_token("second");
    std::fs::write(bench.directory.path().join("token"), "second").expect("a file");
    server.disconnect();
    server.wait_until_asked(&["watch=true"], 2);
    server.put(&pod("two", "here"));
    bench.expect(&["agent-x", "two"]);
    let asked = server.asked();
    assert_eq!(
        asked.last().map(|(_, token)| token.as_str()),
        Some("second"),
        "{asked:?}"
    );
}

/// Whether pods are heard of with a kubeconfig that says this.
/// A cluster with two nodes and nothing but what Beyla's ClusterRole grants, `own` on one of them.
fn cluster(own: &Value) -> (Certificates, ApiServer) {
    let certificates = Certificates::create();
    let server = ApiServer::with_tls(&certificates);
    server.is(Mood::ForbiddingGet);
    let mut own = own.clone();
    own["metadata"]["namespace"] = "tracing".into();
    own["status"] = json!({"containerStatuses": [
        {"name": "app", "containerID": "containerd://c-1"},
    ]});
    server.put(&own);
    server.put(&pod("web", "here"));
    server.put(&pod("other", "there"));
    // Somebody else's, called alike.
    let mut alike = pod("agent-x", "there");
    alike["metadata"]["uid"] = "uid-of-another".into();
    server.put(&alike);
    (certificates, server)
}

#[test]
fn by_lists_alone_it_finds_its_node_or_says_that_it_knows_none() {
    let text = |text: &str| Some(text.to_owned());
    let own = |host: &str, uid: Option<String>, container: Option<String>| OwnPod {
        uid,
        container,
        ..named(host)
    };
    for (node_setting, own, expected) in [
        (
            Some("here"),
            named("agent-x"),
            Some(("here", NodeSign::Setting, 2)),
        ),
        (
            Some("typo"),
            named("agent-x"),
            Some(("typo", NodeSign::Setting, 0)),
        ),
        (
            None,
            named("agent-x-own"),
            Some(("here", NodeSign::PodName, 2)),
        ),
        // Its name is cut off, or another one.
        (
            None,
            own("agent", text("uid-of-agent-x-own"), None),
            Some(("here", NodeSign::PodMark, 2)),
        ),
        (
            None,
            own("agent", None, text("c-1")),
            Some(("here", NodeSign::PodMark, 2)),
        ),
        // It is in its node's network.
        (None, named("here"), Some(("here", NodeSign::HostName, 2))),
        (
            None,
            own("here", None, text("c-1")),
            Some(("here", NodeSign::PodMark, 2)),
        ),
        // The machine calls itself as another node is called.
        (
            None,
            own("there", None, text("c-1")),
            Some(("here", NodeSign::PodMark, 2)),
        ),
        (None, named("agent"), None),
        (None, own("agent", text("u-9"), text("c-9")), None),
    ] {
        let (certificates, server) = cluster(&pod("agent-x-own", "here"));
        let account = service_account(&certificates, "t");
        let config = KubernetesConfig {
            reach: Some(within_a_pod(&server)),
            node: node_setting.map(str::to_owned),
            local_node_alone: true,
            peers: PeersAsked::default(),
            is_demanded: false,
        };
        let sought = own_node(&config, Some(account.path().to_owned()), &own);
        match (expected, sought) {
            (Some((name, by, count)), Some(NodeSought::Found(found, on_it))) => {
                let name = name.to_owned();
                assert_eq!((found, on_it), (OwnNode { name, by }, count), "{own:?}");
            }
            (None, Some(NodeSought::Unknown(why))) => {
                assert!(why.contains("NODE_NAME"), "{why}");
            }
            (expected, sought) => panic!("{own:?}: {expected:?}: {sought:?}"),
        }
    }
}

#[test]
fn a_node_that_is_not_known_is_not_one_without_pods() {
    let (certificates, server) = cluster(&pod("agent-of-later", "here"));
    let account = service_account(&certificates, "t");
    let mut bench = Bench::with(within_a_pod(&server), None, account);
    bench.expect_silence();
    assert!(bench.names.is_empty());
    // It is asked again, as its own pod may be told late.
    let mut own = pod("agent-x", "here");
    own["metadata"]["namespace"] = "tracing".into();
    own["metadata"]["uid"] = "uid-of-own".into();
    server.put(&own);
    bench.expect(&["agent-of-later", "agent-x", "web"]);
}

#[test]
fn a_refusal_at_the_start_decides_no_node() {
    let (certificates, server) = cluster(&pod("agent-x", "here"));
    server.is(Mood::Forbidding);
    let account = service_account(&certificates, "t");
    let mut bench = Bench::with(within_a_pod(&server), None, account);
    bench.expect_silence();
    server.is(Mood::ForbiddingGet);
    bench.expect(&["agent-x", "web"]);
}

fn asks_by(server: &ApiServer, cluster: &Value, user: &Value) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, cluster, user);
    let mut bench = Bench::with(ApiReach::File(file), Some("here"), directory);
    while bench.silences == 0 && bench.names.is_empty() {
        assert!(bench.hear(LIMIT), "neither pods nor that there are none");
    }
    !bench.names.is_empty()
}

fn as_text(path: PathBuf) -> Value {
    let text = std::fs::read(path).expect("a file");
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .encode(text)
        .into()
}

#[test]
fn a_kubeconfig_is_followed_and_what_would_run_programs_refused() {
    let certificates = Certificates::create();
    let server = ApiServer::with_tls(&certificates);
    server.put(&pod("one", "here"));
    let path = json!({"certificate-authority": certificates.authority()});
    let data = json!({"certificate-authority-data": as_text(certificates.authority())});
    let insecure = json!({"insecure-skip-tls-verify": true});
    let token = json!({"token": SECRET});
    for cluster in [&path, &data, &insecure] {
        assert!(asks_by(&server, cluster, &token), "{cluster}");
    }
    let identity = json!({
        "client-certificate-data": as_text(certificates.certificate()),
        "client-key-data": as_text(certificates.key()),
    });
    assert!(asks_by(&server, &data, &identity));
    let named =
        json!({"tls-server-name": "localhost", "certificate-authority": certificates.authority()});
    assert!(asks_by(&server, &named, &json!({})));
    assert_eq!(server.asked()[0].1, SECRET);
    for user in [
        json!({"exec": {"command": "/bin/aws", "env": [{"name": "K", "value": SECRET}]}}),
        json!({"auth-provider": {"name": "gcp", "config": {"access-token": SECRET}}}),
        json!({"username": "admin", "password": SECRET}),
        json!({"token": SECRET, "as": "somebody"}),
        json!({"client-key-data": SECRET}),
        json!({"tokenFile": "/nowhere"}),
        json!({"token": [SECRET]}),
    ] {
        let asked = server.asked().len();
        assert!(!asks_by(&server, &path, &user), "{user}");
        assert_eq!(server.asked().len(), asked, "{user}");
    }
    let proxied =
        json!({"proxy-url": "http://proxy", "certificate-authority": certificates.authority()});
    assert!(!asks_by(&server, &proxied, &token));
}

#[test]
fn what_is_no_kubeconfig_is_no_reason_to_end() {
    for text in [
        "",
        "x",
        "[]",
        "clusters: 7",
        "current-context: t",
        "\u{0}\u{1}",
        "a: &a [*a, *a]",
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file: PathBuf = Path::join(directory.path(), "config");
        std::fs::write(&file, text).expect("a file");
        let mut bench = Bench::with(ApiReach::File(file), Some("here"), directory);
        bench.expect_silence();
    }
}

/// As who asks whether a run may do what it asks for hears it.
#[test]
fn rights_are_tried_by_asking() {
    let server = ApiServer::start();
    server.put(&pod("web", "here"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, &json!({}), &json!({}));
    let of = |reach| {
        let config = KubernetesConfig {
            reach,
            node: None,
            local_node_alone: true,
            peers: PeersAsked::default(),
            is_demanded: false,
        };
        rights::<PodResource>(&config, Some(directory.path().to_owned()))
    };
    let reach = || Some(ApiReach::File(file.clone()));
    assert_eq!(of(None), None);
    assert_eq!(of(reach()), Some(ResourceRights::Granted));
    let objects = |target: &str| target.starts_with("/api/v1/");
    let asked = server.asked();
    assert!(!asked.iter().any(|(it, _)| objects(it)), "{asked:?}");
    server.is(Mood::Forbidding);
    let refused = of(reach());
    let Some(ResourceRights::Refused(verbs, why)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(verbs, ["list", "watch"]);
    assert_eq!(why, "nothing grants watch pods");
    // Who is refused the question itself asks for as little as can be.
    server.is(Mood::ForbiddingReviews);
    assert_eq!(of(reach()), Some(ResourceRights::Granted));
    let asked = server.asked();
    let asked: Vec<_> = asked
        .iter()
        .map(|(it, _)| it)
        .filter(|it| objects(it))
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0], "/api/v1/pods?limit=1");
    assert!(
        asked[1].contains("fieldSelector=metadata.name%3Dnone"),
        "{asked:?}"
    );
    server.is(Mood::ForbiddingAll);
    let refused = of(reach());
    let Some(ResourceRights::Refused(_, why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("pods is forbidden"), "{why}");
    drop(server);
    let away = of(reach());
    assert!(
        matches!(away, Some(ResourceRights::NotAsked(_))),
        "{away:?}"
    );
    // A pod that was given no service account.
    let account = ApiReach::ServiceAccount {
        host: "127.0.0.1".to_owned(),
        port: "1".to_owned(),
    };
    let none = of(Some(account));
    assert!(
        matches!(&none, Some(ResourceRights::NotAsked(why)) if why.contains("token")),
        "{none:?}"
    );
}

/// As who is told of services hears it.
#[test]
fn services_come_change_and_go() {
    let server = ApiServer::start();
    let service = |name: &str, address: &str| {
        json!({
            "kind": "Service",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}")},
            "spec": {"clusterIP": address},
        })
    };
    server.put(&pod("web", "here"));
    server.put(&service("cart", "10.96.0.1"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("config");
    server.kubeconfig(&file, &json!({}), &json!({}));
    let setup = WatchSetup {
        config: KubernetesConfig {
            reach: Some(ApiReach::File(file)),
            node: Some("here".to_owned()),
            local_node_alone: true,
            peers: PeersAsked::default(),
            is_demanded: true,
        },
        service_account: None,
        own: named("agent-x"),
        decides: false,
    };
    let (tells, hears) = channel();
    let tell = move |news| tells.send(news).is_ok();
    let _watch = ResourceWatch::start(setup, ServiceResource, tell).expect("a thread");
    let mut book = PeerBook::default();
    let mut hear = || {
        let news = hears.recv_timeout(LIMIT).expect("news");
        let changes = book.hear(PeerKind::Service, news).into_iter();
        let told = changes.map(|it| {
            let name = it
                .peer
                .map_or("nobody".to_owned(), |peer| peer.name.clone());
            format!("{} is {name}", it.address)
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(hear(), ["10.96.0.1 is cart"]);
    server.put(&service("db", "10.96.0.2"));
    assert_eq!(hear(), ["10.96.0.2 is db"]);
    // A pod is none of its business.
    server.put(&pod("other", "here"));
    server.remove("uid-of-cart");
    assert_eq!(hear(), ["10.96.0.1 is nobody"]);
    let asked = server.asked();
    let of_nodes = asked
        .iter()
        .filter(|(target, _)| target.contains("fieldSelector"));
    assert_eq!(of_nodes.count(), 0, "services are of no node: {asked:?}");
}
