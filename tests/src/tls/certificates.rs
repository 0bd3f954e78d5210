//! A certificate authority that lives as long as a test, and a certificate of it for this machine.

use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// Files in a directory of their own.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them: for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// The files can't be written.
    #[must_use]
    pub fn create() -> Self {
        Self::created(|_| {})
    }

    /// The same, with a certificate that was valid only until some years ago.
    ///
    /// # Panics
    /// The files can't be written.
    #[must_use]
    pub fn expired() -> Self {
        Self::created(|own| {
            own.not_before = date_time_ymd(2020, 1, 1);
            own.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn created(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "authority of a test");
        let trusted = authority.self_signed(&authority_key).expect("signed");
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut own = CertificateParams::new(names).expect("two names");
        change(&mut own);
        let certificate = own.signed_by(&key, &issuer).expect("signed");
        let made = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        let files = [
            (made.authority(), trusted.pem()),
            (made.certificate(), certificate.pem()),
            (made.key(), key.serialize_pem()),
        ];
        for (path, pem) in files {
            std::fs::write(path, pem).expect("a file");
        }
        made
    }

    /// The certificate of the authority, to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The server's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// The server's key, as PKCS#8.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Tells a client whom to trust, in the words of OpenSSL, requests, Node and the workloads.
    pub fn trusted_by(&self, command: &mut Command) {
        for name in [
            "TRUSTED",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
        ] {
            command.env(name, self.authority());
        }
    }
}
