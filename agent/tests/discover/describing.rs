//! What is known about a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use wirespan::config::ServiceOverride;
use wirespan::discover::{Describer, Process};
use wirespan::enrich::kubernetes::PodTelling;

use crate::fake_proc::{Fake, FakeProc};

fn describe(proc: &FakeProc, pid: u32) -> Process {
    Describer::new(proc.root(), ServiceOverride::default())
        .describe(pid)
        .expect("it is there")
}

#[test]
fn everything_is_found_out_about_a_process() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        started_s: 7,
        args: "python3 -u till.py --port 80",
        environment: &[
            "HOME=/",
            "OTEL_RESOURCE_ATTRIBUTES=service.namespace=prod,team=a%20b",
        ],
        ..Fake::new(42, "/usr/bin/python3.11")
    });
    assert_eq!(
        describe(&proc, 42),
        Process {
            pid: 42,
            start_ns: 7_000_000_000,
            executable: "/usr/bin/python3.11".into(),
            command_args: ["python3", "-u", "till.py", "--port", "80"]
                .map(str::to_owned)
                .into(),
            service_name: "till".to_owned(),
            service_namespace: Some("prod".to_owned()),
            service_instance_id: "box:42".to_owned(),
            language: Some("python".to_owned()),
            resource_attributes: BTreeMap::from([("team".to_owned(), "a b".to_owned())]),
            host_name: "box".to_owned(),
            host: Arc::default(),
            container: None,
            place: None,
            general: BTreeSet::new(),
            is_named_by_what_it_runs: true,
            telling: PodTelling::default(),
            awaits_place: false,
            uncopied: Vec::new(),
            is_cut: false,
        }
    );
}

#[test]
fn names_given_by_the_user_win_over_the_target_and_the_target_over_its_executable() {
    let proc = FakeProc::new();
    let nginx = Fake::new(42, "/usr/sbin/nginx");
    proc.run(&nginx);
    assert_eq!(describe(&proc, 42).service_name, "nginx");

    proc.run(&Fake {
        environment: &["OTEL_RESOURCE_ATTRIBUTES=service.name=a,service.instance.id=7"],
        ..nginx.clone()
    });
    assert_eq!(describe(&proc, 42).service_name, "a");
    assert_eq!(describe(&proc, 42).service_instance_id, "box:42");

    proc.run(&Fake {
        environment: &[
            "OTEL_RESOURCE_ATTRIBUTES=service.name=a,service.namespace=n",
            "OTEL_SERVICE_NAME=b",
        ],
        ..nginx
    });
    assert_eq!(describe(&proc, 42).service_name, "b");

    let given = ServiceOverride {
        name: Some("c".to_owned()),
        namespace: Some("m".to_owned()),
        ..ServiceOverride::default()
    };
    let process = Describer::new(proc.root(), given)
        .describe(42)
        .expect("it is there");
    assert_eq!(process.service_name, "c");
    assert_eq!(process.service_namespace.as_deref(), Some("m"));
}

#[test]
fn a_generic_script_is_named_by_the_working_directory() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        args: "node index.js",
        ..Fake::new(42, "/usr/bin/node")
    });
    let process = describe(&proc, 42);
    assert_eq!(process.service_name, "shop");
    assert_eq!(process.language.as_deref(), Some("nodejs"));
}

#[test]
fn a_worker_of_multiprocessing_is_named_by_its_parent() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        args: "python3 /usr/bin/uvicorn till:app --workers 3",
        ..Fake::new(41, "/usr/bin/python3.11")
    });
    let worker = Fake {
        parent: 41,
        ..Fake::new(42, "/usr/bin/python3.11")
    };
    proc.run(&worker);
    let code =
        "python3\0-c\0from multiprocessing.spawn import spawn_main\0--multiprocessing-fork\0";
    fs::write(proc.path(42).join("cmdline"), code).expect("written");
    assert_eq!(describe(&proc, 42).service_name, "till");
    proc.end(41);
    assert_eq!(describe(&proc, 42).service_name, "python3.11");
}

