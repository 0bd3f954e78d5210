//! The service of a host: the unit by systemd's own word, and the packed binary with the rights
//! that the unit gives it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use wirespan_tests::container::Image;
use wirespan_tests::daemon::Daemon;
use wirespan_tests::deploy::deploy;
use wirespan_tests::unit::{NAME, PLACE, calls_of, complaints, exposure, values, with_its_rights};
use wirespan_tests::wire::Wire;
use wirespan_tests::workload::Server;

fn unit() -> String {
    std::fs::read_to_string(deploy("systemd").join(NAME)).expect("a unit")
}

/// A system with the unit and the packed binary, and nothing else.
fn system(unit: &str) -> TempDir {
    let image = Image::packed();
    let root = tempfile::tempdir().expect("a directory");
    let place = |path: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    };
    std::fs::write(place(PLACE).join(NAME), unit).expect("a file");
    let from = image.path().join("wirespan");
    std::fs::copy(from, place("usr/bin").join("wirespan")).expect("a copy");
    root
}

#[test]
fn systemd_has_nothing_to_complain_of() {
    let root = system(&unit());
    assert_eq!(complaints(root.path()), Vec::<String>::new());
    let level = exposure(root.path());
    assert!(level <= 3.0, "exposure {level}");
    // What is wrong is seen, and so is what is open.
    let wrong = unit().replace("RestrictRealtime=", "RestrictRealTimes=");
    assert_ne!(complaints(system(&wrong).path()), Vec::<String>::new());
    let open = unit().replace("SystemCallFilter=", "# ");
    assert!(exposure(system(&open).path()) > level);
}

#[test]
fn the_service_may_call_what_the_seccomp_profile_allows() {
    let unit = unit();
    let mut allowed = BTreeSet::new();
    for name in values(&unit, "SystemCallFilter")[0].split(' ') {
        if name.starts_with('@') {
            allowed.extend(calls_of(name));
        } else {
            allowed.insert(name.to_owned());
        }
    }
    let profile = std::fs::read(deploy("seccomp/wirespan.json")).expect("a profile");
    let profile: Value = serde_json::from_slice(&profile).expect("it is JSON");
    for group in profile["syscalls"].as_array().expect("groups") {
        for name in group["names"].as_array().expect("names") {
            let name = name.as_str().expect("text");
            assert!(allowed.contains(name), "{name}");
        }
    }
}

#[test]
fn with_the_rights_of_the_service_it_traces() {
    let unit = unit();
    let bound = values(&unit, "CapabilityBoundingSet");
    assert_eq!(bound, values(&unit, "AmbientCapabilities"));
    assert_eq!(values(&unit, "ExecStart"), ["/usr/bin/wirespan"]);
    let root = system(&unit);
    // Its user gets there.
    let open = |path: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("it is ours");
    };
    open(root.path());
    let server = Server::python();
    let command = with_its_rights(&unit, &root.path().join("usr/bin/wirespan"));
    let port = server.port.to_string();
    let daemon = Daemon::start_by(command, &[], &[("BEYLA_OPEN_PORT", &port)]);
    daemon.wait_until_watching(server.process.pid());
    let mut wire = Wire::connect(server.port);
    wire.send("GET /as-a-service HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(wire.answer(false).status, 200);
    let spans = daemon.wait_for_count(1);
    assert_eq!(spans[0].get("url.path"), Some("/as-a-service"));
    let finished = daemon.stop();
    assert_eq!(finished.lost(), "nothing");
    let missing = finished
        .log
        .iter()
        .find(|line| line.contains("missing CAP_"));
    assert_eq!(missing, None);
}
