//! A real Kubernetes API server over a real etcd, as set-up built them, without nodes: pods are
//! what the tests say they are, and nobody runs them. Rights are checked as in clusters (RBAC).

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy;
use crate::grpc::built_by_setup;
use crate::ports;
use crate::process::{LIMIT, Process, tied};
use crate::workload::eventually;

/// Who may do everything.
const ADMIN: &str = "the-admin-of-the-tests";

/// A running one.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    directory: TempDir,
    server: Option<Process>,
    _etcd: Process,
    etcd_port: u16,
}

impl Cluster {
    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start() -> Self {
        let [port, etcd_port, peer_port] = [(); 3].map(|()| ports::free());
        let directory = tempfile::tempdir().expect("a directory");
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut etcd = tied(built_by_setup("kubernetes/server"));
        etcd.arg("--data-dir")
            .arg(directory.path().join("etcd"))
            .args(["--name", "tests", "--log-level", "error"])
            .arg("--unsafe-no-fsync")
            .args(["--listen-client-urls", &url(etcd_port)])
            .args(["--advertise-client-urls", &url(etcd_port)])
            .args(["--listen-peer-urls", &url(peer_port)])
            .args(["--initial-advertise-peer-urls", &url(peer_port)])
            .args(["--initial-cluster", &format!("tests={}", url(peer_port))]);
        let etcd = Process::start("etcd", &mut etcd);
        let key = rcgen::KeyPair::generate().expect("a key");
        for (name, content) in [
            ("accounts.key", key.serialize_pem()),
            ("accounts.pub", key.public_key_pem()),
            (
                "tokens.csv",
                format!("{ADMIN},admin,admin,system:masters\n"),
            ),
        ] {
            std::fs::write(directory.path().join(name), content).expect("a file");
        }
        let mut cluster = Self {
            port,
            directory,
            server: None,
            _etcd: etcd,
            etcd_port,
        };
        cluster.serve();
        cluster
    }

    /// Starts its API server again, on the same port and with what it had stored.
    ///
    /// # Panics
    /// It does not come up.
    pub fn serve(&mut self) {
        let path = |name: &str| self.directory.path().join(name);
        let mut command = tied(built_by_setup("kubernetes/kube-apiserver"));
        command
            .args(["--bind-address", "127.0.0.1", "--secure-port"])
            .arg(self.port.to_string())
            .arg("--cert-dir")
            .arg(path("certificates"))
            .args([
                "--etcd-servers",
                &format!("http://127.0.0.1:{}", self.etcd_port),
            ])
            .args(["--service-cluster-ip-range", "10.96.0.0/24"])
            .args(["--authorization-mode", "RBAC", "--token-auth-file"])
            .arg(path("tokens.csv"))
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .arg("--service-account-key-file")
            .arg(path("accounts.pub"))
            .arg("--service-account-signing-key-file")
            .arg(path("accounts.key"))
            .arg("--allow-privileged")
            // Nobody makes the accounts that it would ask for.
            .args(["--disable-admission-plugins", "ServiceAccount"]);
        let mut server = Process::start("kube-apiserver", &mut command);
        eventually("the API server to be ready", || {
            assert!(server.status().is_none(), "{}", server.story());
            self.ask("GET", "/readyz", None)
                .is_some_and(|it| it == "ok")
        });
        self.server = Some(server);
    }

