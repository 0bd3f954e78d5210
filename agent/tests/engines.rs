//! Real container engines are asked about containers of theirs: Docker's API as podman serves it,
//! and containerd. The containers are made and never run, which takes no right over the machine.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use wirespan::engine::{Engines, Labelled};
use wirespan_tests::process::{Process, tied};
use wirespan_tests::workload::eventually;

/// An engine with everything that it has in a folder of its own.
struct Engine {
    files: TempDir,
    _process: Process,
}

impl Engine {
    /// Starts one that listens on `socket` below its folder. `arguments` may name the folder as
    /// `{}`.
    fn start(program: &str, arguments: &[&str], files: TempDir, socket: &str) -> Self {
        let socket = files.path().join(socket);
        std::fs::create_dir_all(socket.parent().expect("a folder")).expect("a folder");
        let mut command = engine(program, arguments, files.path());
        let mut process = Process::start(program, &mut command);
        eventually("the engine to listen", || {
            assert!(process.status().is_none(), "{}", process.story());
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        Self {
            files,
            _process: process,
        }
    }

    /// What a program of the engine's says, which must succeed.
    fn done(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = engine(program, arguments, self.files.path());
        Process::start(program, &mut command).succeed().join("\n")
    }

    fn labelled(&self, id: &str) -> Option<Labelled> {
        Engines::below(self.files.path()).labelled(id)
    }
}

/// A program of an engine, with settings that name the folder.
fn engine(program: &str, arguments: &[&str], files: &Path) -> Command {
    let folder = files.to_str().expect("UTF-8");
    let mut command = tied(program);
    command
        .args(arguments.iter().map(|it| it.replace("{}", folder)))
        .env("HOME", files)
        .env("CONTAINERS_CONF", files.join("containers.conf"))
        .env("CONTAINERS_STORAGE_CONF", files.join("storage.conf"));
    command
}

/// A folder with these files, in which `{}` is its own name.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("UTF-8");
    std::fs::create_dir(folder.path().join("rootfs")).expect("a folder");
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text.replace("{}", name)).expect("a file");
    }
    folder
}

fn told(name: &str, image: &str) -> Option<Labelled> {
    Some(Labelled {
        name: name.to_owned(),
        image: image.to_owned(),
    })
}

/// Sixty-four digits that no container has.
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

#[test]
fn podman_tells_the_names_of_its_containers() {
    let files = folder(&[
        (
            "containers.conf",
            "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             [containers]\nseccomp_profile = \"unconfined\"\n",
        ),
        (
            "storage.conf",
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}/store\"\nrunroot = \"{}/run/state\"\n",
        ),
    ]);
    let serving = [
        "--tmpdir",
        "{}/tmp",
        "system",
        "service",
        "--time",
        "0",
        "unix://{}/run/podman/podman.sock",
    ];
    let podman = Engine::start("podman", &serving, files, "run/podman/podman.sock");
    let create = [
        "--tmpdir",
        "{}/tmp",
        "create",
        "--name",
        "shop-web",
        "--network",
        "none",
        "--rootfs",
        "{}/rootfs",
        "/bin/server",
    ];
    let id = podman.done("podman", &create);
    // What was made of a folder has no image.
    assert_eq!(podman.labelled(id.trim()), told("shop-web", ""));
    assert_eq!(podman.labelled(OTHER), None);
}

#[test]
fn containerd_tells_the_names_that_nerdctl_gave() {
    let files = folder(&[(
        "containerd.toml",
        "version = 2\nroot = \"{}/root\"\nstate = \"{}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\n  address = \"{}/run/containerd/containerd.sock\"\n\
         [ttrpc]\n  address = \"{}/run/containerd/ttrpc.sock\"\n",
    )]);
    let serving = ["--config", "{}/containerd.toml"];
    let socket = "run/containerd/containerd.sock";
    let containerd = Engine::start("containerd", &serving, files, socket);
    let create = |namespace: &str, id: &str, label: &str| {
        let arguments = [
            "--address",
            "{}/run/containerd/containerd.sock",
            "--namespace",
            namespace,
            "containers",
            "create",
            "--label",
            label,
            "--rootfs",
            "{}/rootfs",
            id,
            "/bin/server",
        ];
        containerd.done("ctr", &arguments);
    };
    let ids = ["1", "2", "3"].map(|digit| digit.repeat(64));
    create("default", &ids[0], "nerdctl/name=shop-db");
    create("moby", &ids[1], "nothing=here");
    create("other", &ids[2], "nerdctl/name=elsewhere");
    assert_eq!(containerd.labelled(&ids[0]), told("shop-db", ""));
    // Docker's own, which has the name.
    assert_eq!(containerd.labelled(&ids[1]), told("", ""));
    assert_eq!(containerd.labelled(&ids[2]), None);
    assert_eq!(containerd.labelled(OTHER), None);
}
