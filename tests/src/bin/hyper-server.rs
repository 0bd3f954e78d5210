//! A hyper server that tells the truth: each request it answered, as a line of JSON.
//!
//! `hyper-server PORT [CERTIFICATE KEY]`; query parameters choose the answer: status, size,
//! chunked,
//! delay (milliseconds). With files of a certificate and its key, over TLS (rustls).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().context("PORT")?.parse()?;
    let tls = match (arguments.next(), arguments.next()) {
        (Some(certificate), Some(key)) => Some(acceptor(&certificate, &key)?),
        _ => None,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return serve(stream).await;
            };
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream).await;
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away is not this program's concern.
    let _ = serving.await;
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let received = body.collect().await?.to_bytes().len();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse::<usize>().ok())
    };
    if let Some(delay) = parameter("delay") {
        tokio::time::sleep(Duration::from_millis(delay as u64)).await;
    }
    let status = parameter("status").unwrap_or(200);
    let size = parameter("size").unwrap_or(5);
    let bodiless = matches!(status, 204 | 304);
    let sent = if bodiless || head.method == http::Method::HEAD {
        0
    } else {
        size
    };
    let mut response = Response::builder().status(u16::try_from(status).unwrap_or(500));
    if head.method == http::Method::HEAD && !bodiless {
        response = response.header("content-length", size);
    }
    let content = Full::new(Bytes::from(vec![b'x'; sent]));
    let body = if parameter("chunked").is_some() && sent > 0 {
        Unannounced(content).boxed()
    } else {
        content.boxed()
    };
    println!(
        "{}",
        serde_json::json!({
            "method": head.method.as_str(),
            "target": head.uri.to_string(),
            "status": status,
            "request_body": received,
            "response_body": sent,
        })
    );
    Ok(response.body(body).expect("nothing in it is invalid"))
}

/// A body that does not say how long it is, so that it is sent in chunks.
struct Unannounced(Full<Bytes>);

impl Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }
}
