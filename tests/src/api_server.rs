//! Something like Kubernetes' API server, for what a real one does only under stress: it lists and
//! watches pods as the real one does (`cluster` has that), and on demand is slow, busy, forbidding,
//! away, elsewhere, forgetful or writes garbage.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::ports;
use crate::tls::Certificates;
use crate::workload::eventually;

/// What it is like to ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    #[default]
    Well,
    /// 403, but to who asks what it may do: nothing.
    Forbidding,
    /// 403, whatever is asked.
    ForbiddingAll,
    /// 403 to who asks for anything but this kind: `pods`.
    ForbiddingAllBut(&'static str),
    /// 403 to who asks for a single object, as where no rule has the verb `get`.
    ForbiddingGet,
    /// 403 to who asks what it may do.
    ForbiddingReviews,
    /// 429, and how many seconds it asks for.
    Busy(u64),
    /// 302, to there.
    Elsewhere(String),
    /// 200, and no JSON.
    Garbage,
    /// 200, and a pod that does not end.
    Endless,
    /// 504: it is behind what it is asked for.
    Behind,
    /// It takes connections, and says nothing.
    Silent,
}

#[derive(Default)]
struct World {
    version: u64,
    /// By uid.
    pods: BTreeMap<String, Value>,
    /// All that happened, with the version that it made.
    events: Vec<(u64, &'static str, Value)>,
    /// What happened up to then is forgotten.
    forgotten: u64,
    mood: Mood,
    /// What has to be shown, if anything.
    token: Option<String>,
    /// Targets and tokens of what was asked.
    asked: Vec<(String, String)>,
    /// Watches that began before this many disconnects are over.
    disconnects: u64,
    stopped: bool,
}

type Shared = (Mutex<World>, Condvar);

/// A running one, on a port of loopback.
pub struct ApiServer {
    port: u16,
    shared: Arc<Shared>,
    is_tls: bool,
}

impl ApiServer {
    /// Starts one that speaks plain HTTP.
    #[must_use]
    pub fn start() -> Self {
        let server = Self::later();
        server.come_up();
        server
    }

    /// One that is not there yet, but knows its port.
    #[must_use]
    pub fn later() -> Self {
        Self {
            port: ports::free(),
            shared: Arc::default(),
            is_tls: false,
        }
    }

    /// Begins to take connections.
    ///
    /// # Panics
    /// The port is taken.
    pub fn come_up(&self) {
        self.listen(None);
    }

    /// Starts one that speaks TLS with this certificate.
    ///
    /// # Panics
    /// There is none, or the port is taken.
    #[must_use]
    pub fn with_tls(certificates: &Certificates) -> Self {
        let mut server = Self::later();
        server.is_tls = true;
        server.listen(Some(server_config(certificates)));
        server
    }