    /// Ends its API server. What it stored stays.
    ///
    /// # Panics
    /// It does not end.
    pub fn stop_serving(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop();
        }
    }

    /// Kills its API server, which would wait for who watches to go.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(Signal::KILL);
            server.wait();
        }
    }

    /// `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that its own one is from, as PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("certificates/apiserver.crt")
    }

    /// Makes an object by its collection, such as `/api/v1/namespaces/shop/pods`; what it has in
    /// `status` is set afterwards, as that is who runs it who does so.
    ///
    /// # Panics
    /// The API server refuses.
    pub fn create(&self, collection: &str, object: &Value) -> Value {
        let mut made = self.done("POST", collection, object);
        if let (Some(status), Some(name)) =
            (object.get("status"), object["metadata"]["name"].as_str())
        {
            made["status"] = status.clone();
            made = self.done("PUT", &format!("{collection}/{name}/status"), &made);
        }
        made
    }

    /// The same without its `status`.
    ///
    /// # Errors
    /// What the API server says when it refuses.
    pub fn try_create(&self, collection: &str, object: &Value) -> Result<Value, String> {
        self.try_done("POST", collection, object)
    }

    /// Removes an object at once.
    ///
    /// # Panics
    /// The API server refuses.
    pub fn delete(&self, path: &str) {
        self.done("DELETE", path, &json!({"gracePeriodSeconds": 0}));
    }

    /// A kubeconfig for a service account, with a token of it and this cluster's authority.
    ///
    /// # Panics
    /// There is no such account.
    #[must_use]
    pub fn kubeconfig(&self, namespace: &str, account: &str) -> PathBuf {
        self.kubeconfig_with(account, &self.token(namespace, account))
    }

    /// A token of a service account.
    ///
    /// # Panics
    /// There is no such account.
    #[must_use]
    pub fn token(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        });
        let made = self.done("POST", &path, &request);
        let token = made["status"]["token"].as_str().expect("a token");
        token.to_owned()
    }

    /// The same of somebody who may do everything.
    ///
    /// # Panics
    /// It can't be written.
    #[must_use]
    pub fn admins_kubeconfig(&self) -> PathBuf {
        self.kubeconfig_with("admin", ADMIN)
    }

    fn kubeconfig_with(&self, user: &str, token: &str) -> PathBuf {
        let file = self.directory.path().join(format!("{user}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
            "clusters": [{"name": "tests", "cluster": {
                "server": self.url(), "certificate-authority": self.authority(),
            }}],
            "users": [{"name": user, "user": {"token": token}}],
        });
        std::fs::write(&file, config.to_string()).expect("a file");
        file
    }

    /// Runs kubectl for the user of a kubeconfig.
    ///
    /// # Errors
    /// What it complained of.
    ///
    /// # Panics
    /// It can't be started.
    pub fn kubectl(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<String, String> {
        let mut kubectl = tied(built_by_setup("kubernetes/kubectl"));
        kubectl
            .env("HOME", self.directory.path())
            .env("KUBECONFIG", kubeconfig)
            .args(arguments);
        deploy::output(&mut kubectl)
    }

    /// # Panics
    /// The API server refuses.
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let done = self.try_done(method, path, body);
        done.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    fn try_done(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let said = self.ask(method, path, Some(body)).unwrap_or_default();
        let value: Value = serde_json::from_str(&said).unwrap_or_default();
        let is_refused = value["kind"] == "Status" && value["status"] != "Success";
        if is_refused || value.is_null() {
            return Err(said);
        }
        Ok(value)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<String> {
        let mut curl = tied("curl");
        curl.args(["--silent", "--max-time", "60", "--request", method])
            .arg("--cacert")
            .arg(self.authority())
            .args(["--header", &format!("Authorization: Bearer {ADMIN}")])
            .arg(format!("{}{path}", self.url()));
        if let Some(body) = body {
            let file = self.directory.path().join("body.json");
            std::fs::write(&file, body.to_string()).expect("a file");
            curl.args([
                "--header",
                "Content-Type: application/json",
                "--data-binary",
            ])
            .arg(at(&file));
        }
        let mut curl = Process::start("curl", &mut curl);
        let is_answered = curl.wait().success();
        is_answered.then(|| curl.stdout.finish(LIMIT).join("\n"))
    }
}

/// How curl names a file whose content is sent.
fn at(file: &Path) -> String {
    format!("@{}", file.display())
}
