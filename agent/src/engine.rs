//! What a container engine of this machine says of its containers: their names and images. It asks
//! only where an engine's socket lies, which in a container is one that somebody mounted there;
//! never of a container of Kubernetes, whose API server says more; and of each container once.

mod containerd;
mod docker;

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::visible::Visible;

/// For one question to one engine.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long an engine that failed is not asked again.
const PAUSE: Duration = Duration::from_secs(30);
/// Containers that are remembered; when there are more, remembering starts again.
const CONTAINERS_MAX: usize = 1024;
/// Longest name and image that is taken over, in bytes.
const TEXT_MAX: usize = 512;

/// What an engine calls a container, and what it was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Its name, without Docker's slash before it. Empty where it has none.
    pub name: String,
    /// Its image, as whoever started it wrote it. Empty where that is not known.
    pub image: String,
}

/// How an engine is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Docker's Engine API, which podman has too.
    Docker,
    /// containerd's own services, over gRPC.
    Containerd,
}

/// Where engines listen, below the root of the host's files.
const SOCKETS: [(&str, Dialect); 3] = [
    ("run/docker.sock", Dialect::Docker),
    ("run/podman/podman.sock", Dialect::Docker),
    ("run/containerd/containerd.sock", Dialect::Containerd),
];

/// Why an engine said nothing.
#[derive(Debug)]
enum Silence {
    /// It has no such container.
    Unknown,
    /// It can't be asked now.
    Away,
    /// Its socket is not for who runs wirespan.
    Refused,
}

impl Silence {
    /// Of what kept a connection from coming about.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let of_system = error.downcast_ref::<io::Error>();
            if of_system.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied) {
                return Self::Refused;
            }
            cause = error.source();
        }
        Self::Away
    }
}

/// Asks engines. Clones share what they remember.
#[derive(Clone)]
pub struct Engines {
    sockets: Arc<[(PathBuf, Dialect)]>,
    known: Arc<Mutex<EngineMemory>>,
}

#[derive(Default)]
struct EngineMemory {
    containers: HashMap<String, Option<Labelled>>,
    /// When an engine may be asked again, by its socket.
    paused: HashMap<PathBuf, Instant>,
    /// Sockets of which the log says that they are refused.
    refused: HashSet<PathBuf>,
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sockets.iter()).finish()
    }
}

impl Engines {
    /// Those whose sockets lie below a directory, which is `/` but for tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let sockets = SOCKETS.map(|(path, dialect)| (root.join(path), dialect));
        Self {
            sockets: sockets.into(),
            known: Arc::default(),
        }
    }

    /// What is said of the container with this id, if any engine knows it. It waits for engines, at
    /// most half a second for each.
    #[must_use]
    pub fn labelled(&self, id: &str) -> Option<Labelled> {
        if let Some(known) = self.known().containers.get(id) {
            return known.clone();
        }
        let mut is_certain = true;
        let mut found = None;
        for (socket, dialect) in self.sockets.iter() {
            if !socket.exists() {
                continue;
            }
            let now = Instant::now();
            if self
                .known()
                .paused
                .get(socket)
                .is_some_and(|until| now < *until)
            {
                is_certain = false;
                continue;
            }
            match ask(socket, *dialect, id) {
                Ok(labelled) => {
                    found = Some(labelled);
                    break;
                }
                Err(Silence::Unknown) => {}
                Err(silence) => {
                    is_certain = false;
                    let until = Instant::now() + PAUSE;
                    self.known().paused.insert(socket.clone(), until);
                    if matches!(silence, Silence::Refused) {
                        self.refused_by(socket);
                    }
                }
            }
        }
        if is_certain || found.is_some() {
            let mut known = self.known();
            if known.containers.len() >= CONTAINERS_MAX {
                known.containers.clear();
            }
            known.containers.insert(id.to_owned(), found.clone());
        }
        found
    }

    /// One line for each socket.
    fn refused_by(&self, socket: &Path) {
        if self.known().refused.insert(socket.to_owned()) {
            log::warn!(
                "{} is not for the user that wirespan runs as: its containers are told without \
                 name and image. Let that user be of the socket's group, or let nobody be asked \
                 (WIRESPAN_CONTAINER_ENGINES=false)",
                Visible(socket.display())
            );
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, EngineMemory> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question, on a runtime of its own: it is rare, and nothing of it is to last.
fn ask(socket: &Path, dialect: Dialect, id: &str) -> Result<Labelled, Silence> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime: Runtime = builder.enable_all().build().map_err(|_| Silence::Away)?;
    let asked = async {
        let answer = async {
            match dialect {
                Dialect::Docker => docker::labelled(socket, id).await,
                Dialect::Containerd => containerd::labelled(socket, id).await,
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.unwrap_or(Err(Silence::Away))
    };
    let labelled = runtime.block_on(asked)?;
    Ok(Labelled {
        name: bounded(labelled.name),
        image: bounded(labelled.image),
    })
}

/// What is longer is no name.
fn bounded(text: String) -> String {
    if text.len() > TEXT_MAX {
        String::new()
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