#[test]
fn a_service_of_systemd_names_what_nothing_else_does() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        args: "node -e code",
        ..Fake::new(42, "/usr/bin/node")
    });
    assert_eq!(describe(&proc, 42).service_name, "node");
    let group = "0::/system.slice/till.service\n";
    fs::write(proc.path(42).join("cgroup"), group).expect("written");
    assert_eq!(describe(&proc, 42).service_name, "till");
}

#[test]
fn the_container_of_a_process_is_known_by_its_control_group() {
    let proc = FakeProc::new();
    proc.run(&Fake::new(42, "/usr/bin/node"));
    assert_eq!(describe(&proc, 42).container, None);
    let id = "0123456789abcdef".repeat(4);
    let group = format!("0::/kubepods/burstable/pod1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0/{id}\n");
    fs::write(proc.path(42).join("cgroup"), group).expect("written");
    let container = describe(&proc, 42).container.expect("known");
    assert_eq!(container.id, id);
    let uid = "1f0c2d3e-4b5a-6978-8796-a5b4c3d2e1f0";
    assert_eq!(container.pod_uid.as_deref(), Some(uid));
}

#[test]
fn what_the_environment_said_is_remembered_when_a_title_was_written_over_it() {
    let proc = FakeProc::new();
    let describer = Describer::new(proc.root(), ServiceOverride::default());
    let name = || describer.describe(42).expect("there").service_name;
    let given = Fake {
        environment: &["OTEL_SERVICE_NAME=given"],
        args: "python3 /usr/bin/gunicorn till:app",
        ..Fake::new(42, "/usr/bin/python3.11")
    };
    proc.run(&given);
    assert_eq!(name(), "given");
    let titled = Fake {
        environment: &["[till:app]", ""],
        ..given
    };
    proc.run(&titled);
    assert_eq!(name(), "given");
    // Another process that has the pid.
    proc.run(&Fake {
        started_s: 101,
        ..titled
    });
    assert_eq!(name(), "till");
}

#[test]
fn an_executable_that_was_replaced_keeps_its_name() {
    let proc = FakeProc::new();
    proc.run(&Fake::new(42, "/opt/till (deleted)"));
    let process = describe(&proc, 42);
    assert_eq!(process.executable, Path::new("/opt/till"));
    assert_eq!(process.service_name, "till");
}

#[test]
fn mapped_libraries_tell_a_language_that_the_executable_hides() {
    let proc = FakeProc::new();
    for (library, language) in [
        ("/usr/lib/libpython3.11.so.1.0", Some("python")),
        ("/usr/lib/jvm/lib/server/libjvm.so", Some("java")),
        ("/usr/lib/libruby-3.1.so.3.1", Some("ruby")),
        ("/usr/lib/apache2/modules/libphp8.2.so", Some("php")),
        ("/usr/share/dotnet/shared/libcoreclr.so", Some("dotnet")),
        // A program in C may load it with a library or a plug-in.
        ("/usr/lib/libstdc++.so.6", None),
        ("/usr/lib/libc.so.6", None),
    ] {
        proc.run(&Fake::new(42, "/no/such/executable"));
        let maps = format!(
            "7f0000000000-7f0000001000 r-xp 00000000 08:01 1  /usr/lib/libstdc++x.so\n\
             7f0000002000-7f0000003000 r-xp 00000000 08:01 2  {library}\n\
             7f0000004000-7f0000005000 rw-p 00000000 00:00 0  [heap]\n"
        );
        fs::write(proc.path(42).join("maps"), maps).expect("written");
        assert_eq!(
            describe(&proc, 42).language.as_deref(),
            language,
            "{library}"
        );
    }
}

#[test]
fn a_process_that_has_gone_is_not_described_but_can_be_named() {
    let proc = FakeProc::new();
    let describer = Describer::new(proc.root(), ServiceOverride::default());
    assert_eq!(describer.describe(42), None);
    let process = describer.vanished(42, "curl");
    assert_eq!(process.service_name, "curl");
    assert_eq!(process.service_instance_id, "box:42");
    assert_eq!((process.pid, process.start_ns), (42, 0));
}

