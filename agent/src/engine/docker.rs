//! Docker's Engine API, `GET /containers/{id}/json`, over HTTP on a Unix socket. Without a version
//! in the path the engine answers by its own, and both fields are as old as the API. podman serves
//! the same.

use std::path::Path;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Labelled, Silence};

/// Longest answer, in bytes: labels and mounts of a container may be many.
const ANSWER_MAX: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    name: String,
    config: Option<ContainerConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerConfig {
    #[serde(default)]
    image: String,
}

pub(super) async fn labelled(socket: &Path, id: &str) -> Result<Labelled, Silence> {
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| Silence::of(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Silence::Away)?;
    // It ends with the runtime that it is spawned on.
    tokio::spawn(connection);
    let request = Request::builder()
        .uri(format!("/containers/{id}/json"))
        .header("host", "localhost")
        .header("user-agent", crate::own::ASKING_USER_AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|_| Silence::Unknown)?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|_| Silence::Away)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Silence::Unknown),
        _ => return Err(Silence::Away),
    }
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|_| Silence::Away)?.to_bytes();
    let inspected: Inspected = serde_json::from_slice(&body).map_err(|_| Silence::Away)?;
    let name = inspected.name.strip_prefix('/').unwrap_or(&inspected.name);
    Ok(Labelled {
        name: name.to_owned(),
        image: inspected.config.map_or_else(String::new, |it| it.image),
    })
}
