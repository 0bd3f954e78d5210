//! In which pod a watched process is, as pods come, change and go.

use std::fs;
use std::sync::Arc;

use wirespan::kubernetes::PodNews;
use wirespan::kubernetes::pod::{Pod, PodContainer};

use crate::fake_proc::Fake;
use crate::watching::{Bench, NGINX, NOTHING};

const UID: &str = "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";
const NGINX_PATH: &str = "/usr/sbin/nginx";

fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn pod(name: &str, restarts: u32, container: char) -> Arc<Pod> {
    Arc::new(Pod {
        uid: UID.to_owned(),
        name: name.to_owned(),
        containers: vec![PodContainer {
            name: "app".to_owned(),
            id: id(container),
            restart_count: restarts,
            ..PodContainer::default()
        }],
        ..Pod::default()
    })
}

/// A bench that is told of pods, with process 7 in container `a` of the pod.
fn bench() -> Bench {
    let mut bench = Bench::new(&[NGINX]);
    bench.awaits_pods(&[NGINX]);
    contain(&bench, 7, 'a');
    bench
}

fn contain(bench: &Bench, pid: u32, container: char) {
    bench.proc.run(&Fake::new(pid, NGINX_PATH));
    let group = format!("0::/kubepods/pod{UID}/{}\n", id(container));
    fs::write(bench.proc.path(pid).join("cgroup"), group).expect("written");
}

/// Pod and container, and whether more is to come.
fn place(bench: &Bench, pid: u32) -> (String, bool) {
    let process = bench.known(pid);
    let place = process.place.as_ref();
    let place =
        place.map(|it| format!("{}/{}", it.pod.name, it.container.as_deref().unwrap_or("?")));
    (place.unwrap_or_default(), process.awaits_place)
}

#[test]
fn a_process_is_described_with_its_pod() {
    let mut bench = bench();
    assert_eq!(
        bench.hear_of_pods(PodNews::All(vec![pod("web", 0, 'a')])),
        NOTHING
    );
    assert_eq!(bench.scan(), ["watch 7", "7 is nginx"]);
    assert_eq!(place(&bench, 7), ("web/app".to_owned(), false));
    // As is what it forks.
    bench.proc.run(&Fake::new(8, NGINX_PATH));
    bench.fork(7, 8, 1);
    assert_eq!(place(&bench, 8), ("web/app".to_owned(), false));
}

#[test]
fn what_began_before_its_pod_was_known_is_told_again() {
    let mut bench = bench();
    bench.scan();
    assert_eq!(place(&bench, 7), (String::new(), true));
    let other = Pod {
        uid: "other".to_owned(),
        ..Pod::default()
    };
    assert_eq!(
        bench.hear_of_pods(PodNews::All(vec![Arc::new(other)])),
        NOTHING
    );
    // Its container has no id yet.
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("web", 0, 'b'))),
        ["7 is elsewhere"]
    );
    assert_eq!(place(&bench, 7), ("web/?".to_owned(), true));
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("web", 0, 'a'))),
        ["7 is elsewhere"]
    );
    assert_eq!(place(&bench, 7), ("web/app".to_owned(), false));
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("web", 0, 'a'))),
        NOTHING,
        "the same again"
    );
    // It changes, and so does what is told.
    assert_eq!(
        bench.hear_of_pods(PodNews::Is(pod("renamed", 0, 'a'))),
        ["7 is elsewhere"]
    );
    assert_eq!(place(&bench, 7), ("renamed/app".to_owned(), false));
}

#[test]
fn what_was_certain_stays() {
    let mut bench = bench();
    bench.hear_of_pods(PodNews::Is(pod("web", 0, 'a')));
    bench.scan();
    // The container was started again, as another one: process 7 is still of the one before.
    contain(&bench, 8, 'b');
    assert_eq!(bench.hear_of_pods(PodNews::Is(pod("web", 1, 'b'))), NOTHING);
    assert_eq!(bench.exec(8, 0), ["watch 8", "8 is nginx"]);
    let restarts = |pid| {
        let place = bench.known(pid).place.as_ref().expect("in a pod");
        place.container().expect("known").restart_count
    };
    assert_eq!((restarts(7), restarts(8)), (0, 1));
    assert_eq!(bench.hear_of_pods(PodNews::Gone(UID.into())), NOTHING);
    assert_eq!(
        bench.hear_of_pods(PodNews::All(vec![pod("other", 0, 'c')])),
        NOTHING
    );
    assert_eq!(place(&bench, 7), ("web/app".to_owned(), false));
}

#[test]
fn nothing_is_awaited_of_who_may_not_tell() {
    let mut bench = bench();
    bench.scan();
    assert_eq!(place(&bench, 7), (String::new(), true));
    assert_eq!(bench.hear_of_pods(PodNews::Silence), ["7 is elsewhere"]);
    assert_eq!(place(&bench, 7), (String::new(), false));
    contain(&bench, 8, 'b');
    bench.exec(8, 0);
    assert_eq!(place(&bench, 8), (String::new(), false));
}

#[test]
fn who_is_told_of_no_pods_awaits_none() {
    let mut bench = Bench::new(&[NGINX]);
    contain(&bench, 7, 'a');
    bench.scan();
    assert_eq!(place(&bench, 7), (String::new(), false));
}
