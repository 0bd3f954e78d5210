//! Who of those that are selected is watched, by the pods that they run in.

use std::fs;
use std::sync::Arc;

use wirespan::config::DiscoverConfig;
use wirespan::kubernetes::PodNews;
use wirespan::kubernetes::pod::{Pod, PodContainer};

use crate::fake_proc::Fake;
use crate::targets;
use crate::watching::{Bench, NGINX, NOTHING, PORT};

const NGINX_PATH: &str = "/usr/sbin/nginx";
const SHOP: (&str, &str) = ("WIRESPAN_K8S_NAMESPACE", "shop");

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn uid(digit: char) -> String {
    format!("{digit}f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0")
}

/// A pod with one container, `app`, of which all ids are of this digit.
fn pod(namespace: &str, digit: char) -> Arc<Pod> {
    Arc::new(Pod {
        uid: uid(digit),
        name: format!("pod-{digit}"),
        namespace: namespace.to_owned(),
        containers: vec![PodContainer {
            name: "app".to_owned(),
            id: id(digit),
            ..PodContainer::default()
        }],
        ..Pod::default()
    })
}

/// The same before it is known which ids its containers have.
fn begun(namespace: &str, digit: char) -> Arc<Pod> {
    let mut pod = Pod::clone(&pod(namespace, digit));
    pod.containers[0].id = String::new();
    Arc::new(pod)
}

fn bench(environment: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new(environment);
    bench.awaits_pods(environment);
    bench
}

fn run(bench: &Bench, fake: &Fake, digit: char) {
    bench.proc.run(fake);
    let group = format!("0::/kubepods/pod{}/{}\n", uid(digit), id(digit));
    fs::write(bench.proc.path(fake.pid).join("cgroup"), group).expect("written");
}

fn selecting(environment: &[(&str, &str)]) -> DiscoverConfig {
    DiscoverConfig {
        targets: targets(environment),
        ..DiscoverConfig::default()
    }
}

#[test]
fn only_what_runs_in_pods_that_are_meant_is_watched() {
    let mut bench = bench(&[NGINX, SHOP]);
    bench.hear_of_pods(PodNews::All(vec![pod("shop", 'a'), pod("bank", 'b')]));
    run(&bench, &Fake::new(7, NGINX_PATH), 'a');
    run(&bench, &Fake::new(8, NGINX_PATH), 'b');
    bench.proc.run(&Fake::new(9, NGINX_PATH));
    run(&bench, &Fake::new(10, "/bin/sh"), 'a');
    let mut said = bench.scan();
    said.sort();
    assert_eq!(said, ["7 is nginx", "refuse 8", "refuse 9", "watch 7"]);
    // As each begins, too.
    run(&bench, &Fake::new(11, NGINX_PATH), 'a');
    assert_eq!(bench.exec(11, 0), ["watch 11", "11 is nginx"]);
    run(&bench, &Fake::new(12, NGINX_PATH), 'b');
    assert_eq!(bench.exec(12, 0), ["refuse 12"]);
}

#[test]
fn pods_alone_select_all_that_runs_in_them() {
    let mut bench = bench(&[SHOP]);
    bench.hear_of_pods(PodNews::All(vec![pod("shop", 'a'), pod("bank", 'b')]));
    run(&bench, &Fake::new(7, "/app/server"), 'a');
    assert_eq!(bench.exec(7, 0), ["watch 7", "7 is server"]);
    run(&bench, &Fake::new(8, "/app/server"), 'b');
    assert_eq!(bench.exec(8, 0), ["refuse 8"]);
}

#[test]
fn what_began_before_its_pod_was_known_is_watched_once_it_is() {
    let mut bench = bench(&[PORT, SHOP]);
    run(&bench, &Fake::new(7, "/app/server"), 'a');
    assert_eq!(bench.listen(7, 8080, 0), ["refuse 7"]);
    // It has a listener of somebody else, which nobody finds who looks at it.
    run(&bench, &Fake::new(8, "/app/till"), 'b');
    assert_eq!(bench.serve(8, 8080), ["refuse 8"]);
    assert_eq!(bench.hear_of_pods(PodNews::Is(pod("bank", 'c'))), NOTHING);
    // By the pod alone, before the API server tells of its container.
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(begun("shop", 'b'))),
        ["watch 8", "8 is till"]
    );
    assert_eq!(bench.hear_of_pods(PodNews::Is(pod("bank", 'a'))), NOTHING);
    // It is gone by the time that its pod is meant.
    bench.proc.end(7);
    assert_eq!(bench.hear_of_pods(PodNews::Is(pod("shop", 'a'))), NOTHING);
}

#[test]
fn workers_that_began_unseen_come_with_their_master() {
    let mut bench = bench(&[NGINX, SHOP]);
    run(&bench, &Fake::new(7, NGINX_PATH), 'a');
    assert_eq!(bench.exec(7, 0), ["refuse 7"]);
    let worker = Fake {
        parent: 7,
        ..Fake::new(8, NGINX_PATH)
    };
    run(&bench, &worker, 'a');
    let mut said = bench.hear_of_pods(PodNews::Is(pod("shop", 'a')));
    said.sort();
    assert_eq!(said, ["7 is nginx", "8 is nginx", "watch 7", "watch 8"]);
}

