//! How TLS is spoken between agents, and by what they know each other: certificates that one
//! authority signed, or keys that are thrown away, where a secret alone is shared. Files are read
//! again before they are used, at most every few seconds, so that they may be replaced while the
//! daemon runs; streams that there are go on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
    UnixTime,
};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::frame::ALPN;
use super::proof::SecretKey;
use crate::config::{AskingConfig, AskingIdentity, SECRET_BYTES_MIN, SecretSource};
use crate::visible::Visible;

/// How old what was read from files may be when it is used.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there is nothing to prove anything by.
#[derive(Clone, Debug)]
pub struct CredentialsError(String);

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CredentialsError {}

/// By what streams are made.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// For those that this agent makes.
    pub connecting: Arc<ClientConfig>,
    /// For those that others make.
    pub accepting: Arc<ServerConfig>,
    /// What both ends have to prove, if there is one.
    pub secret: Option<SecretKey>,
}

impl Credentials {
    /// Reads what this names. It may take as long as a file system does.
    ///
    /// # Errors
    /// A file can't be used.
    pub fn read(config: &AskingConfig) -> Result<Self, CredentialsError> {
        let secret = config.secret.as_ref().map(read_secret).transpose()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (mut connecting, mut accepting) = match &config.identity {
            Some(identity) => certified(identity, &provider)?,
            // Whoever is at the other end has to prove that it knows the secret.
            None if secret.is_some() => thrown_away(&provider)?,
            None => return Err(CredentialsError("neither a secret nor certificates".into())),
        };
        connecting.alpn_protocols = vec![ALPN.to_vec()];
        accepting.alpn_protocols = vec![ALPN.to_vec()];
        // What is exported has to be of one handshake, and nothing may be sent again.
        connecting.resumption = rustls::client::Resumption::disabled();
        accepting.send_tls13_tickets = 0;
        Ok(Self {
            connecting: Arc::new(connecting),
            accepting: Arc::new(accepting),
            secret,
        })
    }
}

/// The same, read again from time to time.
#[derive(Debug)]
pub struct Keyring {
    config: Arc<AskingConfig>,
    known: Credentials,
    read_at: Instant,
}

impl Keyring {
    /// As it is in the files now.
    ///
    /// # Errors
    /// See [`Credentials::read`].
    pub fn new(config: Arc<AskingConfig>) -> Result<Self, CredentialsError> {
        let known = Credentials::read(&config)?;
        Ok(Self {
            config,
            known,
            read_at: Instant::now(),
        })
    }

    /// What is used for a stream that is made now. If a file can't be read, what was there before,
    /// and why.
    pub async fn present(&mut self) -> (Credentials, Option<CredentialsError>) {
        let mut fault = None;
        if self.read_at.elapsed() >= READ_EVERY && self.config.has_files() {
            self.read_at = Instant::now();
            let config = Arc::clone(&self.config);
            let reading = tokio::task::spawn_blocking(move || Credentials::read(&config));
            match tokio::time::timeout(READ_EVERY, reading).await {
                Ok(Ok(Ok(read))) => self.known = read,
                Ok(Ok(Err(error))) => fault = Some(error),
                _ => fault = Some(CredentialsError("reading them takes too long".into())),
            }
        }
        (self.known.clone(), fault)
    }
}

fn read_secret(source: &SecretSource) -> Result<SecretKey, CredentialsError> {
    let path = match source {
        SecretSource::Text(text) => return Ok(SecretKey::new(text)),
        SecretSource::File(path) => path,
    };
    let bytes = read_file(path)?;
    let secret = bytes.trim_ascii();
    if secret.len() < SECRET_BYTES_MIN {
        let why = format!("a secret of fewer than {SECRET_BYTES_MIN} bytes");
        return Err(unusable(path, why));
    }
    Ok(SecretKey::new(secret))
}

/// Both ends show certificates that the authority signed.
fn certified(
    identity: &AskingIdentity,
    provider: &Arc<CryptoProvider>,
) -> Result<(ClientConfig, ServerConfig), CredentialsError> {
    let chain = certificates(&identity.certificate)?;
    let key = || {
        let pem = read_file(&identity.key)?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(&identity.key, error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&identity.authority)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable(&identity.authority, error))?;
    }
    let roots = Arc::new(roots);
    let refused = |error: Error| unusable(&identity.certificate, error);
    let connecting = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(chain.clone(), key()?)
        .map_err(refused)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| unusable(&identity.authority, error))?;
    let accepting = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key()?)
        .map_err(refused)?;
    Ok((connecting, accepting))
}

/// The end that is connected to shows a key that it made up (RFC 7250), the other one nothing.
fn thrown_away(
    provider: &Arc<CryptoProvider>,
) -> Result<(ClientConfig, ServerConfig), CredentialsError> {
    let refused = |error: Error| CredentialsError(format!("TLS can't be had: {error}"));
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| CredentialsError("there is no randomness for a key".into()))?;
    let key = PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec());
    let key = rustls::crypto::ring::sign::any_eddsa_type(&key).map_err(refused)?;
    let public = key.public_key();
    let public = public.ok_or_else(|| CredentialsError("a key without a public one".into()))?;
    let shown = vec![CertificateDer::from(public.to_vec())];
    let certified = Arc::new(CertifiedKey::new(shown, key));
    let believing = Arc::new(Unknowing(Arc::clone(provider)));
    let connecting = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(believing)
        .with_no_client_auth();
    let accepting = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    Ok((connecting, accepting))
}

/// Takes any key, because who has it is proven by other means; but it has to be had.
#[derive(Debug)]
struct Unknowing(Arc<CryptoProvider>);

impl ServerCertVerifier for Unknowing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let pem = read_file(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(path, error))?;
    if certificates.is_empty() {
        return Err(unusable(path, "no certificate in PEM form inside"));
    }
    Ok(certificates)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| unusable(path, error))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| unusable(path, error))?;
    Ok(bytes)
}

fn unusable(path: &Path, why: impl fmt::Display) -> CredentialsError {
    CredentialsError(format!("{} can't be used: {why}", Visible(path.display())))
}
