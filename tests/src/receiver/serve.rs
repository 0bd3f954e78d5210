//! Connections of the receiver: accepts, speaks TLS, tells gRPC from the rest.

use std::convert::Infallible;
use std::sync::Arc;

use ::http::{Request, Response};
use anyhow::{Context, Result};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{State, TlsFiles, grpc, http};

/// Serves until it is aborted; the connections end with it.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<State>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let tls = tls.clone();
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            match tls {
                None => converse(stream, state).await,
                Some(config) => {
                    let acceptor = tokio_rustls::TlsAcceptor::from(config);
                    // A client that fails the handshake is a case that tests provoke.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        converse(stream, state).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    // A gRPC server answers even when the agent has gone, and the error says only that.
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    let executor = TokioExecutor::new();
    let _ = auto::Builder::new(executor)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let content_type = request.headers().get(::http::header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|text| text.as_bytes().starts_with(b"application/grpc"));
    Ok(if is_grpc {
        grpc::answer(request, state).await
    } else {
        http::answer(request, &state)
            .await
            .map(tonic::body::Body::new)
    })
}

/// TLS with these certificates, for HTTP/2 and HTTP/1.1.
pub(super) fn tls_config(files: &TlsFiles) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes()).context("private key")?;
    let mut config = builder.with_single_cert(certificates(&files.chain)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .context("certificate")
}
