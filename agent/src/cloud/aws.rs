//! Amazon's EC2. Source: EC2 user guide, "Instance identity documents" and "Use the Instance
//! Metadata Service" (its second version, by a token).

use http::Method;
use serde::Deserialize;

use super::ask::{MetadataClient, NotTold};
use super::{CloudAttributes, collect};
use crate::semconv;

/// For how many seconds the token is good.
const TOKEN_HEADER: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "60");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityDocument {
    account_id: Option<String>,
    region: Option<String>,
    availability_zone: Option<String>,
    instance_id: Option<String>,
    instance_type: Option<String>,
    image_id: Option<String>,
}

/// What it says of the host. A token that allows no hop more than its host's is not answered to a
/// pod with a network of its own: that is for whoever runs the instance to allow.
pub async fn attributes(
    asker: &MetadataClient<'_>,
    is_node: bool,
) -> Result<CloudAttributes, NotTold> {
    let token = asker.text(Method::PUT, "/latest/api/token", TOKEN_HEADER);
    let token = token.await?;
    let document = "/latest/dynamic/instance-identity/document";
    let header = ("x-aws-ec2-metadata-token", token.as_str());
    let document = asker.text(Method::GET, document, header).await?;
    let identity: IdentityDocument =
        serde_json::from_str(&document).map_err(|_| NotTold::Garbage)?;
    let platform = if is_node { "aws_eks" } else { "aws_ec2" };
    Ok(collect([
        (semconv::CLOUD_PROVIDER, Some("aws".to_owned())),
        (semconv::CLOUD_PLATFORM, Some(platform.to_owned())),
        (semconv::CLOUD_ACCOUNT_ID, identity.account_id),
        (semconv::CLOUD_REGION, identity.region),
        (semconv::CLOUD_AVAILABILITY_ZONE, identity.availability_zone),
        (semconv::HOST_ID, identity.instance_id),
        (semconv::HOST_TYPE, identity.instance_type),
        (semconv::HOST_IMAGE_ID, identity.image_id),
    ]))
}
