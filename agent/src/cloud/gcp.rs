//! Google's Compute Engine. Source: Compute Engine, "Predefined metadata keys".

use super::ask::{MetadataClient, NotTold};
use super::{CloudAttributes, collect};
use crate::semconv;

/// It answers nobody who does not say this.
const HEADER: (&str, &str) = ("metadata-flavor", "Google");

/// What it says of the host.
pub async fn attributes(
    asker: &MetadataClient<'_>,
    is_node: bool,
) -> Result<CloudAttributes, NotTold> {
    let told = async |name: &str| {
        let path = format!("/computeMetadata/v1/{name}");
        asker.optional(&path, HEADER).await
    };
    // There is none without.
    let project = told("project/project-id").await?;
    let project = project.ok_or(NotTold::Garbage)?;
    let id = told("instance/id").await?;
    let machine = told("instance/machine-type").await?;
    let zone = told("instance/zone").await?;
    let cluster = if is_node {
        told("instance/attributes/cluster-name").await?
    } else {
        None
    };
    // Such as projects/123/zones/europe-west1-b.
    let last = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let zone = zone.map(last);
    let region = zone.as_deref().and_then(|zone| zone.rsplit_once('-'));
    let region = region.map(|(region, _)| region.to_owned());
    let platform = if cluster.is_some() {
        "gcp_kubernetes_engine"
    } else {
        "gcp_compute_engine"
    };
    Ok(collect([
        (semconv::CLOUD_PROVIDER, Some("gcp".to_owned())),
        (semconv::CLOUD_PLATFORM, Some(platform.to_owned())),
        (semconv::CLOUD_ACCOUNT_ID, Some(project)),
        (semconv::CLOUD_REGION, region),
        (semconv::CLOUD_AVAILABILITY_ZONE, zone),
        (semconv::HOST_ID, id),
        (semconv::HOST_TYPE, machine.map(last)),
        (semconv::K8S_CLUSTER_NAME, cluster),
    ]))
}
