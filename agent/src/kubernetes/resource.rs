//! What the API server is asked for: a kind of object, how one is read, and what is lacking without
//! it. How it is listed and watched is the same for all.

use std::sync::Arc;

use super::addressed::{self, Addressed};
use super::pod::Pod;
use super::wire::{self, Versioned};

/// What is heard of objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceNews<T> {
    /// It is like this now.
    Is(T),
    /// The one with this uid is no more.
    Gone(Box<str>),
    /// These are all that there are.
    All(Vec<T>),
    /// Nothing more is to be expected, as nobody may tell.
    Silence,
}

/// What is heard of pods.
pub type PodNews = ResourceNews<Arc<Pod>>;

/// A kind of object.
pub trait ApiResource: Send + 'static {
    /// As far as it is kept.
    type Object: Send;

    /// As paths and rules call it.
    const NAME: &'static str;
    /// What is without it.
    const LACKING: &'static str;
    /// Only those of one node are asked for, if that is said.
    const IS_OF_NODE: bool = false;
    /// Somebody waits for it.
    const IS_AWAITED: bool = false;

    /// One as it is written; `None` if it is none.
    fn read(json: &str) -> Option<Versioned<Self::Object>>;

    /// `metadata.uid`.
    fn uid(object: &Self::Object) -> &str;

    /// Whether it is on a node, whatever was asked for. What is of no node is on each.
    fn is_on(_object: &Self::Object, _node: &str) -> bool {
        true
    }
}

/// What is said of a kind of object, whichever it is.
#[derive(Clone, Copy, Debug)]
pub struct ResourceKind {
    /// [`ApiResource::NAME`]
    pub name: &'static str,
    /// [`ApiResource::LACKING`]
    pub lacking: &'static str,
    /// [`ApiResource::IS_OF_NODE`]
    pub is_of_node: bool,
    /// [`ApiResource::IS_AWAITED`]
    pub is_awaited: bool,
}

impl ResourceKind {
    /// Of this one.
    pub const fn of<R: ApiResource>() -> Self {
        Self {
            name: R::NAME,
            lacking: R::LACKING,
            is_of_node: R::IS_OF_NODE,
            is_awaited: R::IS_AWAITED,
        }
    }
}

/// `pods`.
#[derive(Debug)]
pub struct PodResource;

impl ApiResource for PodResource {
    type Object = Arc<Pod>;

    const NAME: &'static str = "pods";
    const LACKING: &'static str = "spans lack their pods";
    const IS_OF_NODE: bool = true;
    const IS_AWAITED: bool = true;

    fn read(json: &str) -> Option<Versioned<Self::Object>> {
        wire::pod(json)
    }

    fn uid(pod: &Arc<Pod>) -> &str {
        &pod.uid
    }

    fn is_on(pod: &Arc<Pod>, node: &str) -> bool {
        pod.node_name == node
    }
}

/// `services`.
#[derive(Debug)]
pub struct ServiceResource;

impl ApiResource for ServiceResource {
    type Object = Addressed;

    const NAME: &'static str = "services";
    const LACKING: &'static str = "spans lack the names of services that they call";

    fn read(json: &str) -> Option<Versioned<Addressed>> {
        addressed::service(json)
    }

    fn uid(service: &Addressed) -> &str {
        &service.uid
    }
}

/// `nodes`.
#[derive(Debug)]
pub struct NodeResource;

impl ApiResource for NodeResource {
    type Object = Addressed;

    const NAME: &'static str = "nodes";
    const LACKING: &'static str = "spans lack the names of nodes that they speak with";

    fn read(json: &str) -> Option<Versioned<Addressed>> {
        addressed::node(json)
    }

    fn uid(node: &Addressed) -> &str {
        &node.uid
    }
}
