//! A pod as a node would run it, from its manifest and from the image that was packed: crun makes
//! the container, with its own namespaces but for that of processes, where the manifest shares the
//! host's. No kubelet is asked; what it would fill in is filled in here.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy::deploy;
use crate::process::tied;

/// By their numbers (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Those that the tests have themselves, which is what privileged means where they run.
fn all_capabilities() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let mut lines = status.lines();
    let own = lines.find_map(|line| line.strip_prefix("CapBnd:"));
    let own = u64::from_str_radix(own.expect("capabilities").trim(), 16).expect("a number");
    let all = CAPABILITIES.iter().enumerate();
    all.filter(|(number, _)| own & 1 << number != 0)
        .map(|(_, name)| format!("CAP_{name}"))
        .collect()
}

/// Below the folder that `cargo xtask package` leaves.
#[must_use]
pub fn package(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("package").join(path)
}

/// An image, unpacked as a runtime unpacks it.
#[derive(Debug)]
pub struct Image {
    directory: TempDir,
    config: Value,
}

impl Image {
    /// The one that `cargo xtask package` left.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn packed() -> Self {
        Self::unpack(&package("image"))
    }

    /// Of a layout with a single name: the image for this machine.
    ///
    /// # Panics
    /// It is no such layout.
    #[must_use]
    pub fn unpack(layout: &Path) -> Self {
        let index = read(&layout.join("index.json"));
        let mut manifest = read(&blob(layout, &index["manifests"][0]));
        if let Some(each) = manifest["manifests"].as_array() {
            let is_ours = |it: &&Value| it["platform"]["architecture"] == ARCHITECTURE;
            let ours = each.iter().find(is_ours);
            manifest = read(&blob(layout, ours.expect("an image for this machine")));
        }
        let config = read(&blob(layout, &manifest["config"]))["config"].clone();
        let directory = tempfile::tempdir().expect("a directory");
        for layer in manifest["layers"].as_array().expect("layers") {
            let mut tar = Command::new("tar");
            tar.arg("-xzf").arg(blob(layout, layer));
            tar.arg("-C").arg(directory.path());
            let unpacked = tar.status().expect("tar starts");
            assert!(unpacked.success(), "{layer}");
        }
        Self { directory, config }
    }

    /// Its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// This machine's, as Go calls it.
