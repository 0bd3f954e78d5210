//! Servers on tonic, and who calls the first of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::{Buf as _, BufMut as _, Bytes};
#[cfg(not(feature = "oldest"))]
use tonic::body::Body;
#[cfg(feature = "oldest")]
use tonic::body::BoxBody as Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::client::Client;
use crate::nap;
use crate::shape::Front;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who serves: the front, or else the back.
#[derive(Clone)]
struct Links(Option<Arc<Front>>);

pub async fn front(port: &str, back: &str, tls: &[&str]) -> Result<()> {
    serve(port, Links(Some(Front::new(Client::new(back)?))), tls).await
}

pub async fn back(port: &str, tls: &[&str]) -> Result<()> {
    serve(port, Links(None), tls).await
}

async fn serve(port: &str, links: Links, tls: &[&str]) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening");
    let mut server = Server::builder();
    if let [certificate, key] = *tls {
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    answer(server, links, incoming(listener)?).await
}

#[cfg(not(feature = "oldest"))]
async fn answer(server: Server, links: Links, incoming: TcpIncoming) -> Result<()> {
    Ok(server.serve_with_incoming(links, incoming).await?)
}

/// By way of axum, which is how tonic finds services that have a name.
#[cfg(feature = "oldest")]
async fn answer(mut server: Server, links: Links, incoming: TcpIncoming) -> Result<()> {
    let answer = move |request: axum::extract::Request| {
        let mut links = links.clone();
        async move {
            let answered = links.call(request.map(tonic::body::boxed)).await;
            answered.unwrap_or_else(|never| match never {})
        }
    };
    let routes = tonic::service::Routes::from(axum::Router::new().fallback(answer));
    Ok(server
        .add_routes(routes)
        .serve_with_incoming(incoming)
        .await?)
}

#[cfg(not(feature = "oldest"))]
fn incoming(listener: tokio::net::TcpListener) -> Result<TcpIncoming> {
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}

#[cfg(feature = "oldest")]
fn incoming(listener: tokio::net::TcpListener) -> Result<TcpIncoming> {
    TcpIncoming::from_listener(listener, true, None).map_err(|error| anyhow::anyhow!(error))
}

impl Service<::http::Request<Body>> for Links {
    type Response = ::http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ::http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let method = Method(self.clone(), path);
        Box::pin(async move { Ok(Grpc::new(Raw).unary(method, request).await) })
    }
}

/// A method of somebody's.
struct Method(Links, String);

impl UnaryService<Bytes> for Method {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let Self(Links(front), path) = self;
        let (front, path) = (front.clone(), path.clone());
        Box::pin(async move {
            let Some(front) = front else {
                nap(Duration::from_millis(8)).await;
                return Ok(Response::new(request.into_inner()));
            };
            let (service, shape) = path[1..].split_once('/').unwrap_or_default();
            let id = service.split('.').next().unwrap_or_default();
            match front.serve(id, shape).await {
                true => Ok(Response::new(request.into_inner())),
                false => Err(Status::unimplemented("no such shape")),
            }
        })
    }
}

/// So many calls, so many at once.
pub async fn drive(front: &str, shape: &str, calls: u64, at_once: u64) -> Result<()> {
    let client = Client::grpc(front)?;
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (client, next, shape) = (client.clone(), next.clone(), shape.to_owned());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= calls {
                    return;
                }
                client.call(&format!("r{number}"), &shape).await;
            }
        });
    }
    workers.join_all().await;
    println!("driven");
    Ok(())
}

/// Messages as they are.
#[derive(Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
