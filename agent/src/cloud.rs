//! In which cloud the host is, and what that calls it: told by the cloud's metadata service, once,
//! by a task of its own that nobody waits for.
//!
//! Nothing is asked unless the host's firmware names the cloud: elsewhere the address of such a
//! service is anybody's. It is asked for single values, never for all it has, which holds secrets.
//!
//! Source: OpenTelemetry, semantic conventions 1.45, "Cloud" and "Host".

mod ask;
mod aws;
mod azure;
mod firmware;
mod gcp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::visible::Visible;
use ask::{MetadataClient, NotTold};

/// Attributes of the host's spans, by name.
pub type CloudAttributes = BTreeMap<String, String>;

/// Address of the metadata service in all three clouds (link-local, RFC 3927).
const SERVICE: &str = "http://169.254.169.254";

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cloud whose metadata service is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon's EC2.
    Aws,
    /// Google's Compute Engine.
    Gcp,
    /// Microsoft's Azure.
    Azure,
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct CloudSetup {
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// The metadata service, as a URL without a path.
    pub service: String,
    /// wirespan runs in a pod, so that the host is a node of a cluster.
    pub is_node: bool,
}

impl CloudSetup {
    /// The host's own.
    #[must_use]
    pub fn of_host(is_node: bool) -> Self {
        Self {
            sys: PathBuf::from("/sys"),
            service: SERVICE.to_owned(),
            is_node,
        }
    }
}

/// Finds out what a cloud says of the host. Empty outside of a cloud, and where it does not answer,
/// which is a line in the log: whoever looks for an attribute that is missing finds out why.
pub async fn attributes(setup: &CloudSetup) -> CloudAttributes {
    let Some(cloud) = firmware::cloud(&setup.sys) else {
        return CloudAttributes::new();
    };
    let asker = MetadataClient::new(&setup.service);
    let asked = async {
        match cloud {
            Cloud::Aws => aws::attributes(&asker, setup.is_node).await,
            Cloud::Gcp => gcp::attributes(&asker, setup.is_node).await,
            Cloud::Azure => azure::attributes(&asker, setup.is_node).await,
        }
    };
    let told = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(told) => told,
        Err(_) => Err(NotTold::Late),
    };
    told.unwrap_or_else(|why| {
        let why = why.to_string();
        log::warn!(
            "no cloud attributes: the metadata service of {cloud:?} {}",
            Visible(&why)
        );
        CloudAttributes::new()
    })
}

/// What was told, without what is empty.
fn collect<const N: usize>(told: [(&str, Option<String>); N]) -> CloudAttributes {
    let told = told.into_iter();
    told.filter_map(|(name, value)| Some((name.to_owned(), value.filter(|it| !it.is_empty())?)))
        .collect()
}

#[cfg(test)]
mod tests;
