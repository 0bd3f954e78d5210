//! Which processes are targets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use wirespan::discover::Selector;

use crate::fake_proc::{Fake, FakeProc};
use crate::targets;

fn scan(proc: &FakeProc, environment: &[(&str, &str)]) -> BTreeSet<u32> {
    let selector = Selector::new(targets(environment));
    selector
        .scan(&proc.root(), |_, _| true)
        .into_iter()
        .collect()
}

#[test]
fn a_port_selects_exactly_within_its_ranges() {
    let selector = Selector::new(targets(&[("BEYLA_OPEN_PORT", "80,443,8000-8999")]));
    for port in [80, 443, 8000, 8500, 8999] {
        assert!(selector.selects_port(port), "{port}");
    }
    for port in [0, 1, 79, 81, 442, 444, 7999, 9000, 65535] {
        assert!(!selector.selects_port(port), "{port}");
    }
}

#[test]
fn pid_glob_and_regex_each_select() {
    let path = Path::new("/usr/sbin/nginx");
    for (environment, expected) in [
        (("BEYLA_TARGET_PID", "7,9"), true),
        (("BEYLA_TARGET_PID", "8"), false),
        (("BEYLA_AUTO_TARGET_EXE", "*/nginx"), true),
        (("BEYLA_AUTO_TARGET_EXE", "/opt/*,/usr/*"), true),
        (("BEYLA_AUTO_TARGET_EXE", "nginx"), false),
        (("BEYLA_EXECUTABLE_NAME", "ngi"), true),
        (("BEYLA_EXECUTABLE_NAME", "^nginx"), false),
    ] {
        let selector = Selector::new(targets(&[environment]));
        assert_eq!(selector.selects(9, path), expected, "{environment:?}");
    }
}

#[test]
fn whoever_holds_a_listening_socket_on_a_selected_port_is_found() {
    let proc = FakeProc::new();
    proc.sockets(
        1,
        &[
            ("tcp", "0A", 8080, 10),
            ("tcp", "01", 8080, 11),
            ("tcp", "0A", 9090, 12),
            ("tcp6", "0A", 8081, 13),
        ],
    );
    let with = |pid, sockets| Fake {
        sockets,
        ..Fake::new(pid, "/bin/server")
    };
    proc.run(&with(10, &[10]));
    proc.run(&Fake {
        executable: Some("/bin/client"),
        ..with(11, &[11])
    });
    proc.run(&Fake {
        executable: Some("/bin/other"),
        ..with(12, &[12])
    });
    proc.run(&with(13, &[99, 13]));
    proc.run(&with(14, &[10, 11]));
    let found = scan(&proc, &[("BEYLA_OPEN_PORT", "8000-8999")]);
    assert_eq!(found, BTreeSet::from([10, 13, 14]));
}

#[test]
fn each_network_namespace_has_its_own_sockets() {
    let proc = FakeProc::new();
    proc.sockets(1, &[("tcp", "0A", 9090, 10)]);
    proc.sockets(2, &[("tcp", "0A", 8080, 10)]);
    for (pid, namespace) in [(10, 1), (20, 2)] {
        proc.run(&Fake {
            namespace,
            sockets: &[10],
            ..Fake::new(pid, "/bin/server")
        });
    }
    let found = scan(&proc, &[("BEYLA_OPEN_PORT", "8080")]);
    assert_eq!(found, BTreeSet::from([20]));
}

#[test]
fn workers_that_run_their_parents_executable_belong_to_it() {
    let proc = FakeProc::new();
    proc.sockets(1, &[("tcp", "0A", 5432, 10), ("tcp", "0A", 5432, 11)]);
    let child = |pid, parent, executable| Fake {
        parent,
        ..Fake::new(pid, executable)
    };
    proc.run(&Fake {
        sockets: &[10],
        ..Fake::new(10, "/bin/postgres")
    });
    proc.run(&child(11, 10, "/bin/postgres"));
    proc.run(&child(12, 11, "/bin/postgres"));
    proc.run(&child(13, 10, "/bin/sh"));
    proc.run(&child(14, 13, "/bin/postgres"));
    proc.run(&child(15, 1, "/bin/postgres"));
    proc.run(&Fake {
        sockets: &[11],
        ..Fake::new(16, "/bin/pooler")
    });
    proc.run(&child(17, 10, "/bin/pooler"));
    let found = scan(&proc, &[("BEYLA_OPEN_PORT", "5432")]);
    assert_eq!(found, BTreeSet::from([10, 11, 12, 16]));
}

#[test]
fn wirespan_itself_and_kernel_threads_are_never_selected() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        executable: None,
        ..Fake::new(2, "")
    });
    proc.run(&Fake::new(3, "/bin/x"));
    let found = scan(
        &proc,
        &[("BEYLA_AUTO_TARGET_EXE", "*"), ("BEYLA_TARGET_PID", "1,2")],
    );
    assert_eq!(found, BTreeSet::from([3]));
}

#[test]
fn a_half_gone_process_hinders_nobody() {
    let proc = FakeProc::new();
    proc.sockets(1, &[("tcp", "0A", 8080, 10)]);
    proc.run(&Fake {
        sockets: &[10],
        ..Fake::new(10, "/bin/server")
    });
    for (pid, missing) in [(5, "fd"), (6, "ns"), (7, "net"), (8, "stat"), (9, "exe")] {
        proc.run(&Fake {
            parent: 10,
            ..Fake::new(pid, "/bin/other")
        });
        let path = proc.path(pid).join(missing);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
    }
    let found = scan(&proc, &[("BEYLA_OPEN_PORT", "8080")]);
    assert_eq!(found, BTreeSet::from([10]));
}
