//! containerd's `containerd.services.containers.v1.Containers/Get`, over gRPC on a Unix socket.
//! Source: containerd, `api/services/containers/v1/containers.proto`.

use std::collections::HashMap;
use std::path::Path;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::{Labelled, Silence};

/// Longest answer, in bytes: a container's specification of its process is in it.
const ANSWER_MAX: usize = 4 << 20;

/// Who has containers: nerdctl and ctr, and Docker, which leaves the name out.
const NAMESPACES: [&str; 2] = ["default", "moby"];

/// Where nerdctl writes the name.
const NAME_LABEL: &str = "nerdctl/name";

#[derive(Clone, PartialEq, prost::Message)]
struct GetContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

/// `Container`, but for what nothing here reads.
#[derive(Clone, PartialEq, prost::Message)]
struct ContainerRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
}

pub(super) async fn labelled(socket: &Path, id: &str) -> Result<Labelled, Silence> {
    let socket = socket.to_str().ok_or(Silence::Away)?;
    let endpoint = Endpoint::from_shared(format!("unix://{socket}"));
    let channel = endpoint.map_err(|_| Silence::Away)?.connect().await;
    let mut client = Grpc::new(channel.map_err(|error| Silence::of(&error))?);
    client = client.max_decoding_message_size(ANSWER_MAX);
    for namespace in NAMESPACES {
        match get(&mut client, namespace, id).await {
            Ok(mut container) => {
                return Ok(Labelled {
                    name: container.labels.remove(NAME_LABEL).unwrap_or_default(),
                    image: container.image,
                });
            }
            Err(Code::NotFound) => {}
            Err(_) => return Err(Silence::Away),
        }
    }
    Err(Silence::Unknown)
}

async fn get(
    client: &mut Grpc<Channel>,
    namespace: &'static str,
    id: &str,
) -> Result<ContainerRecord, Code> {
    client.ready().await.map_err(|_| Code::Unavailable)?;
    let mut request = Request::new(GetContainerRequest { id: id.to_owned() });
    let of_namespace = MetadataValue::from_static(namespace);
    request
        .metadata_mut()
        .insert("containerd-namespace", of_namespace);
    let path = PathAndQuery::from_static("/containerd.services.containers.v1.Containers/Get");
    let codec = ProstCodec::<GetContainerRequest, GetContainerResponse>::default();
    let answer = client.unary(request, path, codec).await;
    let answer = answer.map_err(|status| status.code())?;
    answer.into_inner().container.ok_or(Code::NotFound)
}
