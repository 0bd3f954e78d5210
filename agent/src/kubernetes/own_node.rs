//! Which node wirespan is on, where nobody says so: the one that its own pod is on, found by lists
//! alone, as whoever may list pods may not get one. A name is taken only if something speaks for
//! it, for with another node's, or none's, no pod would ever be known.

use std::fmt;
use std::sync::Arc;

use super::client::{ApiClient, AskFailure, PATIENCE};
use super::own_pod::OwnPod;
use super::pod::Pod;
use super::stream;
use super::watch::{escaped, garbage, on_node};
use super::wire;
use crate::visible::Visible;

/// A node, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// As the API server calls it.
    pub name: String,
    /// How it is known.
    pub by: NodeSign,
}

/// How it is known which node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeSign {
    /// The settings say so.
    Setting,
    /// wirespan's own pod, which has the name that the machine calls itself, is on it.
    PodName,
    /// wirespan's own pod, which has its uid or its container, is on it.
    PodMark,
    /// The machine calls itself so, and pods are on a node of that name.
    HostName,
}

impl fmt::Display for NodeSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setting => "NODE_NAME says so",
            Self::PodName => "wirespan's own pod is on it, by its name",
            Self::PodMark => "wirespan's own pod is on it, by its uid or container",
            Self::HostName => "the machine calls itself so, and it has pods",
        })
    }
}

/// Asks for the node of `own`, which is in `namespace`, if in a pod at all.
///
/// # Errors
/// It can't be asked; or nothing speaks for any node ([`AskFailure::NoNode`]).
pub fn find(
    client: &ApiClient,
    namespace: Option<&str>,
    own: &OwnPod,
) -> Result<OwnNode, AskFailure> {
    let host = &own.host_name;
    let within = namespace.map(|it| format!("namespaces/{}/", escaped(it)));
    if let Some(within) = &within {
        let named = format!(
            "{within}pods?fieldSelector=metadata.name%3D{}",
            escaped(host)
        );
        let is_it = |pod: &Pod| pod.name == *host && own.is(pod) != Some(false);
        if let Some(found) = search(client, &named, is_it)?.on(NodeSign::PodName) {
            return Ok(found);
        }
    }
    // A pod in its node's network has the node's name.
    let of_host = search(client, &pods_on(host), |pod| {
        pod.node_name == *host && own.is(pod) == Some(true)
    })?;
    let has_pods = of_host.count > 0;
    if let Some(found) = of_host.on(NodeSign::PodMark) {
        return Ok(found);
    }
    if let Some(within) = within.filter(|_| own.is_marked()) {
        let is_own = |pod: &Pod| own.is(pod) == Some(true);
        let all = search(client, &format!("{within}pods?"), is_own)?;
        if let Some(found) = all.on(NodeSign::PodMark) {
            return Ok(found);
        }
    }
    if has_pods {
        return Ok(OwnNode {
            name: host.clone(),
            by: NodeSign::HostName,
        });
    }
    Err(AskFailure::NoNode(host.clone()))
}

/// How many pods are on a node, as the API server has them at hand.
///
/// # Errors
/// It can't be asked.
pub fn count(client: &ApiClient, node: &str) -> Result<usize, AskFailure> {
    Ok(search(client, &pods_on(node), |_| false)?.count)
}

/// All pods of a node, as [`search`] takes it.
fn pods_on(node: &str) -> String {
    format!("pods?{}", on_node(node))
}

/// What came of a list.
struct Searched {
    found: Option<Arc<Pod>>,
    count: usize,
}

impl Searched {
    fn on(self, by: NodeSign) -> Option<OwnNode> {
        let name = self.found?.node_name.clone();
        Some(OwnNode { name, by })
    }
}

/// Looks through the pods of a list, whichever is at hand, for one that has a node.
fn search(
    client: &ApiClient,
    of: &str,
    is_it: impl Fn(&Pod) -> bool,
) -> Result<Searched, AskFailure> {
    let and = if of.ends_with('?') { "" } else { "&" };
    let path = format!("/api/v1/{of}{and}resourceVersion=0");
    let answer = client.get(&path, PATIENCE)?;
    let (mut found, mut count) = (None, 0);
    let listed = stream::list(answer, |json| {
        let Some(told) = wire::pod(json) else { return };
        count += 1;
        if !told.object.node_name.is_empty() && is_it(&told.object) {
            found = Some(told.object);
        }
    });
    listed.map_err(garbage)?;
    Ok(Searched { found, count })
}

/// As the log has it.
pub fn say(node: &OwnNode) {
    log::info!("this node is {}: {}", Visible(&node.name), node.by);
}