#[test]
fn the_machine_is_called_as_it_is_and_not_as_wirespans_own_pod() {
    let proc = FakeProc::new();
    proc.run(&Fake::new(42, "/usr/sbin/nginx"));
    let named = |given: Option<&str>| {
        let given = ServiceOverride {
            host_name: given.map(str::to_owned),
            ..ServiceOverride::default()
        };
        let describer = Describer::new(proc.root(), given);
        let process = describer.describe(42).expect("it runs");
        let gone = describer.vanished(43, "curl");
        assert_eq!(process.host_name, gone.host_name);
        assert_eq!(
            process.service_instance_id,
            format!("{}:42", gone.host_name)
        );
        process.host_name
    };
    assert_eq!(named(None), "box");
    let etc = proc.path(1).join("root/etc");
    fs::create_dir_all(&etc).expect("created");
    fs::write(etc.join("hostname"), "# the machine's\n\n node-1 \n").expect("written");
    assert_eq!(named(None), "node-1");
    assert_eq!(named(Some("node-of-the-api")), "node-of-the-api");
    // What is in one namespace with the machine is called as the machine is now.
    symlink("uts:[4026531838]", proc.path(1).join("ns/uts")).expect("linked");
    assert_eq!(named(None), "box");
    // Who sets the name to nothing knows none.
    fs::remove_file(proc.path(1).join("ns/uts")).expect("removed");
    fs::write(etc.join("hostname"), "\n").expect("written");
    assert_eq!(named(None), "box");
}

#[test]
fn a_process_that_goes_between_two_looks_is_described_or_not_but_never_fatal() {
    let proc = FakeProc::new();
    for missing in ["stat", "exe", "cmdline", "environ", "cwd"] {
        proc.run(&Fake {
            args: "node index.js",
            ..Fake::new(42, "/usr/bin/node")
        });
        fs::remove_file(proc.path(42).join(missing)).expect("removed");
        let process = Describer::new(proc.root(), ServiceOverride::default()).describe(42);
        let is_needed = ["stat", "exe", "cmdline"].contains(&missing);
        assert_eq!(process.is_none(), is_needed, "without {missing}");
    }
}

#[test]
fn a_child_is_its_parent_but_for_its_identity() {
    let proc = FakeProc::new();
    proc.run(&Fake::new(42, "/usr/sbin/nginx"));
    proc.run(&Fake {
        started_s: 200,
        ..Fake::new(43, "/usr/sbin/nginx")
    });
    let describer = Describer::new(proc.root(), ServiceOverride::default());
    let parent = describe(&proc, 42);
    let child = describer.child(&parent, 43);
    assert_eq!(child, describe(&proc, 43));
    assert_eq!(child.service_instance_id, "box:43");
}

#[test]
fn wirespans_own_attributes_are_told_of_all_who_say_nothing_else() {
    let proc = FakeProc::new();
    proc.run(&Fake {
        environment: &["OTEL_RESOURCE_ATTRIBUTES=team=theirs,host.name=theirs"],
        ..Fake::new(42, "/usr/sbin/nginx")
    });
    let given = ServiceOverride {
        resource_attributes: [
            ("team", "ours"),
            ("cloud.region", "eu"),
            ("service.namespace", "shop"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..ServiceOverride::default()
    };
    let describer = Describer::new(proc.root(), given);
    let process = describer.describe(42).expect("it runs");
    assert_eq!(process.service_namespace.as_deref(), Some("shop"));
    let told: Vec<_> = process.resource_attributes.into_iter().collect();
    assert_eq!(
        told,
        [("cloud.region", "eu"), ("team", "theirs")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let gone = describer.vanished(43, "curl");
    assert_eq!(gone.resource_attributes["team"], "ours");
}