    fn listen(&self, tls: Option<Arc<ServerConfig>>) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("a free port");
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if lock(&shared).stopped {
                    return;
                }
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                // Who goes away in the middle has what they want.
                std::thread::spawn(move || match tls {
                    None => serve(stream, &shared),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                        serve(StreamOwned::new(connection, stream), &shared)
                    }
                });
            }
        });
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig that names it, with a user as `user` says.
    ///
    /// # Panics
    /// It can't be written.
    pub fn kubeconfig(&self, file: &PathBuf, cluster: &Value, user: &Value) {
        let mut cluster = cluster.clone();
        cluster["server"] = self.url().into();
        let config = json!({
            "current-context": "t",
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "clusters": [{"name": "t", "cluster": cluster}],
            "users": [{"name": "t", "user": user}],
        });
        std::fs::write(file, config.to_string()).expect("a file");
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared)
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut self.world());
        self.shared.1.notify_all();
        changed
    }

    /// A pod, or a service or node that says so (`kind`), is like this from now on.
    pub fn put(&self, pod: &Value) {
        self.change(|world| {
            world.version += 1;
            let mut pod = pod.clone();
            pod["metadata"]["resourceVersion"] = world.version.to_string().into();
            let uid = pod["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let before = world.pods.insert(uid, pod.clone());
            let kind = if before.is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            world.events.push((world.version, kind, pod));
        });
    }

    /// An object is no more.
    pub fn remove(&self, uid: &str) {
        self.change(|world| {
            world.version += 1;
            if let Some(pod) = world.pods.remove(uid) {
                world.events.push((world.version, "DELETED", pod));
            }
        });
    }

    /// It says something else in each watch: a whole line.
    pub fn interject(&self, line: &str) {
        let line = Value::String(line.to_owned());
        self.change(|world| world.events.push((world.version, "", line)));
    }

    /// It says up to where each watch is.
    pub fn bookmark(&self) {
        self.change(|world| {
            let version = world.version.to_string();
            let object = json!({"metadata": {"resourceVersion": version}});
            world.events.push((world.version, "BOOKMARK", object));
        });
    }

    /// It forgets what happened up to now: who watches from before is told that it is too late.
    pub fn forget(&self) {
        self.change(|world| {
            world.version += 1;
            world.forgotten = world.version;
        });
    }

    /// It ends each watch.
    pub fn disconnect(&self) {
        self.change(|world| world.disconnects += 1);
    }

    /// It is like this from now on, to who asks.
    pub fn is(&self, mood: Mood) {
        self.change(|world| world.mood = mood);
    }

    /// It wants to be shown this token from now on.
    pub fn wants_token(&self, token: &str) {
        self.change(|world| world.token = Some(token.to_owned()));
    }

    /// What it was asked, and with which tokens.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        self.world().asked.clone()
    }

    /// Waits until it was asked for something that has all of these in it, so many times.
    ///
    /// # Panics
    /// It never is.
    pub fn wait_until_asked(&self, parts: &[&str], times: usize) {
        eventually(&format!("{times} requests with {parts:?}"), || {
            let asked = self.asked();
            let alike = |target: &str| parts.iter().all(|part| target.contains(part));
            asked.iter().filter(|(target, _)| alike(target)).count() >= times
        });
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.change(|world| {
            world.stopped = true;
            world.disconnects += 1;
        });
        // The listener looks up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, World> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn server_config(certificates: &Certificates) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificates.certificate()).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(certificates.key()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a certificate with its key"))
}

fn serve(stream: impl Read + Write, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((target, token, body)) = request(&mut stream)? {
        let mood = {
            let mut world = lock(shared);
            world.asked.push((target.clone(), token.clone()));
            let is_known = world.token.as_ref().is_none_or(|it| *it == token);
            match is_known {
                true => Ok(world.mood.clone()),
                false => Err(401),
            }
        };
        let out = stream.get_mut();
        match mood {
            Err(status) => refuse(out, status, "", "Unauthorized")?,
            Ok(Mood::Forbidding) if target != REVIEWS => forbid(out, &target)?,
            Ok(Mood::ForbiddingAllBut(kind)) if target != REVIEWS && !is_of(&target, kind) => {
                forbid(out, &target)?
            }
            Ok(Mood::ForbiddingAll) => forbid(out, &target)?,
            Ok(Mood::ForbiddingReviews) if target == REVIEWS => forbid(out, &target)?,
            Ok(Mood::ForbiddingGet) if target != REVIEWS && !target.contains('?') => {
                forbid(out, &target)?
            }
            Ok(Mood::Busy(seconds)) => {
                refuse(
                    out,
                    429,
                    &format!("Retry-After: {seconds}\r\n"),
                    "too many requests",
                )?;
            }
            Ok(Mood::Elsewhere(to)) => refuse(out, 302, &format!("Location: {to}\r\n"), "")?,
            Ok(Mood::Behind) => refuse(out, 504, "", "Too large resource version")?,
            Ok(Mood::Garbage) => answer(out, b"<html>\xff\x00{{{{</html>")?,
            Ok(Mood::Endless) => return endless(out),
            Ok(Mood::Silent) => {
                drop(wait(shared, |world| world.mood != Mood::Silent));
                return Ok(());
            }
            Ok(_) if target == REVIEWS => review(out, &body, shared)?,
            Ok(_) if target.contains("watch=true") => watch(out, &target, shared)?,
            Ok(_) if target.contains('?') => list(out, &target, shared)?,
            Ok(_) => one(out, &target, shared)?,
        }
    }
    Ok(())
}

