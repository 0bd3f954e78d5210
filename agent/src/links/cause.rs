//! The request that something is done for, and how sure that is. It finds none.

use super::NodeId;
use super::go::Goroutine;
use super::nodes::Nodes;

/// A request for which something is done.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which.
    pub cause: Cause,
    /// If this goroutine ends without serving anybody else, or task does not do so; of Node, if
    /// nothing is asked with this number after the request's end.
    pub doubt: Option<Goroutine>,
    /// The task of tokio that wants it, which was made for the request, in its process. What it
    /// serves is looked at when it is done.
    pub by: Option<Goroutine>,
}

/// Which request it is that something is done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This one.
    Node(NodeId),
    /// The one that this task of tokio, by its process, will answer.
    Handler((u32, u64)),
}

impl Cause {
    /// A task was made for it.
    pub(super) fn may_be_outlived(self, nodes: &mut Nodes) {
        if let Self::Node(node) = self
            && let Some(node) = nodes.get_mut(node)
        {
            node.may_be_outlived = true;
        }
    }
}

impl Request {
    /// Nothing speaks against it.
    pub(super) fn certain(node: NodeId) -> Self {
        Self {
            cause: Cause::Node(node),
            doubt: None,
            by: None,
        }
    }
}
