//! Servers on hyper, over HTTP/1 and HTTP/2, plain and over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::client::Client;
use crate::nap;
use crate::shape::Front;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

pub async fn front(port: &str, back: &str, tls: &[&str]) -> Result<()> {
    let front = Front::new(Client::new(back)?);
    let answer = move |request: Request<Incoming>| {
        let front = front.clone();
        async move {
            let path = request.uri().path().to_owned();
            let mut parts = path.trim_start_matches('/').split('/');
            let (id, shape) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let is_known = front.serve(id, shape).await;
            let mut response = Response::new(Full::from("served\n"));
            if !is_known {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            Answer::Ok(response)
        }
    };
    serve(port, tls, answer).await
}

pub async fn back(port: &str, tls: &[&str]) -> Result<()> {
    serve(port, tls, async |_| {
        nap(Duration::from_millis(8)).await;
        Answer::Ok(Response::new(Full::from("answered\n")))
    })
    .await
}

async fn serve<A, F>(port: &str, tls: &[&str], answer: A) -> Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let tls = match *tls {
        [certificate, key] => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, answer) = (tls.clone(), answer.clone());
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return connection(stream, answer).await;
            };
            if let Ok(stream) = tls.accept(stream).await {
                connection(stream, answer).await;
            }
        });
    }
}

async fn connection<A, F>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let builder = Builder::new(TokioExecutor::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that goes away is not this program's concern.
    let _ = serving.await;
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