/// Where it is asked what who asks may do.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Whether what is asked for would be granted.
fn review(out: &mut impl Write, body: &[u8], shared: &Shared) -> io::Result<()> {
    let mut review: Value = serde_json::from_slice(body)?;
    let asked = &review["spec"]["resourceAttributes"];
    let allowed = match &lock(shared).mood {
        Mood::Forbidding => false,
        Mood::ForbiddingAllBut(kind) => asked["resource"] == *kind,
        Mood::ForbiddingGet => asked["verb"] != "get",
        _ => true,
    };
    review["status"] = json!({"allowed": allowed});
    let body = review.to_string();
    let len = body.len();
    write!(
        out,
        "HTTP/1.1 201 Created\r\nContent-Length: {len}\r\n\r\n{body}"
    )?;
    out.flush()
}

/// Target, token and body of the next request.
fn request(stream: &mut impl BufRead) -> io::Result<Option<(String, String, Vec<u8>)>> {
    let (mut target, mut token, mut len) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            let mut body = vec![0; len];
            stream.read_exact(&mut body)?;
            return Ok(Some((target, token, body)));
        }
        if target.is_empty() {
            target = line.split(' ').nth(1).unwrap_or("?").to_owned();
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => token = value.trim_start_matches("Bearer ").to_owned(),
                "content-length" => len = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
}

fn answer(out: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let len = body.len();
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
    out.write_all(body)?;
    out.flush()
}

fn refuse(out: &mut impl Write, status: u16, headers: &str, message: &str) -> io::Result<()> {
    let body = json!({"kind": "Status", "status": "Failure", "code": status, "message": message});
    let body = body.to_string();
    let len = body.len();
    write!(
        out,
        "HTTP/1.1 {status} No\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
    )?;
    out.flush()
}

fn endless(out: &mut impl Write) -> io::Result<()> {
    write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    chunk(
        out,
        b"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"x\":\"",
    )?;
    loop {
        chunk(out, &[b'a'; 64 * 1024])?;
    }
}

fn chunk(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    write!(out, "{:x}\r\n", bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(b"\r\n")?;
    out.flush()
}

/// What a parameter of the query says.
fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    let mut parameters = query.split('&').filter_map(|it| it.split_once('='));
    Some(parameters.find(|(it, _)| *it == name)?.1)
}

/// The namespace that a list or a watch is of, if of one, and the kind.
fn listed(target: &str) -> Option<(Option<&str>, &str)> {
    let path = target.strip_prefix("/api/v1/")?.split_once('?')?.0;
    match path.strip_prefix("namespaces/") {
        Some(within) => within.split_once('/').map(|(it, kind)| (Some(it), kind)),
        None => Some((None, path)),
    }
}

/// Whether a target is a list, or a watch, of this kind.
fn is_of(target: &str, kind: &str) -> bool {
    listed(target).is_some_and(|(_, it)| it == kind)
}

fn forbid(out: &mut impl Write, target: &str) -> io::Result<()> {
    let kind = target.trim_start_matches("/api/v1/").split('?').next();
    let kind = kind.unwrap_or_default();
    let message = format!("{kind} is forbidden: User \"a:b\" cannot list resource \"{kind}\"");
    refuse(out, 403, "", &message)
}

/// As paths call an object's kind; what says none is a pod.
fn kind_of(object: &Value) -> &'static str {
    match object["kind"].as_str() {
        Some("Service") => "services",
        Some("Node") => "nodes",
        _ => "pods",
    }
}

