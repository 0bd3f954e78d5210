//! How TLS is spoken with the API server. It opens no file.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::access::NoAccess;

/// Who may say of whom that it is the API server.
pub enum Trust {
    /// These authorities: certificates in PEM form.
    Authorities(Vec<u8>),
    /// Those that the machine trusts.
    Machine,
    /// Whoever answers is believed.
    Anybody,
}

/// What the agent shows: certificates and their key in PEM form.
pub struct ClientIdentity {
    pub certificates: Vec<u8>,
    pub key: Vec<u8>,
}

/// How a connection is made.
///
/// # Errors
/// Certificates or a key are none.
pub fn client_config(
    trust: Trust,
    identity: Option<ClientIdentity>,
) -> Result<ClientConfig, NoAccess> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3");
    let builder = match trust {
        Trust::Authorities(pem) => builder.with_root_certificates(roots(certificates(&pem)?)?),
        Trust::Machine => {
            let found = rustls_native_certs::load_native_certs();
            builder.with_root_certificates(roots(found.certs)?)
        }
        Trust::Anybody => {
            let believing = Arc::new(Believing(provider));
            let dangerous = builder.dangerous();
            dangerous.with_custom_certificate_verifier(believing)
        }
    };
    let Some(ClientIdentity {
        certificates: chain,
        key,
    }) = identity
    else {
        return Ok(builder.with_no_client_auth());
    };
    let refused = || NoAccess("the client certificate and its key are of no use".to_owned());
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| refused())?;
    let config = builder.with_client_auth_cert(certificates(&chain)?, key);
    config.map_err(|_| refused())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, NoAccess> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.ok().filter(|it| !it.is_empty());
    certificates.ok_or_else(|| NoAccess("no certificate in PEM form where one should be".into()))
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, NoAccess> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(NoAccess("no authority is trusted".to_owned()));
    }
    Ok(roots)
}

/// Takes anybody for anybody, as `insecure-skip-tls-verify` asks.
#[derive(Debug)]
struct Believing(Arc<CryptoProvider>);

impl ServerCertVerifier for Believing {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
