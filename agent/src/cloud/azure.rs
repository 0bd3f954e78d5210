//! Microsoft's Azure. Source: "Azure Instance Metadata Service", category `instance/compute`.

use http::Method;
use serde::Deserialize;

use super::ask::{MetadataClient, NotTold};
use super::{CloudAttributes, collect};
use crate::semconv;

/// It answers nobody who does not say this.
const HEADER: (&str, &str) = ("metadata", "true");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compute {
    location: Option<String>,
    resource_group_name: Option<String>,
    resource_id: Option<String>,
    subscription_id: Option<String>,
    vm_id: Option<String>,
    vm_size: Option<String>,
    zone: Option<String>,
}

/// What it says of the host.
pub async fn attributes(
    asker: &MetadataClient<'_>,
    is_node: bool,
) -> Result<CloudAttributes, NotTold> {
    let path = "/metadata/instance/compute?api-version=2021-12-13&format=json";
    let compute = asker.text(Method::GET, path, HEADER).await?;
    let compute: Compute = serde_json::from_str(&compute).map_err(|_| NotTold::Garbage)?;
    let group = compute.resource_group_name.as_deref().unwrap_or_default();
    let cluster = is_node.then(|| cluster_of(group)).flatten();
    let platform = if is_node { "azure.aks" } else { "azure.vm" };
    Ok(collect([
        (semconv::CLOUD_PROVIDER, Some("azure".to_owned())),
        (semconv::CLOUD_PLATFORM, Some(platform.to_owned())),
        (semconv::CLOUD_ACCOUNT_ID, compute.subscription_id),
        (semconv::CLOUD_REGION, compute.location),
        (semconv::CLOUD_AVAILABILITY_ZONE, compute.zone),
        (semconv::CLOUD_RESOURCE_ID, compute.resource_id),
        (semconv::HOST_ID, compute.vm_id),
        (semconv::HOST_TYPE, compute.vm_size),
        (semconv::K8S_CLUSTER_NAME, cluster),
    ]))
}

/// AKS puts nodes into `MC_<group>_<cluster>_<region>`; with an underscore in group or cluster it
/// does not say where one ends, and no name is better than half of one.
fn cluster_of(group: &str) -> Option<String> {
    let mut parts = group.split('_');
    let is_made_by_aks = parts.next()?.eq_ignore_ascii_case("MC");
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(cluster), Some(_), None) if is_made_by_aks => Some(cluster.to_owned()),
        _ => None,
    }
}
