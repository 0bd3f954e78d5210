//! A client and a server of the `h2` crate, and the bytes that they exchange.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::wire::Said;

/// What a client asks, and the server's answer to it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub body: Vec<u8>,
    pub call: bool,
    pub answer: Answer,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// `grpc-status`.
    pub trailers: Option<u32>,
    /// Instead of all that.
    pub reset: Option<u32>,
}

impl Ask {
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            body: Vec::new(),
            call: false,
            answer: Answer {
                status: 200,
                body: b"hello".to_vec(),
                trailers: None,
                reset: None,
            },
        }
    }
}

type Log = Arc<Mutex<Vec<Said>>>;

/// One end of the connection, with an ear at what it writes.
struct Tapped {
    inner: DuplexStream,
    is_client: bool,
    log: Log,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buf)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, buf);
        if let Poll::Ready(Ok(len)) = written {
            self.log.lock().unwrap().push(Said {
                is_request: self.is_client,
                bytes: buf[..len].to_vec(),
                missed: 0,
            });
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Eight calls at a time, in the order given.
pub fn overhear(asks: &[Ask]) -> Vec<Said> {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let tap = |inner, is_client| Tapped {
            inner,
            is_client,
            log: Arc::clone(&log),
        };
        let served = serve(tap(server, false), asks.to_vec());
        let serving = tokio::spawn(served);
        call(tap(client, true), asks).await;
        serving.await.unwrap();
    });
    std::mem::take(&mut *log.lock().unwrap())
}

async fn serve(io: Tapped, asks: Vec<Ask>) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let Ok((request, mut respond)) = accepted else { break };
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        let ask = asks.iter().find(|ask| ask.path == path).unwrap().clone();
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(bytes)) = body.data().await {
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            let answer = ask.answer;
            if let Some(code) = answer.reset {
                respond.send_reset(code.into());
                return;
            }
            let mut response = http::Response::builder().status(answer.status);
            if ask.call {
                response = response.header("content-type", "application/grpc");
            }
            let ends = answer.body.is_empty() && answer.trailers.is_none();
            let mut send = respond.send_response(response.body(()).unwrap(), ends).unwrap();
            if ends {
                return;
            }
            send.send_data(Bytes::from(answer.body), answer.trailers.is_none()).unwrap();
            if let Some(status) = answer.trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.into());
                send.send_trailers(trailers).unwrap();
            }
        });
    }
}

async fn call(io: Tapped, asks: &[Ask]) {
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client;
    for group in asks.chunks(8) {
        let mut waiting = Vec::new();
        for ask in group {
            let mut request = http::Request::builder()
                .method(ask.method)
                .uri(format!("http://shop.example{}", ask.path))
                .header("user-agent", "peers/1");
            if ask.call {
                request = request
                    .header("content-type", "application/grpc")
                    .header("te", "trailers");
            }
            client = client.ready().await.unwrap();
            let ends = ask.body.is_empty();
            let (response, mut send) = client
                .send_request(request.body(()).unwrap(), ends)
                .unwrap();
            if !ends {
                send.send_data(Bytes::from(ask.body.clone()), true).unwrap();
            }
            waiting.push(response);
        }
        for response in waiting {
            let Ok(response) = response.await else { continue };
            let mut body = response.into_body();
            while let Some(Ok(bytes)) = body.data().await {
                let _ = body.flow_control().release_capacity(bytes.len());
            }
            let _ = body.trailers().await;
        }
    }
    drop(client);
    let _ = connection.await;
}