const ARCHITECTURE: &str = match std::env::consts::ARCH.as_bytes() {
    b"aarch64" => "arm64",
    _ => "amd64",
};

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo xtask package` makes it",
            path.display()
        )
    });
    serde_json::from_slice(&text).expect("it is JSON")
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("a digest");
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Where a pod has what it shows to the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where nobody is.
const NO_PORT: u16 = 9;

/// What a pod shows to the API server.
pub const TOKEN: &str = "a.b.c";

/// A folder as the kubelet makes it.
fn service_account(bundle: &Path, image: &Image, node: &Node) -> PathBuf {
    let folder = bundle.join("account");
    std::fs::create_dir_all(&folder).expect("a directory");
    let anybodys = || image.path().join("etc/ssl/certs/ca-certificates.crt");
    let authority = node
        .api_server
        .as_ref()
        .map(|(_, authority)| authority.clone());
    let authority = authority.unwrap_or_else(anybodys);
    std::fs::copy(authority, folder.join("ca.crt")).expect("a file");
    std::fs::write(folder.join("token"), TOKEN).expect("a file");
    std::fs::write(folder.join("namespace"), "wirespan").expect("a file");
    folder
}

/// What a node knows that its manifest does not.
#[derive(Debug, Default)]
pub struct Node {
    /// `status.hostIP`.
    pub address: String,
    /// `spec.nodeName`.
    pub name: String,
    /// What the pod is called, which is what its containers call their machine.
    pub pod: String,
    /// The network namespace of the pod; one with nothing in it if there is none.
    pub network: Option<PathBuf>,
    /// The port of loopback, in the pod's network, that the API server has, and who is to be
    /// trusted that it is that. It is away if there is none.
    pub api_server: Option<(u16, PathBuf)>,
    /// Names that resolve, in the form of hosts(5).
    pub hosts: String,
    /// Variables besides those of the manifest, which win.
    pub environment: Vec<(String, String)>,
    /// What follows the entry point instead of the manifest's arguments.
    pub arguments: Vec<String>,
}

/// A container that is ready to be run.
#[derive(Debug)]
pub struct Container {
    bundle: TempDir,
}

impl Container {
    /// The only one of a pod's specification.
    ///
    /// # Panics
    /// It asks for what is not understood here.
    #[must_use]
    pub fn new(pod: &Value, image: &Image, node: &Node) -> Self {
        let container = &pod["containers"][0];
        let bundle = tempfile::tempdir().expect("a directory");
        let hosts = bundle.path().join("hosts");
        std::fs::write(&hosts, &node.hosts).expect("a file");
        let mut mounts = standard(container);
        mounts.push(bind(&hosts, "/etc/hosts", true));
        if pod["serviceAccountName"].is_string() {
            let account = service_account(bundle.path(), image, node);
            mounts.push(bind(&account, SERVICE_ACCOUNT, true));
        }
        for mount in list(&container["volumeMounts"]) {
            mounts.push(volume(pod, mount, bundle.path()));
        }
        // A runtime makes what is mounted upon before the root is read-only.
        for mount in &mounts {
            let at = mount["destination"].as_str().expect("a path");
            let at = image.path().join(at.trim_start_matches('/'));
            if at.file_name().is_some_and(|name| name == "hosts") {
                let _ = std::fs::File::create(&at).expect("a file");
            } else {
                std::fs::create_dir_all(&at).expect("a directory");
            }
        }
        let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "ipc"})];
        namespaces.push(json!({"type": "uts"}));
        namespaces.push(match &node.network {
            Some(path) => json!({"type": "network", "path": path}),
            None => json!({"type": "network"}),
        });
        if pod["hostPID"] != true {
            namespaces.push(json!({"type": "pid"}));
        }
        let configuration = json!({
            "ociVersion": "1.0.0",
            "hostname": node.pod,
            "root": {
                "path": image.path(),
                "readonly": container["securityContext"]["readOnlyRootFilesystem"] == true,
            },
            "process": process(pod, image, node),
            "mounts": mounts,
            "linux": {"namespaces": namespaces, "seccomp": seccomp(container)},
        });
        let text = serde_json::to_vec_pretty(&configuration).expect("it is JSON");
        std::fs::write(bundle.path().join("config.json"), text).expect("a file");
        Self { bundle }
    }

    /// Runs it. The process is crun's, which passes signals on and ends as it ends.
    #[must_use]
    pub fn command(&self) -> Command {
        // crun refuses machines that have both versions of control groups, so it sees but one; it
        // makes none.
        let script = "mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup &&
            exec crun --root \"$1/state\" --cgroup-manager=disabled \
            run --no-new-keyring --bundle \"$1\" \"wirespan-$$\"";
        let mut command = tied("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(self.bundle.path());
        command
    }
}

/// User, rights, environment.
fn process(pod: &Value, image: &Image, node: &Node) -> Value {
    let container = &pod["containers"][0];
    let context = &container["securityContext"];
    let privileged = context["privileged"] == true;
    let capabilities = if privileged {
        all_capabilities()
    } else {
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        let added = list(&context["capabilities"]["add"]);
        added
            .map(|name| format!("CAP_{}", text(name)))
            .collect::<Vec<_>>()
    };
    let mut arguments: Vec<String> = list(&image.config["Entrypoint"])
        .map(|word| text(word).to_owned())
        .collect();
    if let Some(command) = container["command"].as_array() {
        arguments = command.iter().map(|word| text(word).to_owned()).collect();
    }
    if node.arguments.is_empty() {
        arguments.extend(list(&container["args"]).map(|word| text(word).to_owned()));
    } else {
        arguments.extend(node.arguments.iter().cloned());
    }
    json!({
        "terminal": false,
        "cwd": "/",
        "user": {"uid": context["runAsUser"].as_u64().unwrap_or(0), "gid": 0},
        "args": arguments,
        "env": environment(pod, node),
        "noNewPrivileges": context["allowPrivilegeEscalation"] == false,
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        },
    })
}

/// `NAME=value`, with what Kubernetes fills in.
fn environment(pod: &Value, node: &Node) -> Vec<String> {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in list(&pod["containers"][0]["env"]) {
        let name = text(&variable["name"]).to_owned();
        let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
        let value = match field.as_str() {
            Some("status.hostIP") => node.address.clone(),
            Some("spec.nodeName") => node.name.clone(),
            Some("metadata.namespace") => "namespace-of-the-pod".to_owned(),
            Some(other) => panic!("the field {other}"),
            None => {
                let mut value = variable["value"].as_str().unwrap_or_default().to_owned();
                for (name, before) in &known {
                    value = value.replace(&format!("$({name})"), before);
                }
                value
            }
        };
        known.push((name, value));
    }
    known.retain(|(name, _)| node.environment.iter().all(|(other, _)| other != name));
    known.extend(node.environment.iter().cloned());
    let mut environment: Vec<_> = known
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if pod["serviceAccountName"].is_string() {
        let port = node.api_server.as_ref().map_or(NO_PORT, |(port, _)| *port);
        environment.push("KUBERNETES_SERVICE_HOST=127.0.0.1".to_owned());
        environment.push(format!("KUBERNETES_SERVICE_PORT={port}"));
    }
    environment
}

/// What every container has; a privileged one may write to `/sys`.
fn standard(container: &Value) -> Vec<Value> {
    let privileged = container["securityContext"]["privileged"] == true;
    let mut sys = vec!["nosuid", "noexec", "nodev"];
    if !privileged {
        sys.push("ro");
    }
    vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=65536k"],
        }),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": sys}),
    ]
}

/// A volume of the manifest's.
fn volume(pod: &Value, mount: &Value, bundle: &Path) -> Value {
    let name = text(&mount["name"]);
    let volume = list(&pod["volumes"]).find(|volume| volume["name"] == name);
    let volume = volume.unwrap_or_else(|| panic!("no volume {name}"));
    let at = text(&mount["mountPath"]);
    let read_only = mount["readOnly"] == true;
    if let Some(path) = volume["hostPath"]["path"].as_str() {
        return bind(Path::new(path), at, read_only);
    }
    assert!(
        volume["emptyDir"].is_object() || volume["configMap"].is_object(),
        "{volume}"
    );
    let empty = bundle.join(format!("volume-{name}"));
    std::fs::create_dir_all(&empty).expect("a directory");
    bind(&empty, at, read_only)
}

fn bind(from: &Path, to: &str, read_only: bool) -> Value {
    let mode = if read_only { "ro" } else { "rw" };
    json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", mode]})
}

/// The profile of a file, for `Localhost`. Of the runtime's own nothing is known here.
fn seccomp(container: &Value) -> Value {
    let profile = &container["securityContext"]["seccompProfile"];
    if profile["type"] != "Localhost" {
        return Value::Null;
    }
    read(&deploy("seccomp").join(text(&profile["localhostProfile"])))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}