fn is_selected(target: &str, pod: &Value) -> bool {
    let Some((namespace, kind)) = listed(target) else {
        return false;
    };
    let is_within = namespace.is_none_or(|it| pod["metadata"]["namespace"] == it);
    let selector = parameter(target, "fieldSelector").and_then(|it| it.split_once("%3D"));
    let is_it = match selector {
        None => true,
        Some(("spec.nodeName", node)) => pod["spec"]["nodeName"] == node,
        Some(("metadata.name", name)) => pod["metadata"]["name"] == name,
        Some(_) => false,
    };
    kind == kind_of(pod) && is_within && is_it
}

fn list(out: &mut impl Write, target: &str, shared: &Shared) -> io::Result<()> {
    let (version, pods) = {
        let world = lock(shared);
        let pods = world.pods.values().filter(|pod| is_selected(target, pod));
        (world.version, pods.cloned().collect::<Vec<_>>())
    };
    let list = json!({
        "kind": "PodList", "apiVersion": "v1", "items": pods,
        "metadata": {"resourceVersion": version.to_string()},
    });
    answer(out, list.to_string().as_bytes())
}

/// `/api/v1/namespaces/<namespace>/pods/<name>`.
fn one(out: &mut impl Write, target: &str, shared: &Shared) -> io::Result<()> {
    let parts: Vec<&str> = target.split('/').collect();
    let found = match parts[..] {
        [.., "namespaces", namespace, "pods", name] => {
            let world = lock(shared);
            let is_it = |pod: &&Value| {
                let metadata = &pod["metadata"];
                metadata["namespace"] == namespace && metadata["name"] == name
            };
            world.pods.values().find(is_it).cloned()
        }
        _ => None,
    };
    match found {
        Some(pod) => answer(out, pod.to_string().as_bytes()),
        None => refuse(out, 404, "", "not found"),
    }
}

/// Waits until something is so, or a second has passed.
fn wait<'a>(shared: &'a Shared, so: impl Fn(&World) -> bool) -> MutexGuard<'a, World> {
    let waited = shared
        .1
        .wait_timeout_while(lock(shared), Duration::from_secs(1), |world| {
            !so(world) && !world.stopped
        });
    waited.unwrap_or_else(PoisonError::into_inner).0
}

fn watch(out: &mut impl Write, target: &str, shared: &Shared) -> io::Result<()> {
    let from: u64 = parameter(target, "resourceVersion")
        .and_then(|it| it.parse().ok())
        .unwrap_or_default();
    let (mut at, disconnects) = {
        let world = lock(shared);
        if from < world.forgotten {
            drop(world);
            return refuse(out, 410, "", "too old resource version");
        }
        let seen = world
            .events
            .partition_point(|(version, ..)| *version <= from);
        (seen, world.disconnects)
    };
    write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    out.flush()?;
    loop {
        let (events, is_over, is_late) = {
            let is_over = |world: &World| world.disconnects > disconnects;
            let is_late =
                |world: &World| world.forgotten > from && world.forgotten == world.version;
            let world = wait(shared, |world| {
                world.events.len() > at || is_over(world) || is_late(world)
            });
            let events = world.events[at..].to_vec();
            at = world.events.len();
            (events, is_over(&world), is_late(&world))
        };
        for (_, kind, object) in events {
            let line = match (kind, &object) {
                ("", Value::String(line)) => line.clone(),
                ("BOOKMARK", _) => json!({"type": kind, "object": object}).to_string(),
                _ if is_selected(target, &object) => {
                    json!({"type": kind, "object": object}).to_string()
                }
                _ => continue,
            };
            chunk(out, format!("{line}\n").as_bytes())?;
        }
        if is_late {
            let status =
                json!({"kind": "Status", "status": "Failure", "code": 410, "message": "too old"});
            let line = json!({"type": "ERROR", "object": status});
            chunk(out, format!("{line}\n").as_bytes())?;
        }
        if is_over || is_late {
            return chunk(out, b"");
        }
    }
}
