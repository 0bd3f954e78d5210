//! Spans of what runs in a container, and which one that is. Control groups are real ones, called
//! as a container's are; nobody runs containers here.

use std::path::Path;

use wirespan_tests::cgroup::NamedGroups;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::ports;
use wirespan_tests::process::{Process, tied};
use wirespan_tests::wire::Wire;

const UID: &str = "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";

#[test]
fn spans_name_the_container_and_the_pod_of_their_process() {
    // Of one that nobody else makes.
    let id = format!("{:064x}", std::process::id());
    let pod = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
    let container = format!("cri-containerd-{id}.scope");
    let groups = NamedGroups::new(&[&pod, &container]).expect("control groups are handed down");
    let port = ports::free();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads/memory/server.py");
    let server = Process::start("server", tied("python3").arg(program).arg(port.to_string()));
    server.expect_line("ready");
    groups.take_in(server.pid());
    let daemon = Daemon::start(&[("BEYLA_OPEN_PORT", &port.to_string())]);
    daemon.wait_until_watching(server.pid());
    let mut wire = Wire::connect(port);
    wire.send("GET /healthy HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(wire.answer(false).status, 200);
    let spans = daemon.wait_for_count(1);
    let told = |name: &str| spans[0].resource.get(name).map(String::as_str);
    assert_eq!(told("container.id"), Some(&*id));
    assert_eq!(told("k8s.pod.uid"), Some(UID));
    assert_eq!(daemon.stop().lost(), "nothing");
    drop(server);
}
