//! The way to a receiver's socket, in plain or through TLS: one connector for all protocols. It
//! reads certificate files once, at start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::SetupError;
use crate::config::OtlpConfig;

pub(in crate::export) type Connector = HttpsConnector<HttpConnector>;

/// A connection that is idle is probed this often, so that a path which silently died is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Versions of HTTP that are offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::export) enum Speaks {
    Http1,
    Http2,
}

/// What a connection needs to know.
#[derive(Clone, Copy)]
pub(in crate::export) struct Way<'a> {
    /// The URL.
    pub endpoint: &'a str,
    /// For a connection to come about.
    pub timeout: Duration,
    /// PEM file with the trusted certificates.
    pub certificate: Option<&'a PathBuf>,
    /// PEM files: client certificate and private key.
    pub client_identity: Option<&'a (PathBuf, PathBuf)>,
}

impl<'a> From<&'a OtlpConfig> for Way<'a> {
    fn from(config: &'a OtlpConfig) -> Self {
        Self {
            endpoint: &config.endpoint,
            timeout: config.timeout,
            certificate: config.certificate.as_ref(),
            client_identity: config.client_identity.as_ref(),
        }
    }
}

pub(in crate::export) fn connector(way: Way<'_>, speaks: Speaks) -> Result<Connector, SetupError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_connect_timeout(Some(way.timeout));
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(way)?)
        .https_or_http();
    Ok(match speaks {
        Speaks::Http1 => builder.enable_http1().wrap_connector(tcp),
        Speaks::Http2 => builder.enable_http2().wrap_connector(tcp),
    })
}

fn client_config(way: Way<'_>) -> Result<ClientConfig, SetupError> {
    // Without TLS there is no reason to load a hundred certificates.
    let roots = match way.certificate {
        _ if !way.endpoint.starts_with("https:") => RootCertStore::empty(),
        Some(path) => given_roots(path)?,
        None => roots_of_the_machine()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    match way.client_identity {
        None => Ok(builder.with_no_client_auth()),
        Some((chain_path, key_path)) => {
            let chain = certificates(chain_path)?;
            let key = PrivateKeyDer::from_pem_file(key_path)
                .map_err(|error| unusable(key_path, error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(chain_path, error))
        }
    }
}

fn given_roots(path: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}

fn roots_of_the_machine() -> Result<RootCertStore, SetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found
            .errors
            .first()
            .map_or_else(|| "none found".into(), ToString::to_string);
        return Err(SetupError::NoTrustedCertificates(why));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, error))?;
    if certificates.is_empty() {
        return Err(unusable(path, "no certificate in PEM form inside"));
    }
    Ok(certificates)
}

fn unusable(path: &Path, why: impl ToString) -> SetupError {
    SetupError::Certificate(path.to_owned(), why.to_string())
}
