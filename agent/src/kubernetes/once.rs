//! Who asks the API server a few questions and goes, and waits for each answer: `wirespan doctor`.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::access::{Access, NoAccess, SERVICE_ACCOUNT};
use super::client::{ApiClient, AskFailure, Waits};
use super::own_node::{self, NodeSign, OwnNode};
use super::own_pod::OwnPod;
use crate::config::{ApiReach, KubernetesConfig};

/// For an answer to come: who asks waits for it.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody who asks until dropped.
pub struct BriefAsker {
    /// Whom to ask by.
    pub client: ApiClient,
    /// In which the own pod is, if in any.
    pub namespace: Option<String>,
    _stop: watch::Sender<()>,
}

impl BriefAsker {
    /// As `reach` says, with the service account's files in `account`, if not at their usual place.
    ///
    /// # Errors
    /// It can't be asked; why.
    ///
    /// # Panics
    /// On a thread of a runtime.
    pub fn new(reach: &ApiReach, account: Option<PathBuf>) -> Result<Self, String> {
        let account = account.unwrap_or_else(|| SERVICE_ACCOUNT.into());
        let (stop, stopped) = watch::channel(());
        let waits = Waits::new(stopped).map_err(|error| error.to_string())?;
        let access = Access::read(reach, &account).map_err(|NoAccess(why)| why)?;
        let namespace = access.namespace.clone();
        let client = ApiClient::new(access, waits);
        Ok(Self {
            client: client.map_err(|failure| failure.to_string())?,
            namespace,
            _stop: stop,
        })
    }
}

/// What is known of the node that pods are asked for of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeSought {
    /// It is this one, and so many pods are on it.
    Found(OwnNode, usize),
    /// Nothing speaks for any node; what the API server knows instead.
    Unknown(String),
    /// It could not be asked; why.
    NotAsked(String),
}

/// Which node a run would ask for the pods of, found as it would find it; `None` where it would ask
/// nobody, or for those of all nodes. The service account's files are in `account`, if not at their
/// usual place.
///
/// # Panics
/// On a thread of a runtime.
#[must_use]
pub fn own_node(
    config: &KubernetesConfig,
    account: Option<PathBuf>,
    own: &OwnPod,
) -> Option<NodeSought> {
    let reach = config.reach.as_ref().filter(|_| config.local_node_alone)?;
    let once = match BriefAsker::new(reach, account) {
        Ok(once) => once,
        Err(why) => return Some(NodeSought::NotAsked(why)),
    };
    let found = match config.node.clone() {
        Some(name) => Ok(OwnNode {
            name,
            by: NodeSign::Setting,
        }),
        None => own_node::find(&once.client, once.namespace.as_deref(), own),
    };
    let counted = found.and_then(|node| {
        let count = own_node::count(&once.client, &node.name)?;
        Ok((node, count))
    });
    Some(match counted {
        Ok((node, count)) => NodeSought::Found(node, count),
        Err(failure @ AskFailure::NoNode(_)) => NodeSought::Unknown(failure.to_string()),
        Err(failure) => NodeSought::NotAsked(failure.to_string()),
    })
}
