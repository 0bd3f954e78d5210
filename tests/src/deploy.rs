//! What users apply, by the tools that they apply it with: rendered, read, held against the
//! published schemas and against what was rendered before. Nothing is asked of a cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::grpc::built_by_setup;
use crate::process::tied;
use crate::workload::file;

/// The newest and the oldest version of Kubernetes whose schemas the manifests have to keep: before
/// 1.30 it has no field for AppArmor.
pub const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// What is below `kubernetes/overlays`, each with a plain manifest of the same name.
pub const OVERLAYS: [&str; 7] = [
    "capabilities",
    "collector",
    "jaeger",
    "minimal",
    "peers",
    "seccomp",
    "tempo-grafana",
];

/// Below `deploy/`.
#[must_use]
pub fn deploy(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("tests/ lies in the workspace")
        .join("deploy")
        .join(path)
}

/// Below `tests/data/deploy`.
#[must_use]
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/deploy")
        .join(path)
}

/// What a command printed, and what it complained of if it failed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout));
    }
    Ok(String::from_utf8(output.stdout).expect("manifests are UTF-8"))
}

/// A folder as `kubectl kustomize` renders it.
///
/// # Panics
/// It can't be rendered.
#[must_use]
pub fn kustomize(folder: &Path) -> String {
    let mut kubectl = tied(built_by_setup("kubernetes/kubectl"));
    output(kubectl.arg("kustomize").arg(folder)).unwrap_or_else(|why| panic!("{why}"))
}

/// The chart with these values as helm renders it, or why not.
///
/// # Errors
/// Helm's.
pub fn helm(values: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    helm_at(Path::new("/dev/null"), values, arguments)
}

/// The same for the cluster of a kubeconfig.
///
/// # Errors
/// Helm's.
pub fn helm_at(
    kubeconfig: &Path,
    values: Option<&Path>,
    arguments: &[&str],
) -> Result<String, String> {
    let home = tempfile::tempdir().expect("a directory");
    let mut helm = tied(built_by_setup("kubernetes/helm"));
    helm.env("HOME", home.path())
        .env("KUBECONFIG", kubeconfig)
        .args(arguments)
        .arg("wirespan")
        .arg(deploy("helm/wirespan"))
        .args(["--namespace", "wirespan"]);
    if let Some(values) = values {
        helm.arg("--values").arg(values);
    }
    output(&mut helm)
}

/// `helm template`.
///
/// # Errors
/// Helm's.
pub fn template(values: Option<&Path>) -> Result<String, String> {
    helm(values, &["template", "--kube-version", "1.35"])
}

/// Debian's Python with what set-up installed for looking at manifests.
fn python() -> Command {
    let mut python = tied("python3");
    python
        .env("PYTHONPATH", built_by_setup("kubernetes/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Documents of a YAML text.
///
/// # Panics
/// It is none, or has a key twice.
#[must_use]
pub fn documents(yaml: &str) -> Vec<Value> {
    let given = temporary(yaml);
    let mut python = python();
    python.arg(file("deploy/documents.py"));
    python.stdin(std::fs::File::open(given.path()).expect("it was written"));
    let output = python.output().expect("Python starts");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why}\n{yaml}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect()
}

/// The only document of this kind.
///
/// # Panics
/// There is none, or several.
#[must_use]
pub fn only<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|found| found["kind"] == kind);
    match (found.next(), found.next()) {
        (Some(document), None) => document,
        (first, _) => panic!(
            "{} of kind {kind}",
            if first.is_some() { "several" } else { "none" }
        ),
    }
}

/// Kinds that clusters have from elsewhere, whose schemas nobody publishes for this.
const FOREIGN: [&str; 2] = ["SecurityContextConstraints", "ServiceMonitor"];

/// Holds manifests against the schemas of Kubernetes; no field may be unknown, nor any kind but
/// those.
///
/// # Errors
/// What the validator says.
pub fn validate(yaml: &str, version: &str) -> Result<(), String> {
    let given = temporary(yaml);
    let mut python = python();
    python
        .args(["-m", "kubernetes_validate", "--strict", "--quiet"])
        .args(["--kubernetes-version", version])
        .arg(given.path());
    // A kind that it does not know is a warning to it.
    let said = python.output().expect("Python starts");
    let mut wrong = String::from_utf8_lossy(&said.stderr).into_owned();
    wrong.push_str(&String::from_utf8_lossy(&said.stdout));
    let known = |line: &&str| {
        let unknown = line.split_once("find schema for kind ");
        unknown.is_some_and(|(_, kind)| FOREIGN.iter().any(|foreign| kind.starts_with(foreign)))
    };
    let complaints: Vec<_> = wrong.lines().filter(|line| !known(line)).collect();
    if said.status.success() && complaints.is_empty() {
        return Ok(());
    }
    Err(complaints.join("\n"))
}

/// Holds a file against the schema of Compose.
///
/// # Errors
/// What the validator says.
pub fn validate_composition(file: &Path) -> Result<(), String> {
    let mut python = python();
    python
        .args(["-m", "check_jsonschema"])
        .args(["--builtin-schema", "vendor.compose-spec"])
        .arg(file);
    output(&mut python).map(drop)
}

/// Compares with a file that is kept; with `WIRESPAN_BLESS` set, writes it.
///
/// # Panics
/// It is another text; the message has the first line that differs.
pub fn assert_kept(kept: &Path, text: &str) {
    if std::env::var_os("WIRESPAN_BLESS").is_some() {
        std::fs::write(kept, text).expect("it can be written");
    }
    let wanted = std::fs::read_to_string(kept).unwrap_or_default();
    if wanted == text {
        return;
    }
    let mut lines = wanted.lines().chain([""]).zip(text.lines().chain([""]));
    let differs = lines.position(|(one, other)| one != other);
    let line = differs.unwrap_or_default();
    panic!(
        "{} is not what is rendered (WIRESPAN_BLESS=1 writes it), first at line {}:\n-{}\n+{}",
        kept.display(),
        line + 1,
        wanted.lines().nth(line).unwrap_or_default(),
        text.lines().nth(line).unwrap_or_default()
    );
}

fn temporary(text: &str) -> tempfile::NamedTempFile {
    let given = tempfile::Builder::new().suffix(".yaml").tempfile();
    let given = given.expect("a file");
    std::fs::write(given.path(), text).expect("a file");
    given
}
