//! A gRPC server on tonic that tells the truth: `tonic-server PORT [CERTIFICATE KEY]`, see
//! `workloads/grpc/shapes.proto`. A call whose client went away is told as CANCELLED.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};
use wirespan_tests::shapes::{Raw, SERVICE, SHAPES, Words, tell};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let port: u16 = arguments.first().context("PORT")?.parse()?;
    let mut server = Server::builder();
    if let [_, certificate, key] = arguments.as_slice() {
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    println!("listening");
    server.serve_with_incoming(Shapes, incoming).await?;
    Ok(())
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Replies = ReceiverStream<Result<Bytes, Status>>;

#[derive(Clone)]
struct Shapes;

impl Service<http::Request<Body>> for Shapes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            let path = path.trim_start_matches('/');
            if path == "grpc.health.v1.Health/Check" {
                return Ok(grpc.unary(Health, request).await);
            }
            if path.strip_prefix(SERVICE) == Some("/Quiet") {
                return Ok(grpc.unary(Quiet, request).await);
            }
            let shape = SHAPES
                .into_iter()
                .find(|shape| path.strip_prefix(SERVICE) == Some(&format!("/{shape}")));
            Ok(match shape {
                Some("Unary") => grpc.unary(Unary, request).await,
                Some(shape) => grpc.streaming(Stream(shape), request).await,
                None => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A call; tells itself when it is over, which a client that goes away can bring about anywhere.
struct Call {
    rpc: String,
    plan: Words,
    requests: u64,
    responses: u64,
    code: Code,
}

impl Call {
    fn new(shape: &str) -> Self {
        Self {
            rpc: format!("{SERVICE}/{shape}"),
            plan: Words::default(),
            requests: 0,
            responses: 0,
            code: Code::Cancelled,
        }
    }

    fn read(&mut self, message: &Bytes) {
        if self.requests == 0 {
            self.plan = Words::of(&String::from_utf8_lossy(message));
        }
        self.requests += 1;
    }

    fn reply(&self) -> Bytes {
        Bytes::from(vec![b'x'; self.plan.number("reply", 10) as usize])
    }

    /// Waits as long as asked, and ends as asked.
    async fn end(&mut self) -> Result<(), Status> {
        let delay = self.plan.number("delay", 0);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let code = i32::try_from(self.plan.number("code", 0)).unwrap_or_default();
        self.code = Code::from_i32(code);
        match self.code {
            Code::Ok => Ok(()),
            code => Err(Status::new(code, "as told")),
        }
    }

    /// Ends with the one message that this shape has.
    async fn end_with_reply(&mut self) -> Result<Bytes, Status> {
        self.end().await?;
        self.responses = 1;
        Ok(self.reply())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        tell(&self.rpc, self.code, self.requests, self.responses);
    }
}

struct Health;

impl UnaryService<Bytes> for Health {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        tell("grpc.health.v1.Health/Check", Code::Ok, 1, 1);
        Box::pin(async { Ok(Response::new(Bytes::from_static(&[8, 1]))) })
    }
}

/// Unary without the telling, for measuring.
struct Quiet;

impl UnaryService<Bytes> for Quiet {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(Bytes::from_static(&[b'x'; 100]))))
    }
}

struct Unary;

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let mut call = Call::new("Unary");
        call.read(request.get_ref());
        Box::pin(async move { call.end_with_reply().await.map(Response::new) })
    }
}

struct Stream(&'static str);

impl StreamingService<Bytes> for Stream {
    type Response = Bytes;
    type ResponseStream = Replies;
    type Future = Answer<Result<Response<Replies>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let shape = self.0;
        Box::pin(async move {
            let mut call = Call::new(shape);
            let mut messages = request.into_inner();
            let (replies, receiver) = mpsc::channel(1);
            if shape == "Bidi" {
                tokio::spawn(async move {
                    let until = replies.clone();
                    tokio::select! {
                        () = echo(&mut call, &mut messages, &replies) => {}
                        () = until.closed() => {}
                    }
                });
                return Ok(Response::new(ReceiverStream::new(receiver)));
            }
            while let Some(message) = messages.message().await? {
                call.read(&message);
            }
            if shape == "ClientStream" {
                let reply = call.end_with_reply().await?;
                let _ = replies.send(Ok(reply)).await;
            } else if call.plan.number("count", 1) == 0 {
                call.end().await?;
            } else {
                tokio::spawn(async move {
                    let until = replies.clone();
                    tokio::select! {
                        () = count(&mut call, &replies) => {}
                        () = until.closed() => {}
                    }
                });
            }
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}

async fn echo(
    call: &mut Call,
    messages: &mut Streaming<Bytes>,
    replies: &mpsc::Sender<Result<Bytes, Status>>,
) {
    while let Ok(Some(message)) = messages.message().await {
        call.read(&message);
        call.responses += 1;
        if replies.send(Ok(call.reply())).await.is_err() {
            return;
        }
    }
    if let Err(status) = call.end().await {
        let _ = replies.send(Err(status)).await;
    }
}

async fn count(call: &mut Call, replies: &mpsc::Sender<Result<Bytes, Status>>) {
    for _ in 0..call.plan.number("count", 1) {
        call.responses += 1;
        if replies.send(Ok(call.reply())).await.is_err() {
            return;
        }
    }
    if let Err(status) = call.end().await {
        let _ = replies.send(Err(status)).await;
    }
}