#[test]
fn a_container_that_is_meant_is_awaited() {
    let mut bench = bench(&[NGINX, ("WIRESPAN_K8S_CONTAINER_NAME", "app")]);
    run(&bench, &Fake::new(7, NGINX_PATH), 'a');
    bench.hear_of_pods(PodNews::Is(begun("shop", 'a')));
    assert_eq!(bench.exec(7, 0), ["refuse 7"]);
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("shop", 'a'))),
        ["watch 7", "7 is nginx"]
    );
}

#[test]
fn what_is_meant_no_longer_is_watched_no_longer() {
    let mut bench = bench(&[NGINX, ("WIRESPAN_K8S_POD_LABELS", "traced=yes")]);
    let labelled = |value: &str| {
        let mut pod = Pod::clone(&pod("shop", 'a'));
        pod.labels.insert("traced".to_owned(), value.to_owned());
        Arc::new(pod)
    };
    bench.hear_of_pods(PodNews::Is(labelled("yes")));
    run(&bench, &Fake::new(7, NGINX_PATH), 'a');
    assert_eq!(bench.scan(), ["watch 7", "7 is nginx"]);
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(labelled("no"))),
        ["refuse 7"]
    );
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(labelled("yes"))),
        ["watch 7", "7 is nginx"]
    );
    // That its pod is forgotten before it ends says nothing of it.
    assert_eq!(bench.hear_of_pods(PodNews::Gone(uid('a').into())), NOTHING);
    assert_eq!(bench.scan(), NOTHING);
    assert_eq!(bench.watcher.watched(), 1);
}

#[test]
fn nobody_is_watched_of_whose_pods_nobody_may_tell() {
    let mut bench = bench(&[NGINX, SHOP]);
    run(&bench, &Fake::new(7, NGINX_PATH), 'a');
    assert_eq!(bench.scan(), ["refuse 7"]);
    assert_eq!(bench.hear_of_pods(PodNews::Silence), NOTHING);
    assert_eq!(bench.watcher.watched(), 0);
}

#[test]
fn other_pods_can_be_meant_while_it_runs() {
    let mut bench = bench(&[PORT, SHOP]);
    bench.hear_of_pods(PodNews::All(vec![pod("shop", 'a'), pod("bank", 'b')]));
    run(&bench, &Fake::new(7, "/app/server"), 'a');
    assert_eq!(bench.serve(7, 8080), ["watch 7", "7 is server"]);
    let bank = selecting(&[PORT, ("WIRESPAN_K8S_NAMESPACE", "bank")]);
    assert_eq!(bench.reconfigure(&bank), ["refuse 7"]);
    // It is told again when it serves.
    let any = selecting(&[PORT]);
    assert_eq!(bench.reconfigure(&any), NOTHING);
    assert_eq!(bench.serve(7, 8080), ["watch 7", "7 is server"]);
}

#[test]
fn agents_and_the_clusters_own_are_not_meant_unless_they_are_named() {
    let mut bench = bench(&[PORT]);
    bench.hear_of_pods(PodNews::All(vec![
        pod("kube-system", 'a'),
        pod("shop", 'b'),
    ]));
    run(&bench, &Fake::new(7, "/coredns"), 'a');
    assert_eq!(bench.listen(7, 8080, 1), ["refuse 7"]);
    run(&bench, &Fake::new(8, "/otelcol-contrib"), 'b');
    assert_eq!(bench.listen(8, 8080, 1), ["refuse 8"]);
    // Whose pod is not known yet is watched until it is.
    run(&bench, &Fake::new(9, "/app/server"), 'c');
    assert_eq!(bench.listen(9, 8080, 1), ["9 is server"]);
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("monitoring", 'c'))),
        ["refuse 9"]
    );
    for environment in [
        &[PORT, ("WIRESPAN_DEFAULT_EXCLUDE", "false")][..],
        &[
            ("BEYLA_AUTO_TARGET_EXE", "/coredns,/otelcol*"),
            ("WIRESPAN_K8S_NAMESPACE", "*"),
        ],
    ] {
        let mut bench = self::bench(environment);
        bench.hear_of_pods(PodNews::All(vec![
            pod("kube-system", 'a'),
            pod("shop", 'b'),
        ]));
        run(&bench, &Fake::new(7, "/coredns"), 'a');
        run(&bench, &Fake::new(8, "/otelcol-contrib"), 'b');
        for pid in [7, 8] {
            bench.exec(pid, 1);
            bench.listen(pid, 8080, 1);
        }
        assert_eq!(bench.watcher.watched(), 2, "{environment:?}");
    }
}

#[test]
fn a_pid_that_is_named_is_meant_wherever_it_runs() {
    let mut bench = bench(&[("BEYLA_TARGET_PID", "7"), SHOP]);
    bench.proc.run(&Fake::new(7, "/bin/otelcol"));
    assert_eq!(bench.scan(), ["watch 7", "7 is otelcol"]);
}
